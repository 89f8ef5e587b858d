"""Local work by a user's class: what it is given, what is kept for it, and how its mistakes are told."""

from __future__ import annotations

import os
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from fedsim.clients.delivery import Delivered, Delivery
from fedsim.clients.foreign.kernel import Carried
from fedsim.clients.foreign.states import States, UnkeepableError, decode, encode
from fedsim.clients.foreign.work import ClassWork
from fedsim.clients.training import Trainer
from fedsim.core import LocalWork
from fedsim.core.client_work import ClientWork, Work
from fedsim.models.linear import Linear
from tests.clients.fakes import ragged

WORK = LocalWork(local_steps=3, batch_size=4, lr=0.1)
EVERYONE = np.arange(7)
COUNT = 0


class Sgd:
    """Plain SGD, written down again."""

    def train(self, module: Any, batches: Any, start: Any, round: int, rng: Any, state: Any) -> Work:
        optimizer = torch.optim.SGD(module.parameters(), lr=batches.lr)
        losses = []
        for x, y in batches:
            optimizer.zero_grad()
            loss = cross_entropy(module(x), y)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return Work(module, {"loss": sum(losses) / max(1, len(losses))})


class Counting(Sgd):
    """Also counts how often each client has trained, and draws from every generator."""

    def train(self, module: Any, batches: Any, start: Any, round: int, rng: Any, state: Any) -> Work:
        state = state or {"times": 0, "draws": []}
        state["times"] += 1
        state["draws"].append(
            [rng.random(), random.random(), float(np.random.rand()), float(torch.rand(()))]  # noqa: NPY002
        )
        return Work(np.full(len(start), state["times"], np.float32), {"times": state["times"]}, state)


@dataclass(frozen=True, kw_only=True)
class Fixed(ClientWork):
    made: Any

    def build(self, folder: str) -> Any:
        return self.made


def trainer(made: Any, work: LocalWork = WORK) -> Trainer:
    return Trainer(Linear(), work, ragged((6,)), seed=7, foreign=ClassWork(Fixed(name="fixed", made=made)))


def deliver(made: Any, clients: Any = EVERYONE) -> tuple[list[Any], Delivered]:
    taught, lanes = trainer(made), []
    done = Delivery(taught, None, taught.initial(), clients, 1, foreign=Carried({})).run(lanes.append)
    return lanes, done


def test_sgd_as_foreign_work_is_sgd() -> None:
    plain = Trainer(Linear(), LocalWork(local_steps=3, batch_size=4, lr=0.1, lane=1), ragged((6,)), seed=7)
    ours = np.concatenate([lane.deltas.copy() for lane in plain.lanes(plain.initial(), EVERYONE, 1)])
    lanes = list(trainer(Sgd()).lanes(plain.initial(), EVERYONE, 1))
    assert np.allclose(np.concatenate([lane.deltas for lane in lanes]), ours, atol=1e-6)
    assert [lane.steps.item() for lane in lanes] == [3 if count else 0 for count in ragged((6,)).num_examples]


def test_a_clients_state_and_draws_do_not_depend_on_company_and_the_process_is_left_as_it_was() -> None:
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()  # noqa: NPY002
    taught = trainer(Counting())
    together = {int(lane.clients[0]): lane.states[0] for lane in taught.lanes(taught.initial(), EVERYONE, 1)}
    (alone,) = taught.lanes(taught.initial(), np.array([3]), 1)
    assert decode(alone.states[0]) == decode(together[3])
    assert decode(together[2])["draws"] != decode(together[3])["draws"]
    (again,) = taught.lanes(taught.initial(), np.array([3]), 2, foreign=Carried(together))
    assert decode(again.states[0])["times"] == 2
    assert decode(together[3])["times"] == 1
    assert before == (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist())  # noqa: NPY002


class Raises:
    def train(self, module: Any, batches: Any, start: Any, round: int, rng: Any, state: Any) -> Work:
        raise ValueError("no data here")


class Nan:
    def train(self, module: Any, batches: Any, start: Any, round: int, rng: Any, state: Any) -> Work:
        return Work(start * np.nan)


class Shape:
    def train(self, module: Any, batches: Any, start: Any, round: int, rng: Any, state: Any) -> Work:
        return Work(np.zeros(3, np.float32))


class Nothing:
    def train(self, module: Any, batches: Any, start: Any, round: int, rng: Any, state: Any) -> Any:
        return None


class Itself:
    count = 0

    def train(self, module: Any, batches: Any, start: Any, round: int, rng: Any, state: Any) -> Work:
        self.count += 1
        return Work(module)


class Variable:
    def train(self, module: Any, batches: Any, start: Any, round: int, rng: Any, state: Any) -> Work:
        global COUNT
        COUNT += 1
        return Work(module)


class Process:
    def train(self, module: Any, batches: Any, start: Any, round: int, rng: Any, state: Any) -> Work:
        os.chdir("/")
        torch.set_default_dtype(torch.float64)
        return Work(module)


class Unseeded:
    def train(self, module: Any, batches: Any, start: Any, round: int, rng: Any, state: Any) -> Work:
        return Work(np.random.default_rng().normal(size=len(start)))


class Keeps:
    def train(self, module: Any, batches: Any, start: Any, round: int, rng: Any, state: Any) -> Work:
        return Work(module, {}, {"optimizer": torch.optim.SGD(module.parameters())})


class Metric:
    def train(self, module: Any, batches: Any, start: Any, round: int, rng: Any, state: Any) -> Work:
        return Work(module, {"loss": "low"})


class Exits:
    def train(self, module: Any, batches: Any, start: Any, round: int, rng: Any, state: Any) -> Work:
        raise SystemExit(3)


MISTAKES = {
    Raises: "ValueError: no data here",
    Nan: "returned 28 of 28 numbers that are not finite, the first in layers.0.weight at 0",
    Shape: "returned a delta of shape (3,), expected shape (28,)",
    Nothing: "should return fedsim.Work(delta or module, metrics, state), returned a NoneType",
    Itself: "changed self.count; what lasts goes into the client's state",
    Variable: "changed the module's COUNT; what lasts goes into the client's state",
    Process: "changed the working folder, torch's default dtype; what lasts",
    Unseeded: "a numpy generator without a seed gives other numbers every time; give it a seed",
    Keeps: "state['optimizer'] is a SGD; what is kept is made of numbers",
    Metric: "metric 'loss' should be a finite number, got low",
    Exits: "SystemExit: 3",
}


@pytest.mark.parametrize(("made", "text"), MISTAKES.items(), ids=[made.__name__ for made in MISTAKES])
def test_a_mistake_is_told_in_one_line_with_the_users_file_and_line(made: type[Any], text: str) -> None:
    before = os.getcwd()
    lanes, done = deliver(made(), np.array([0, 1]))
    assert not lanes
    assert [failure.client for failure in done.failures] == [0, 1]
    line, trace, *_ = done.failures[0].text.splitlines()
    assert text in line
    assert trace.startswith("Traceback")
    file, number, _ = line.split(":", 2)
    assert Path(file).name == "test_foreign_work.py"
    first = made.train.__code__.co_firstlineno
    assert first <= int(number) < first + 6
    assert torch.get_default_dtype() == torch.float32
    assert os.getcwd() == before


def test_others_go_on_when_one_fails() -> None:
    class Third(Sgd):
        def train(self, module: Any, batches: Any, start: Any, round: int, rng: Any, state: Any) -> Work:
            if batches.num_examples == ragged((6,)).num_examples[3]:
                raise ValueError("ill")
            return super().train(module, batches, start, round, rng, state)

    lanes, done = deliver(Third())
    ill = np.flatnonzero(ragged((6,)).num_examples == ragged((6,)).num_examples[3]).tolist()
    assert [failure.client for failure in done.failures] == ill
    assert [int(lane.clients[0]) for lane in lanes] == [c for c in EVERYONE.tolist() if c not in ill]


def test_states_hold_what_they_were_given_and_no_code() -> None:
    value = {"a": [1, 2.5, None, True, "x", b"yz"], 3: (np.arange(3), torch.ones(2, 2, dtype=torch.bfloat16))}
    back = decode(encode(value))
    assert back["a"] == value["a"]
    assert np.array_equal(back[3][0], value[3][0])
    assert torch.equal(back[3][1], value[3][1])
    assert encode(back) == encode(value)
    with pytest.raises(UnkeepableError, match="state is a object"):
        encode(object())


def test_a_second_message_for_a_round_reads_what_the_first_one_read(tmp_path: Path) -> None:
    states = States()
    states.open(1)
    states.write(np.array([4]), (b"one",))
    assert states.open(1) == {}
    states.write(np.array([4, 5]), (b"two", None))
    assert states.open(2) == {4: b"two"}
    states.write(np.array([4]), (b"later",))
    states.settle(1)
    states.save(tmp_path, "node-0")
    other = States()
    other.load(tmp_path, "node-0", 1)
    assert other.open(2) == {4: b"two"}
    other.write(np.array([6]), (b"six",))
    third = States()
    third.take(other.snapshot())
    assert third.open(3) == {4: b"two", 6: b"six"}
