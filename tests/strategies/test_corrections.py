"""Corrections of drift: the recurrences of the papers, where they end, and that wrong ones are found."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import fedsim
from fedsim.core import Cohort, Correction, Rule, ScenarioError
from fedsim.core.client_half import Before, Given, Trained
from fedsim.core.sums import LinearSum, Sums, Vector
from fedsim.laws import CORRECTION_LAWS, LAWS, Problem, controls_are_means, play, reaches_the_optimum
from fedsim.laws.play import bernoulli, one_by_one
from fedsim.scenario import from_dict
from fedsim.strategies import catalogue, corrections
from fedsim.strategies.corrections.amplified_scaffold import AmplifiedScaffold
from fedsim.strategies.corrections.fedadmm import FedADMM
from fedsim.strategies.corrections.feddyn import FedDyn
from fedsim.strategies.corrections.mime_lite import MimeLite
from fedsim.strategies.corrections.scaffnew import Scaffnew
from fedsim.strategies.corrections.scaffold import Control, Scaffold
from fedsim.strategies.fedau import FedAU
from fedsim.strategies.fedavg import FedAvg
from fedsim.strategies.fedstale import FedStale
from fedsim.strategies.mifa import MIFA

from .through_yaml import TWO


def from_text(text: str, rounds: int) -> Any:
    return yaml.safe_load(f"{text}\nrounds: {rounds}\n")


def way(text: str, rounds: int, folder: Path) -> list[float]:
    """Return where the number is after each round of one run, from its checkpoints."""
    file = folder / "s.yaml"
    file.write_text(f"{text}\nrounds: {rounds}\ncheckpoint: {{every: 1, keep: {rounds}}}\n")
    saved = sorted((fedsim.run(file, out=folder / "run").folder / "checkpoints").glob("round-*/state.npz"))
    assert len(saved) == rounds
    return [float(np.load(state)["progress.server.params"].item()) for state in saved]


COHORTS = [[0], [1], [0, 1], [0], [0, 1]]
TRACES: dict[str, list[float]] = {
    "{name: fedavg}": [0.81, 2.4369, 2.603985, 2.10922785, 2.3909981],
    "{name: scaffold}": [0.81, 2.35615, 2.59727625, 2.80163859, 2.87871285],
    "{name: fedavg, correction: {name: scaffold}}": [0.81, 2.35615, 2.59727625, 2.80163859, 2.87871285],
    "{name: feddyn, alpha: 1.0}": [0.73, 2.9944, 3.41416, 3.23499664, 3.25547318],
    "{name: amplified_scaffold}": [0.81, 2.35615, 2.59727625, 2.80163859, 2.87871285],
    "{name: amplified_scaffold, period: 2, factor: 2}": [0.81, 3.8738, 3.5833925, 3.65735085, 3.42114018],
    # by a script of ten lines each, from the papers' algorithms
    "{name: fedavg, correction: {name: mime-lite}}": [0.9801, 1.14084609, 1.35938852, 1.53045779, 1.74139337],
    "{name: fedavg, correction: {name: fedadmm}}": [0.64, 3.5056, 4.855456, 5.33625472, 5.28484672],
}
"""Where a number is after each round: f_i = k_i/2 (w - c_i)^2, k = (1, 3), c = (0, 4), two steps of 0.1 from 1."""


@pytest.mark.parametrize("strategy", TRACES)
def test_a_trace_by_hand_comes_out_of_a_scenario(strategy: str, tmp_path: Path) -> None:
    seen = way(f"{TWO}strategy: {strategy}\n", 5, tmp_path)
    # FedADMM's clients remember models, so that float32 rounds once more
    assert seen == pytest.approx(TRACES[strategy], rel=2e-7 if "fedadmm" in strategy else 1e-7)


COINS = 20
"""A seed of which the coins fall tails, heads, tails, heads, heads."""


def test_scaffnew_meets_when_a_coin_falls_heads(tmp_path: Path) -> None:
    world = TWO.replace("local_steps: 2", "local_steps: 1").partition("participation:")[0]
    text = f"{world}participation: {{kind: full}}\nseed: {COINS}\nstrategy: {{name: scaffnew, probability: 0.5}}\n"
    assert way(text, 5, tmp_path) == pytest.approx([1.4, 1.67, 1.936, 2.1485, 2.3188], rel=1e-7)
    sent = fedsim.load(tmp_path / "run").query("metric == 'bytes_up'")["value"]
    assert (sent > 0).tolist() == [False, True, False, True, True]


def test_controls_are_as_worked_out_by_hand() -> None:
    *_, last = play(FedAvg(correction=Scaffold()), Problem(), COHORTS)
    assert last.correction.mean[0] == pytest.approx(-0.38537134, abs=1e-8)
    assert last.memories["control"].ravel().tolist() == pytest.approx([2.84979552, -3.62053819], abs=1e-8)


# --- where they end ------------------------------------------------------------------------------------------------

EXACT: dict[str, Rule] = {
    "scaffold": FedAvg(correction=Scaffold()),
    "feddyn": FedAvg(correction=FedDyn()),
    "amplified": FedAvg(correction=AmplifiedScaffold(period=3, factor=1.2)),
    "mifa-scaffold": MIFA(correction=Scaffold()),
    "fedstale-scaffold": FedStale(correction=Scaffold()),
}


@pytest.mark.parametrize("rule", EXACT.values(), ids=EXACT.keys())
def test_the_optimum_is_reached_whoever_comes(rule: Rule) -> None:
    assert reaches_the_optimum(rule).holds


def test_fedavg_stalls_elsewhere_even_with_everybody() -> None:
    *_, last = play(FedAvg(), Problem(), [[0, 1]] * 500)
    assert float(last.params[0]) == pytest.approx(2.914285714, abs=1e-9)
    assert not reaches_the_optimum(FedAvg()).holds


def test_scaffnew_and_fedadmm_reach_it_where_their_papers_say() -> None:
    *_, met = play(FedAvg(correction=Scaffnew()), Problem(steps=1), [[0, 1]] * 1500)
    *_, whole = play(FedAvg(correction=FedADMM()), Problem(), [[0, 1]] * 1500)
    # eta = |S| / N keeps the model at the mean of what all clients have sent
    *_, part = play(FedAvg(correction=FedADMM(), server_lr=0.5), Problem(), one_by_one(1500, 2, 7))
    assert [float(last.params[0]) for last in (met, whole, part)] == pytest.approx([3.0] * 3, abs=1e-9)


@pytest.mark.parametrize("world", ["{kind: bernoulli, probabilities: 0.5}", "{kind: uniform, size: 1}"])
def test_a_run_of_scaffold_ends_at_the_optimum_and_one_of_fedavg_does_not(world: str, tmp_path: Path) -> None:
    text = TWO.partition("participation:")[0] + f"participation: {world}\nseed: 5\n"
    ends = {}
    for name in ("scaffold", "fedavg"):
        run = fedsim.run(from_text(f"{text}strategy: {{name: {name}}}", 150), out=tmp_path / name)
        with np.load(run.folder / "params.npz") as params:
            ends[name] = float(params["point"].item())
    assert ends["scaffold"] == pytest.approx(3.0, abs=1e-6)
    assert abs(ends["fedavg"] - 3.0) > 0.05


# --- three wrong SCAFFOLDs that are in public libraries ------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class AddsControls(Scaffold):
    """The server adds c_i in place of its change."""

    def ask(self, state: Control, cohort: Cohort) -> dict[str, LinearSum]:
        return {"gain": LinearSum(state.population.weights[cohort.clients], of="control")}


@dataclass(frozen=True, kw_only=True)
class DividesByCohort(Scaffold):
    """The server divides by |S|, and not by N."""

    def step(self, state: Control, cohort: Cohort, sums: Sums, update: Vector | None) -> Any:
        share = len(state.population.weights) / max(1, len(cohort))
        return super().step(state, cohort, {"gain": share * sums["gain"]}, update)


@dataclass(frozen=True, kw_only=True)
class NeverApplied(Scaffold):
    """Controls are kept, and no gradient ever meets them."""

    def begin(self, lane: Before) -> Given:
        return Given()


FAULTS: dict[str, tuple[Correction, set[str]]] = {
    "adds c_i": (AddsControls(), {"exactness", "means"}),
    "divides by |S|": (DividesByCohort(), {"exactness", "means"}),
    "never applied": (NeverApplied(), {"exactness"}),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_scaffold_fails_its_laws_by_name(fault: str) -> None:
    correction, broken = FAULTS[fault]
    verdicts = [law(FedAvg(correction=correction)) for law in CORRECTION_LAWS]
    assert {verdict.law for verdict in verdicts if not verdict.holds} == broken


def test_with_one_client_a_round_only_the_mean_of_controls_tells_the_wrong_divisor() -> None:
    rule = FedAvg(correction=DividesByCohort())
    *_, last = play(rule, Problem(), one_by_one(1500, 2, 7))
    assert float(last.params[0]) == pytest.approx(3.0, abs=1e-9)
    assert not controls_are_means(rule).holds
    *_, last = play(rule, Problem(), bernoulli(1500, 2, 0.5, 7))
    assert abs(float(last.params[0]) - 3.0) > 1e-3


# --- laws of all ---------------------------------------------------------------------------------------------------

RULES = {name: kind() for name, kind in catalogue().items() if issubclass(kind, Rule)}
CORRECTIONS = {name: kind() for name, kind in corrections.catalogue().items()}
COMPOSED: dict[str, Rule] = RULES | {
    f"{rule.name}-{name}": type(rule)(correction=correction)
    for rule in (FedAvg(), FedAU(), FedStale(), MIFA())
    for name, correction in CORRECTIONS.items()
}


@pytest.mark.parametrize("rule", COMPOSED.values(), ids=COMPOSED.keys())
def test_every_rule_under_every_correction_keeps_the_laws_of_rules(rule: Rule) -> None:
    assert [verdict for law in LAWS if not (verdict := law(rule)).holds] == []
    assert [verdict for law in CORRECTION_LAWS[:2] if not (verdict := law(rule)).holds] == []


NOTHING: dict[str, Correction] = {
    "scaffold": Scaffold(strength=0.0),
    "feddyn": FedDyn(alpha=0.0),
    "mime-lite": MimeLite(beta=0.0),
}


@pytest.mark.parametrize("correction", NOTHING)
@pytest.mark.parametrize("rule", [FedAvg(), FedAU(), FedStale(), MIFA()], ids=lambda rule: rule.name)
def test_a_correction_of_no_strength_leaves_the_rule_its_bits(rule: Rule, correction: str) -> None:
    alone, with_it = (
        list(play(one, Problem(), [*COHORTS, [], *COHORTS]))
        for one in (rule, type(rule)(correction=NOTHING[correction]))
    )
    assert [now.params.tobytes() for now in alone] == [now.params.tobytes() for now in with_it]


@pytest.mark.parametrize("rule", [MIFA(correction=FedDyn()), FedAvg(correction=FedDyn())], ids=["mifa", "fedavg"])
def test_nobody_moves_nothing_under_feddyn(rule: Rule) -> None:
    *_, before, after = play(rule, Problem(), [[0], [1], [0, 1], []])
    assert after.params.tobytes() == before.params.tobytes()
    assert after.correction.h.tobytes() == before.correction.h.tobytes()
    assert after.memories["gradient"].tobytes() == before.memories["gradient"].tobytes()


def test_a_client_comes_back_to_what_it_left_however_long_it_was_away() -> None:
    moments = list(play(FedAvg(correction=Scaffold()), Problem(), [[0], [1], [1], [], [1], [0]]))
    kept = {now.memories["control"][0].tobytes() for now in moments[1:6]}
    assert len(kept) == 1
    assert moments[6].memories["control"][0].tobytes() not in kept


def test_scaffold_keeps_its_control_where_no_step_was_taken() -> None:
    lane = Before(3, np.zeros(1), {"control": np.array([[2.0], [2.0]])}, np.ones(2, bool), {"c": np.ones(1)}, {}, 0.1)
    trained = Trained(np.array([[-0.5], [0.0]]), np.array([5, 0]), np.array([0.5, 0.0]))
    assert Scaffold().remember(lane, trained)["control"].ravel().tolist() == [2.0, 2.0]


# --- what is refused -----------------------------------------------------------------------------------------------


def refused(**changed: Any) -> list[str]:
    world = from_text(TWO, 3) | changed
    with pytest.raises(ScenarioError) as caught:
        from_dict(world)
    return str(caught.value).splitlines()


def test_scaffnew_says_all_that_it_needs_at_once() -> None:
    lines = refused(strategy={"name": "scaffnew"})
    assert any("client.local_steps" in line for line in lines)
    assert any("participation.kind" in line for line in lines)


def test_a_slip_in_a_correction_is_told_with_what_was_meant() -> None:
    (line,) = refused(strategy={"name": "fedavg", "correction": {"name": "scafold"}})
    assert "strategy.correction.name" in line
    assert "did you mean 'scaffold'?" in line
    (line,) = refused(strategy={"name": "fedavg", "correction": {"name": "feddyn", "alpha": -1}})
    assert "strategy.correction.alpha" in line


def test_there_is_one_correction() -> None:
    (line,) = refused(strategy={"name": "scaffold", "correction": {"name": "feddyn"}})
    assert "strategy.correction: this strategy is fedavg with a correction already" in line


OWN = '''
from dataclasses import dataclass
from typing import Annotated, ClassVar

from annotated_types import Ge

from fedsim.core import Correction
from fedsim.core.client_half import Given


@dataclass(frozen=True, kw_only=True)
class Pulled(Correction):
    """Add a share of what the client's last update was."""

    memories: ClassVar[tuple[str, ...]] = ("last",)
    share: Annotated[float, Ge(0)] = 0.1

    def begin(self, lane):
        return Given(shift=-self.share * lane.own["last"])

    def remember(self, lane, trained):
        return {"last": trained.delta}

    def start(self, params, population):
        return None

    def step(self, state, cohort, sums, update):
        return state, update
'''


def test_a_correction_of_ones_own_stands_by_reference(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(OWN)
    text = f"{TWO}strategy: {{name: fedavg, correction: {{name: './mine.py:Pulled', share: 0.5}}}}\n"
    seen = way(text, 4, tmp_path)
    x, ends = 1.0, {0: 0.0, 1: 0.0}
    for clients, there in zip(COHORTS, seen, strict=False):
        deltas = {}
        for client in clients:
            w = x
            for _ in range(2):
                w -= 0.1 * ((1.0, 3.0)[client] * (w - (0.0, 4.0)[client]) - 0.5 * ends[client])
            deltas[client] = w - x
        ends |= deltas
        x += sum(deltas.values()) / len(deltas)
        assert there == pytest.approx(x, rel=1e-6)


def test_controls_are_read_off_the_way_of_sgd_alone() -> None:
    (line,) = refused(strategy={"name": "scaffold"}, client={"local_steps": 2, "lr": 0.1, "optimizer": "adam"})
    assert "client.optimizer: scaffold reads gradients off the way of SGD" in line
