"""Other cohorts that a round could have had: the same law, independent seeds. What the variance probe draws.

The law of the clients stays (probabilities that came from a seed or from labels are kept); only who comes is drawn
anew. A chain is drawn from its stationary law, since its past is not the probe's to change.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from fedsim.core import ScenarioError, World
from fedsim.core.contracts import Ids, Vector
from fedsim.core.rng import digest
from fedsim.participation.config import Participation
from fedsim.participation.laws import resolve
from fedsim.participation.processes.all_of import AllOf
from fedsim.participation.processes.bernoulli import Bernoulli
from fedsim.participation.processes.cyclic import Cyclic
from fedsim.participation.processes.full import Full
from fedsim.participation.processes.groups import Groups
from fedsim.participation.processes.markov import Markov
from fedsim.participation.processes.schedule import Schedule
from fedsim.participation.processes.trace import Trace

REFUSED = (Schedule, Trace)
"""Processes that are one fixed history: there is no other cohort to draw."""


def redraws(config: Participation, world: World) -> Callable[[int, int], Ids]:
    """Return the function (round, draw) -> cohort.

    Raises
    ------
    ScenarioError : for a process with a single history.
    """
    law = settled(config, world)

    def cohort(round: int, draw: int) -> Ids:
        seed = digest(world.seed, "probe", round, draw) % 2**63
        return law.process(replace(world, seed=seed)).cohort(round)

    return cohort


def settled(config: Participation, world: World) -> Participation:
    """Return the config with its laws resolved in this world, so that another seed changes only who comes."""
    if isinstance(config, REFUSED):
        raise ScenarioError(f"probe: a {config.kind} has one fixed history; there is no other cohort to draw")
    if isinstance(config, Markov):
        listed = _listed(resolve(config.probabilities, world))
        return Bernoulli(probabilities=listed, modulate=config.modulate, select=config.select)
    if isinstance(config, Bernoulli | Cyclic):
        return replace(config, probabilities=_listed(resolve(config.probabilities, world)))
    if isinstance(config, Groups):
        inner = config.inner(world)
        groups = (replace(g, process=settled(g.process, w)) for g, w in zip(config.groups, inner, strict=True))
        return replace(config, groups=tuple(groups))
    if isinstance(config, AllOf):
        inner = config.inner(world)
        return replace(config, processes=tuple(settled(p, w) for p, w in zip(config.processes, inner, strict=True)))
    return config


def independent(config: Participation, world: World) -> Vector | None:
    """Return p_i (N,) when clients come independently of each other (a chain: by its stationary law), else None."""
    if config.modified:
        return None
    if isinstance(config, Full):
        return np.ones(world.num_clients)
    if isinstance(config, Bernoulli | Markov):
        return resolve(config.probabilities, world)
    return None


def coins(config: Participation) -> bool:
    """Return whether each client comes or stays by a coin of its own, independently of others and of earlier rounds.

    >>> coins(Bernoulli(probabilities=0.5)), coins(AllOf(processes=(Full(), Markov(probabilities=0.5))))
    (True, False)
    """
    if config.modified:
        return False
    if isinstance(config, AllOf):
        return all(map(coins, config.processes))
    if isinstance(config, Groups):
        return all(coins(group.process) for group in config.groups)
    return isinstance(config, Full | Bernoulli)


def _listed(probabilities: Vector) -> tuple[float, ...]:
    return tuple(probabilities.tolist())
