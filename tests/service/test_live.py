"""Server-sent events: a snapshot, then what is new, each thing once."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from fedsim.metrics import Evaluated, RolledBack, RunEnded
from fedsim.store.database import Store
from tests.service.conftest import begun, judged, round_done, whole


def told(lines: Iterator[str]) -> Iterator[tuple[str, Any]]:
    """Read events from the lines of a stream."""
    kind = ""
    for line in lines:
        if line.startswith("event: "):
            kind = line[7:]
        elif line.startswith("data: "):
            yield kind, json.loads(line[6:])


@pytest.fixture
def watched(address: str, store: Store) -> Iterator[Iterator[tuple[str, Any]]]:
    store.write([begun("a"), judged("a", 0, 0.1), round_done("a", 1)])
    with httpx.stream("GET", f"{address}/api/runs/a/stream", timeout=30) as answer:
        yield told(answer.iter_lines())


def test_a_snapshot_comes_first(watched: Iterator[tuple[str, Any]]) -> None:
    kind, content = next(watched)
    assert (kind, content["status"], content["round"]) == ("snapshot", "running", 1)
    assert content["series"]["test_accuracy"] == {"round": [0], "value": [0.1]}
    assert content["series"]["train_loss"] == {"round": [1], "value": [1.0]}


def test_a_new_round_is_told_without_what_was_told_before(watched: Iterator[tuple[str, Any]], store: Store) -> None:
    next(watched)
    store.write([round_done("a", 2)])
    kind, content = next(watched)
    assert (kind, content["round"]) == ("rounds", 2)
    assert content["series"]["train_loss"] == {"round": [2], "value": [0.5]}
    assert "test_accuracy" not in content["series"]


def test_an_evaluation_that_comes_late_is_told(watched: Iterator[tuple[str, Any]], store: Store) -> None:
    next(watched)
    store.write([round_done("a", 2), round_done("a", 3)])
    next(watched)
    store.write([Evaluated(run="a", round=2, values={"test_accuracy": 0.4}, wall_time=7.0)])
    assert next(watched)[1]["series"] == {"test_accuracy": {"round": [2], "value": [0.4]}}


def test_a_metric_that_begins_late_is_told_from_its_start(watched: Iterator[tuple[str, Any]], store: Store) -> None:
    next(watched)
    store.write([round_done("a", 2, **{"probe_variance.mifa": 0.3})])
    assert next(watched)[1]["series"]["probe_variance.mifa"] == {"round": [2], "value": [0.3]}


def test_a_run_that_went_back_is_shown_anew(watched: Iterator[tuple[str, Any]], store: Store) -> None:
    next(watched)
    store.write([round_done("a", r) for r in (2, 3)])
    next(watched)
    store.write([RolledBack(run="a", round=1)])
    kind, content = next(watched)
    assert (kind, content["series"]["train_loss"]["round"]) == ("snapshot", [1])


def test_the_end_is_told_and_ends_the_stream(watched: Iterator[tuple[str, Any]], store: Store) -> None:
    next(watched)
    store.write([round_done("a", 2), RunEnded(run="a", status="completed", wall_time=9.0)])
    assert [(kind, content["status"]) for kind, content in watched][-1] == ("end", "completed")


def test_a_finished_run_has_a_snapshot_and_an_end(address: str, store: Store) -> None:
    store.write(whole("a"))  # type: ignore[arg-type]
    with httpx.stream("GET", f"{address}/api/runs/a/stream", timeout=30) as answer:
        assert [kind for kind, _ in told(answer.iter_lines())] == ["snapshot", "end"]


def test_the_list_hears_of_every_change(address: str, store: Store) -> None:
    with httpx.stream("GET", f"{address}/api/stream", timeout=30) as answer:
        changes = told(answer.iter_lines())
        assert next(changes) == ("changed", {"runs": 0})
        store.write([begun("a")])
        assert next(changes) == ("changed", {"runs": 1})
        store.write([round_done("a", 1)])
        assert next(changes) == ("changed", {"runs": 1})
