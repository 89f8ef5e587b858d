"""Server-sent events: a snapshot first, then what is new; nothing told twice, nothing missed."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

import anyio
from anyio.to_thread import run_sync
from fastapi.sse import ServerSentEvent

from fedsim.service.overlay import numbers
from fedsim.service.thinning import kept
from fedsim.store import queries
from fedsim.store.database import Store

T = TypeVar("T")

SHOWN = (
    "test_accuracy", "test_loss", "train_loss", "distance", "update_variance", "cohort_size", "num_invited",
    "memory_age_mean", "memory_age_max", "objective_tv", "round_s", "virtual_s", "consensus_distance",
    "node_accuracy_mean", "node_accuracy_min", "node_accuracy_q10", "node_accuracy_median", "node_accuracy_q90",
    "node_accuracy_max", "node_loss_mean", "spectral_gap",
)  # fmt: skip
"""The series of the run page, beside those of the families below."""
FAMILIES = ("probe_bias2", "probe_variance", "variance_before", "variance_trained", "variance_merged")
MOST_TAGGED = 200
PHASES = (
    "choose_s",
    "send_s",
    "train_s",
    "ship_s",
    "reduce_s",
    "step_s",
    "record_s",
    "evaluate_s",
    "save_s",
    "probe_s",
)


def shown(store: Store, run: str) -> list[str]:
    """Return the metrics of a run that its page shows."""
    reported = queries.names(store, run)
    tagged = [name for name in reported if name.split(".")[0] in FAMILIES and "." in name]
    judged = [name for name in reported if name.startswith("test_") and name not in SHOWN]
    return [name for name in SHOWN if name in reported] + judged[:MOST_TAGGED] + tagged[:MOST_TAGGED]


def snapshot(store: Store, run: str, points: int) -> tuple[dict[str, Any], dict[str, int]]:
    """Return the thinned series of a run's page with mean phase times, and the last round of each series."""
    parts = queries.series(store, {(run, name): -1 for name in shown(store, run)})
    lasts = {name: int(rounds[-1]) for (_, name), (rounds, _) in parts.items()}
    phases = queries.averages(store, run, PHASES)
    return {"series": {name: thinned(found, points) for (_, name), found in parts.items()}, "phases": phases}, lasts


def thinned(found: queries.Series, points: int) -> dict[str, Any]:
    """Return a series for a chart: at most so many points, the last one among them."""
    rounds, measured = found
    places = kept(measured, points)
    return {"round": rounds[places].tolist(), "value": numbers(measured[places])}


async def run_changes(
    store: Store, run: str, points: int, poll_s: float, closing: Callable[[], bool]
) -> AsyncIterator[ServerSentEvent]:
    """Yield `snapshot`, then `rounds` whenever there is more; `end` when the run is over and all is told.

    A run that went back to a checkpoint gets a new snapshot. A store that cannot be asked just now is asked again.
    """
    lasts: dict[str, int] = {}
    before: tuple[str, int, float] | None = None
    while not closing():
        try:
            now = await run_sync(queries.standing, store, run)
            if now is None:
                return
            if before is None or now[1] < before[1]:
                content, lasts = await run_sync(snapshot, store, run, points)
                yield _event("snapshot", {**_standing(now), **content})
            elif now != before:
                content, fresh = await run_sync(_news, store, run, lasts)
                lasts = lasts | fresh
                yield _event("rounds", {**_standing(now), **content})
            elif now[0] != "running":
                yield _event("end", _standing(now))
                return
            before = now
        except queries.Unreachable as error:
            yield ServerSentEvent(comment=" ".join(str(error).split())[:200])
        await anyio.sleep(poll_s)


async def list_changes(store: Store, poll_s: float, closing: Callable[[], bool]) -> AsyncIterator[ServerSentEvent]:
    """Yield `changed` at once and whenever any run begins, goes on or ends."""
    before: tuple[int, float, int] | None = None
    while not closing():
        try:
            now = await run_sync(queries.changed, store)
            if now != before:
                yield _event("changed", {"runs": now[0]})
            before = now
        except queries.Unreachable as error:
            yield ServerSentEvent(comment=" ".join(str(error).split())[:200])
        await anyio.sleep(poll_s)


def _news(store: Store, run: str, lasts: dict[str, int]) -> tuple[dict[str, Any], dict[str, int]]:
    wanted = {(run, name): lasts.get(name, -1) for name in shown(store, run)}
    parts = queries.series(store, wanted)
    news = {name: {"round": rounds.tolist(), "value": numbers(values)} for (_, name), (rounds, values) in parts.items()}
    return {"series": news}, {name: int(rounds[-1]) for (_, name), (rounds, _) in parts.items()}


def _standing(now: tuple[str, int, float]) -> dict[str, Any]:
    return {"status": now[0], "round": now[1], "updated": now[2]}


def _event(name: str, content: dict[str, Any]) -> ServerSentEvent:
    return ServerSentEvent(event=name, raw_data=json.dumps(content, allow_nan=False, separators=(",", ":")))


async def limited(source: AsyncIterator[ServerSentEvent], free: Callable[[], None]) -> AsyncIterator[ServerSentEvent]:
    """Pass events on, and say `free` however it ends."""
    try:
        async for event in source:
            yield event
    finally:
        free()
