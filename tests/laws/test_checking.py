"""`fedsim check`: what keeps the laws passes, and each seeded fault breaks the law that it is about, by name."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from fedsim.cli import main
from fedsim.core import Rule
from fedsim.laws import CLAIMED, LAWS, PROCESS_LAWS
from fedsim.participation import Participation
from fedsim.participation.processes.bernoulli import Bernoulli
from fedsim.participation.processes.cyclic import Cyclic
from fedsim.participation.processes.full import Full
from fedsim.participation.processes.markov import Markov
from fedsim.participation.processes.outage import Outage
from fedsim.participation.processes.uniform import Uniform
from fedsim.participation.processes.walk import Walk
from fedsim.strategies import catalogue
from fedsim.strategies.fedavg import FedAvg
from fedsim.strategies.fedstale import FedStale
from fedsim.strategies.fedvarp import FedVARP
from fedsim.study.checking import check, said

CODE = '''
import itertools
from dataclasses import dataclass

import numpy as np
import torch
from flwr.app import Array, ArrayRecord
from flwr.serverapp.strategy import FedAvg as FlowerFedAvg

from fedsim import Work
from fedsim.core.client_half import Given
from fedsim.core.contracts import LinearSum, Rule
from fedsim.strategies.corrections.scaffold import Scaffold
from fedsim.strategies.fedavg import FedAvg

COUNT = itertools.count(1)


@dataclass(frozen=True, kw_only=True)
class Fading(Rule):
    """Average, with steps that fade."""

    fade: float = 0.01

    def start(self, params, population):
        return population

    def ask(self, state, cohort):
        return {"update": LinearSum(state.weights[cohort.clients])}

    def step(self, state, cohort, sums):
        if not len(cohort):
            return state, None
        return state, sums["update"] / state.weights[cohort.clients].sum() / (1 + self.fade * cohort.round)


@dataclass(frozen=True, kw_only=True)
class Mutates(Fading):
    """Counts in the state it is given."""

    def start(self, params, population):
        return {"rounds": np.zeros(1), "weights": population.weights}

    def ask(self, state, cohort):
        return {"update": LinearSum(state["weights"][cohort.clients])}

    def step(self, state, cohort, sums):
        state["rounds"] += 1
        return state, sums["update"]


@dataclass(frozen=True, kw_only=True)
class Repliers(Fading):
    """Divides by how many are asked, in the coefficients."""

    def ask(self, state, cohort):
        return {"update": LinearSum(np.full(len(cohort), 1 / max(1, len(cohort))))}

    def step(self, state, cohort, sums):
        return state, sums["update"] if len(cohort) else None


@dataclass(frozen=True, kw_only=True)
class Grows(Fading):
    """Gives its state another key in every round."""

    def start(self, params, population):
        return {"weights": population.weights}

    def ask(self, state, cohort):
        return {"update": LinearSum(state["weights"][cohort.clients])}

    def step(self, state, cohort, sums):
        return {**state, f"round {cohort.round}": np.ones(1)}, sums["update"]


@dataclass(frozen=True, kw_only=True)
class Draws(Fading):
    """Adds noise that nobody seeded."""

    def step(self, state, cohort, sums):
        return state, sums["update"] + next(COUNT) * 1e-3


@dataclass(frozen=True, kw_only=True)
class Squares(Fading):
    """Says that it is linear, and squares."""

    def step(self, state, cohort, sums):
        return state, np.sign(sums["update"]) * sums["update"] ** 2


@dataclass(frozen=True, kw_only=True)
class Claims(Fading):
    """Says that it is unbiased, and averages over who came."""

    def unbiased(self):
        return True


@dataclass(frozen=True, kw_only=True)
class Nan(Fading):
    """Divides by nobody."""

    def step(self, state, cohort, sums):
        with np.errstate(invalid="ignore"):
            return state, sums["update"] / np.float64(len(cohort))


@dataclass(frozen=True, kw_only=True)
class Looks(Fading):
    """Decays towards zero, by the parameters that it began with."""

    def start(self, params, population):
        return {"weights": population.weights, "x": params.astype(np.float64)}

    def ask(self, state, cohort):
        return {"update": LinearSum(state["weights"][cohort.clients])}

    def step(self, state, cohort, sums):
        return state, sums["update"] - 0.1 * state["x"]


@dataclass(frozen=True, kw_only=True)
class First(Fading):
    """Favours client 0."""

    def ask(self, state, cohort):
        return {"update": LinearSum(state.weights[cohort.clients] * (1.0 + (cohort.clients == 0)))}


class AddsControls(Scaffold):
    """The server adds c_i in place of its change."""

    def ask(self, state, cohort):
        return {"gain": LinearSum(state.population.weights[cohort.clients], of="control")}


class DividesByCohort(Scaffold):
    """The server divides by |S|, and not by N."""

    def step(self, state, cohort, sums, update):
        share = len(state.population.weights) / max(1, len(cohort))
        return super().step(state, cohort, {"gain": share * sums["gain"]}, update)


class NeverApplied(Scaffold):
    """Controls are kept, and no gradient ever meets them."""

    def begin(self, lane):
        return Given()


class Neighbours(Scaffold):
    """Lets clients of a lane see each other."""

    def begin(self, lane):
        shift = lane.shared["c"] - lane.own["control"]
        return Given(shift=shift - shift.mean(axis=0))


@dataclass(frozen=True, kw_only=True)
class A(FedAvg):
    """FedAvg."""

    def corrected_by(self):
        return AddsControls()


@dataclass(frozen=True, kw_only=True)
class D(FedAvg):
    """FedAvg."""

    def corrected_by(self):
        return DividesByCohort()


@dataclass(frozen=True, kw_only=True)
class N(FedAvg):
    """FedAvg."""

    def corrected_by(self):
        return NeverApplied()


@dataclass(frozen=True, kw_only=True)
class B(FedAvg):
    """FedAvg."""

    def corrected_by(self):
        return Neighbours()


class Coins:
    """Everybody throws a coin."""

    def __init__(self, world, p: float = 0.5, told: float = 0.5):
        self.world, self.p, self.told = world, p, told

    def cohort(self, round):
        return np.flatnonzero(np.random.default_rng([self.world.seed, round]).random(self.world.num_clients) < self.p)

    @property
    def probabilities(self):
        return np.full(self.world.num_clients, self.told)


class Unseeded(Coins):
    def cohort(self, round):
        return np.flatnonzero(np.random.default_rng().random(self.world.num_clients) < self.p)


class Sequence(Coins):
    def __init__(self, world):
        super().__init__(world)
        self.rng = np.random.default_rng(world.seed)

    def cohort(self, round):
        return np.flatnonzero(self.rng.random(self.world.num_clients) < self.p)


class Outside(Coins):
    def cohort(self, round):
        return [self.world.num_clients]


class Local:
    """SGD that counts."""

    def train(self, module, batches, start, round, rng, state):
        optimizer = torch.optim.SGD(module.parameters(), lr=batches.lr)
        for x, y in batches:
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(module(x), y).backward()
            optimizer.step()
        return Work(module, {}, {"times": (state or {"times": 0})["times"] + 1})


class UnseededWork:
    def train(self, module, batches, start, round, rng, state):
        return Work(np.random.default_rng().normal(size=len(start)))


class System:
    def train(self, module, batches, start, round, rng, state):
        return Work(np.full(len(start), next(COUNT), np.float32))


class ServerNoise(FlowerFedAvg):
    def aggregate_train(self, server_round, replies):
        arrays, metrics = super().aggregate_train(server_round, replies)
        if arrays is None:
            return None, metrics
        noise = next(COUNT)
        return ArrayRecord({k: Array((v.numpy() + noise).astype(np.float32)) for k, v in arrays.items()}), metrics
'''


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("wrong")
    (made / "own.py").write_text(CODE)
    return made


def some(things: Iterable[str], quick: set[str]) -> list[Any]:
    """Return all things as parameters, those that are not quick marked slow."""
    return [pytest.param(thing, marks=[] if thing in quick else pytest.mark.slow) for thing in things]


SOUND = (
    "./own.py:Fading:fade=0.05",
    "./own.py:Coins:p=0.3:told=0.3",
    "./own.py:Local",
    "stock:flower=FedAdam",
    "fedstale:beta=0.3",
    "scaffold",
    "mime-lite",
    "bernoulli:probabilities=0.3",
)


@pytest.mark.parametrize("thing", some(SOUND, {SOUND[0], SOUND[1], SOUND[3]}))
def test_what_is_sound_keeps_every_law_that_applies(thing: str, folder: Path) -> None:
    found = check(thing, str(folder))
    assert [row for row in found.rows if row.outcome == "fails"] == []
    assert sum(row.outcome == "holds" for row in found.rows) >= 5


FAULTS = {
    "Mutates": {"pure"},
    "Repliers": {"who replies"},
    "Grows": {"fixed keys"},
    "Draws": {"repeatable"},
    "Squares": {"linear", "scale"},
    "Claims": {"unbiased"},
    "Nan": {"empty rounds"},
    "Looks": {"translation"},
    "First": {"names"},
    "A": {"exactness", "means"},
    "D": {"exactness", "means"},
    "N": {"exactness"},
    "B": {"rows"},
    "Unseeded": {"repeatable"},
    "Sequence": {"order"},
    "Outside": {"repeatable"},
    "Coins:p=0.3:told=0.4": {"probabilities"},
    "UnseededWork": {"seeded"},
    "System": {"seeded"},
    "ServerNoise": {"repeatable"},
}
"""The laws that each fault must break; it may break others on the way."""


@pytest.mark.parametrize("fault", some(FAULTS, {"Mutates", "Repliers", "Unseeded", "UnseededWork"}))
def test_a_fault_breaks_its_law_by_name(fault: str, folder: Path) -> None:
    failed = set(check(f"./own.py:{fault}", str(folder)).failed)
    assert FAULTS[fault] <= failed, failed


PROCESSES = {
    "full": Full(),
    "uniform": Uniform(size=5),
    "bernoulli": Bernoulli(probabilities=0.3),
    "markov": Markov(probabilities=0.3, activation=0.2),
    "cyclic": Cyclic(probabilities=0.3, period=10),
    "outage": Outage(),
    "walk": Walk(),
}


@pytest.mark.parametrize("process", PROCESSES.values(), ids=PROCESSES)
def test_built_in_processes_keep_the_laws(process: Participation) -> None:
    assert [verdict for law in PROCESS_LAWS if not (verdict := law(process.process)).holds] == []


FORMS: dict[str, Rule] = {name: kind() for name, kind in catalogue().items() if issubclass(kind, Rule)} | {
    "fedavg-ip": FedAvg(normalise="inverse_probability"),
    "fedvarp-ip": FedVARP(normalise="inverse_probability"),
    "fedstale-auto": FedStale(beta="auto"),
}


@pytest.mark.slow
@pytest.mark.parametrize("rule", FORMS.values(), ids=FORMS)
def test_built_in_rules_keep_what_they_claim(rule: Rule) -> None:
    assert [verdict for law in (*LAWS, *CLAIMED[:-1]) if not (verdict := law(rule)).holds] == []


def test_a_law_says_its_own_name() -> None:
    for law in (*LAWS, *CLAIMED):
        assert law(FedAvg()).law == said(law)[0]


def test_the_command_tells_by_its_exit_code(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    assert main(["check", "./own.py:Coins", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["kind"] == "process"
    assert {row["outcome"] for row in told["rows"]} == {"holds"}
    assert main(["check", "./own.py:Unseeded"]) == 1
    assert "repeatable" in capsys.readouterr().out
    for wrong, text in {
        "./own.py:Fadin": "did you mean 'Fading'?",
        "scafold": "did you mean 'scaffold'?",
        "./own.py:Fading:fad=1": "did you mean 'fade'?",
        "./none.py:X": "is not there",
        "gossip": "no server model",
        "fedavg,fedau": "one thing at a time",
    }.items():
        assert main(["check", wrong]) == 2
        assert text in capsys.readouterr().err
