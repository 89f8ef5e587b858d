"""Which loop a strategy needs: one for a server model, one for peers that keep their own."""

from __future__ import annotations

from concurrent.futures import Executor
from typing import Any

from fedsim.core import PeerRule
from fedsim.engine.environment import Environment
from fedsim.engine.experiment import Experiment
from fedsim.engine.rounds import Rounds


def open_loop(experiment: Experiment, environment: Environment, overlap: Executor | None, **common: Any) -> Rounds:
    """Return the loop of a scenario's strategy.

    Parameters
    ----------
    overlap : a thread for evaluations while the next round trains, used where the driver evaluates.
    common : what every loop needs; see `Rounds`.
    """
    if isinstance(experiment.scenario.strategy, PeerRule):
        from fedsim.engine.gossip_loop import GossipLoop

        peers = experiment.peers(environment)
        return GossipLoop(experiment=experiment, environment=environment, strategy=peers, **common)
    from fedsim.engine.loop import Loop

    return Loop(
        experiment=experiment,
        environment=environment,
        strategy=experiment.strategy(environment),
        prober=experiment.prober(),
        overlap=overlap,
        **common,
    )
