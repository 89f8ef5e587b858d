"""What goes through a message comes out as it was: float64 to the bit, also through a pickle."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from flwr.app import ConfigRecord, RecordDict
from ray import cloudpickle

from fedsim.core import Failure, LinearSum, Reply, Task
from fedsim.strategies.flower import arrays, codec, wire

AWKWARD = np.array([1 / 3, -0.0, 5e-324, np.pi * 1e300])


@pytest.mark.parametrize("pickler", [None, pickle, cloudpickle], ids=["plain", "pickle", "cloudpickle"])
@pytest.mark.parametrize("stale", [None, -AWKWARD], ids=["fresh", "fresh-and-stale"])
def test_a_task_comes_out_as_it_went_in(pickler: object, stale: np.ndarray | None) -> None:
    wire.register()
    params = np.arange(3, dtype=np.float32)
    sums = {"update": LinearSum(AWKWARD), "innovation": LinearSum(AWKWARD[::-1].copy(), stale, stored=True)}
    task = Task(7, params, np.array([2, 5, 2**40, 2**62]), sums, remember=True, attempt=2)
    content = codec.encode_task(task, arrays.record(params=params))
    found = codec.decode_task(content if pickler is None else pickler.loads(pickler.dumps(content)))
    assert (found.round, found.remember, found.attempt) == (7, True, 2)
    assert found.clients.tolist() == task.clients.tolist()
    assert found.params.tobytes() == params.tobytes()
    assert list(found.sums) == ["update", "innovation"]
    for name, asked in sums.items():
        other = found.sums[name]
        assert other.fresh.tobytes() == asked.fresh.tobytes()
        assert (other.stale is None) == (asked.stale is None)
        assert asked.stale is None or other.stale is not None
        assert asked.stale is None or other.stale.tobytes() == asked.stale.tobytes()
        assert other.stored == asked.stored


def test_a_reply_comes_out_as_it_went_in() -> None:
    wire.register()
    failure = Failure(4, "raised", "Traceback ...\nValueError: ünsound")
    reply = Reply(1, 7, np.array([3, 9]), {"update": AWKWARD}, {"loss": 1 / 3}, (failure,), {"train": 0.1})
    found = codec.decode_reply(pickle.loads(pickle.dumps(codec.encode_reply(reply))))
    assert found.sums["update"].tobytes() == AWKWARD.tobytes()
    assert found.clients.tolist() == [3, 9]
    assert (found.node, found.round, found.statistics, found.failures) == (1, 7, {"loss": 1 / 3}, (failure,))


def test_a_task_without_sums_or_a_reply_without_clients_is_no_special_case() -> None:
    params = np.zeros(1, np.float32)
    task = Task(1, params, np.array([0]), {})
    assert codec.decode_task(codec.encode_task(task, arrays.record(params=params))).sums == {}
    empty = Reply(0, 1, np.zeros(0, np.int64), {"update": np.zeros(1)})
    assert codec.decode_reply(codec.encode_reply(empty)).clients.tolist() == []


def test_an_unpickled_record_still_checks_what_is_put_into_it() -> None:
    wire.register()
    record = pickle.loads(pickle.dumps(RecordDict({"told": ConfigRecord({"round": 1})})))
    with pytest.raises(TypeError):
        record["told"]["round"] = object()
    with pytest.raises(TypeError):
        record["more"] = 3


def test_records_are_small_when_pickled() -> None:
    wire.register()
    content = RecordDict({"told": ConfigRecord({"round": 1})})
    assert len(cloudpickle.dumps(content)) < 200
