"""The probe: bias and variance of the update, measured and not guessed.

At a probe round every client computes its delta at the current model without applying it. Then M cohorts of that
round are drawn under independent seeds, and for each the update is formed that this strategy would have applied, and
that every other rule of the catalogue would have, given the same history (their *shadows*: same cohorts, same memories,
default options, before any server optimiser). With g = sum_i a_i delta_i:

    bias^2 = ||E v - g||^2          variance = E ||v - E v||^2

estimated from M draws: the variance with denominator M - 1, the bias less its own noise (variance / M). Where a
client's contribution does not depend on who else came and clients come independently, both also in closed form:
v = sum_i s_i h_i + X_i (c_i delta_i + t_i h_i) with X_i ~ Bernoulli(p_i) gives
E v = sum_i s_i h_i + p_i (c_i delta_i + t_i h_i) and variance sum_i p_i (1 - p_i) ||c_i delta_i + t_i h_i||^2.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, asdict, dataclass, fields, replace
from typing import Any, Literal, get_args, get_origin, get_type_hints

import numpy as np

from fedsim.clients.sketch import Sketch
from fedsim.core import Cohort, Correction, Population, Rule, World
from fedsim.core.coefficients import Coefficients, coefficients
from fedsim.core.contracts import Ids, Parameters
from fedsim.core.sums import DELTA, Asked, Dot, Vector
from fedsim.engine.nodes.grid import NodeGrid
from fedsim.participation.redraw import independent, redraws
from fedsim.scenario import Scenario
from fedsim.strategies import catalogue

OWN = "this"
"""The tag of the run's own strategy."""


def family(numbers: Mapping[str, Sequence[float]]) -> dict[str, Rule]:
    """Return the strategies that a probe compares, by tag: every linear rule of the catalogue, in each of its forms.

    `numbers` are the values of options that are numbers; a rule is shown at these and not at its default.
    """
    found: dict[str, Rule] = {}
    for name, rule in catalogue().items():
        if not issubclass(rule, Rule) or not rule.linear or any(map(_required, fields(rule))):
            continue
        if rule().corrected_by() is None:  # a correction alters what clients send, and not what is made of it
            found |= _forms(name, rule, numbers)
    return found


def _forms(name: str, rule: type[Any], numbers: Mapping[str, Sequence[float]]) -> dict[str, Rule]:
    hints, forms = get_type_hints(rule), rule.forms
    found = {} if any(option in numbers for option in forms) else {name: rule()}
    for option in forms:
        words = get_args(hints[option]) if get_origin(hints[option]) is Literal else ()
        found |= {f"{name}_{value:g}": rule(**{option: value}) for value in numbers.get(option, ())}
        found |= {f"{name}_{word}": rule(**{option: word}) for word in words if word != getattr(rule, option)}
    return found


def _required(option: Field[Any]) -> bool:
    return option.default is MISSING and option.default_factory is MISSING


@dataclass(frozen=True)
class Estimate:
    """Bias and variance of one strategy's update at one round; `error` is the standard error of `variance`."""

    bias2: float
    variance: float
    error: float
    bias2_exact: float | None = None
    variance_exact: float | None = None

    def table(self) -> dict[str, float]:
        """Return the numbers by name, the closed forms where there are any."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def values(self, tag: str) -> dict[str, float]:
        """Return the metrics of this estimate."""
        return {f"probe_{name}.{tag}": value for name, value in self.table().items()}


def combine(used: Coefficients, clients: Ids, fresh: Vector, stale: Vector) -> Vector:
    """Return the update of a cohort from everyone's deltas and memories (N, s)."""
    update = used.fresh @ fresh[clients]
    return update if used.stale is None else update + used.stale @ stale


def stepped(
    rule: Rule,
    state: Any,
    cohort: Cohort,
    fresh: Vector,
    stale: Vector,
    correction: tuple[Correction, Any] | None = None,
) -> Vector:
    """Return the same of a rule that is not linear, by its own step; its state's vectors are as long as the rows.

    `correction` is the one under the rule and its state, where it alters updates.
    """
    sums = {name: _summed(asked, cohort, fresh, stale) for name, asked in rule.ask(state, cohort).items()}
    _, update = rule.step(state, cohort, sums)
    if correction is not None:
        kind, own = correction
        sums = {name: _summed(asked, cohort, fresh, stale) for name, asked in kind.ask(own, cohort).items()}
        _, update = kind.step(own, cohort, sums, update)
    return np.zeros(fresh.shape[1]) if update is None else update


def _summed(asked: Asked, cohort: Cohort, fresh: Vector, stale: Vector) -> Vector:
    """Return what nodes would add up, from everyone's deltas and memories (N, s)."""
    here = cohort.clients
    if isinstance(asked, Dot):
        one, other = (fresh[here] if word == DELTA else stale[here] for word in (asked.one, asked.other))
        return np.array([asked.weights @ (one * other).sum(axis=1)])
    assert asked.of == DELTA, "checked before the run"
    if asked.over == "cohort":
        return asked.fresh @ fresh[here] + (0.0 if asked.stale is None else asked.stale @ stale[here])
    absent = np.setdiff1d(np.arange(len(fresh)), here)
    return asked.fresh[here] @ fresh[here] + (0.0 if asked.stale is None else asked.stale[absent] @ stale[absent])


def gathers(rule: Rule, population: Population) -> bool:
    """Return whether an update can be formed from deltas and memories alone, which is what a probe gathers."""
    correction, nobody = rule.corrected_by(), Cohort(1, np.zeros(0, np.int64))
    empty = np.zeros(0, np.float32)
    asked = [*rule.ask(rule.start(empty, population), nobody).values()]
    if correction is not None and not correction.linear:
        asked += correction.ask(correction.start(empty, population), nobody).values()
    return all(isinstance(one, Dot) or one.of == DELTA for one in asked)


def estimate(updates: Vector, target: Vector) -> Estimate:
    """Return the Monte Carlo estimate from updates (M, s) and g (s,)."""
    draws = len(updates)
    mean = updates.mean(axis=0)
    squares = ((updates - mean) ** 2).sum(axis=1) * draws / (draws - 1)
    variance = float(squares.mean())
    distance = float(((mean - target) ** 2).sum())
    return Estimate(max(0.0, distance - variance / draws), variance, float(squares.std(ddof=1) / np.sqrt(draws)))


def closed_form(
    weigh: Callable[[Ids], Coefficients], p: Vector, fresh: Vector, stale: Vector, target: Vector
) -> tuple[float, float] | None:
    """Return exact (bias^2, variance) under independent participation, None when contributions depend on |S|."""
    count = len(p)
    everyone, nobody = weigh(np.arange(count)), weigh(np.zeros(0, np.int64))
    none = np.zeros(count)
    c = everyone.fresh
    s = none if nobody.stale is None else nobody.stale
    t = (none if everyone.stale is None else everyone.stale) - s
    for part in (np.arange(0, count, 2), np.arange(count // 2)):
        if 0 < len(part) < count:
            seen = weigh(part)
            present = np.isin(np.arange(count), part)
            expected = s + np.where(present, t, 0.0)
            stale_seen = none if seen.stale is None else seen.stale
            if not (np.allclose(seen.fresh, c[part], atol=1e-15) and np.allclose(stale_seen, expected, atol=1e-15)):
                return None
    contribution = c[:, None] * fresh + t[:, None] * stale
    mean = s @ stale + p @ contribution
    variance = float((p * (1 - p)) @ (contribution**2).sum(axis=1))
    return float(((mean - target) ** 2).sum()), variance


class Prober:
    """Measures at probe rounds; in between, keeps the shadows' states in step with the cohorts.

    `shadows` is a value (tag -> state), so that a checkpoint can hold it.
    """

    def __init__(self, scenario: Scenario, world: World, population: Population, size: int) -> None:
        assert scenario.probe is not None
        self.every, self.draws = scenario.probe.every, scenario.probe.draws
        self.rule: Rule = replace(scenario.strategy, server_optimizer=None)
        self.population = population
        self.sketch = Sketch(world.seed, size)
        self.redraw = redraws(scenario.participation, world)
        self.independent = independent(scenario.participation, world)
        known = population.probabilities is not None
        rules = family({"beta": scenario.probe.betas})
        self.rules = {tag: rule for tag, rule in rules.items() if known or not rule.needs_probabilities()}

    def start(self) -> dict[str, Any]:
        """Return the shadows' states before round 1; they need coefficients only, so their vectors have length 0."""
        return {tag: rule.start(np.zeros(0, np.float32), self.population) for tag, rule in self.rules.items()}

    def after(self, shadows: Mapping[str, Any], cohort: Cohort) -> dict[str, Any]:
        """Return the shadows' states after a round."""
        moved = {}
        for tag, rule in self.rules.items():
            sums = {name: np.zeros(0) for name in rule.ask(shadows[tag], cohort)}
            moved[tag], _ = rule.step(shadows[tag], cohort, sums)
        return moved

    def measure(
        self,
        grid: NodeGrid,
        params: Parameters,
        round: int,
        own: Any,
        shadows: Mapping[str, Any],
        scale: Vector | None = None,
        correction: Any = None,
    ) -> dict[str, Estimate]:
        """Return the estimates of a round before it is trained, by tag; `own` and `correction` are the states of both.

        `scale` (N,) is what each client's memory is multiplied by at the round's learning rate.
        """
        fresh, stale = self._rows(grid, params, round, own, correction)
        stale = stale if scale is None else stale * scale[:, None]
        target = self.population.weights @ fresh
        cohorts = [self.redraw(round, draw) for draw in range(self.draws)]
        found = {}
        for tag, rule, state in [(OWN, self.rule, own), *((t, r, shadows[t]) for t, r in self.rules.items())]:
            altered = self._altered(correction) if tag == OWN else None
            if not rule.linear or altered is not None:
                drawn = [stepped(rule, state, Cohort(round, clients), fresh, stale, altered) for clients in cohorts]
                found[tag] = estimate(np.stack(drawn), target)
                continue

            def weigh(clients: Ids, rule: Rule = rule, state: Any = state) -> Coefficients:
                return coefficients(rule, state, Cohort(round, clients), self.population.weights)

            updates = np.stack([combine(weigh(clients), clients, fresh, stale) for clients in cohorts])
            found[tag] = estimate(updates, target)
            if self.independent is not None:
                exact = closed_form(weigh, self.independent, fresh, stale, target)
                if exact is not None:
                    found[tag] = replace(found[tag], bias2_exact=exact[0], variance_exact=exact[1])
        return found

    def _altered(self, state: Any) -> tuple[Correction, Any] | None:
        """Return the correction under the run's own rule, when it alters updates."""
        correction = self.rule.corrected_by()
        return None if correction is None or correction.linear else (correction, state)

    def _rows(self, grid: NodeGrid, params: Parameters, round: int, own: Any, corrected: Any) -> tuple[Vector, Vector]:
        """Gather everyone's sketched delta and memory, (N, s) each."""
        count, nodes = self.population.num_clients, grid.num_nodes
        ids = {node: np.arange(node, count, nodes) for node in range(nodes)}
        everybody, correction = Cohort(round, np.arange(count)), self.rule.corrected_by()
        order = self.rule.order(own, everybody)
        if correction is not None:
            order = order.beside(correction.order(corrected, everybody))
        asked = {node: (params, ids[node], round, self.sketch, order.at(ids[node])) for node in ids}
        parts = grid.each("probe", asked)
        fresh, stale = np.empty((count, self.sketch.width)), np.empty((count, self.sketch.width))
        for node, (deltas, memories) in parts.items():
            fresh[ids[node]], stale[ids[node]] = deltas, memories
        return fresh, stale
