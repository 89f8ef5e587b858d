"""The REST interface: runs, their rounds, scenarios, clients and participation, comparisons, events in and out."""

import csv
import io
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, HTTPException, Query, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse, StreamingResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent

from fedsim.analysis import attendance
from fedsim.analysis.grouping import About
from fedsim.metrics.csv_text import harmless
from fedsim.metrics.event_json import plain
from fedsim.service import live, overlay
from fedsim.service.event_models import Told
from fedsim.service.refusals import ASKED, FOREIGN, MISSING, beside_text
from fedsim.store import queries
from fedsim.store.database import Store
from fedsim.store.senders import ForeignRunError

MOST_STREAMS = 100
MOST_COMPARED = 60

Points = Annotated[int, Query(ge=4, le=2_000, description="Points of a curve, at most")]
RoundNumber = Annotated[int, Query(ge=0, le=10**9)]


@dataclass
class ServiceState:
    """What the routes share: the store, one writer at a time, how many may watch, and when all must leave."""

    store: Store
    writes: bool = True
    poll_s: float = 0.5
    lock: threading.Lock = field(default_factory=threading.Lock)
    closing: threading.Event = field(default_factory=threading.Event)
    streams: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(MOST_STREAMS))

    def run(self, run: str) -> dict[str, Any]:
        """Return a run. Raises HTTPException 404, also for what can be no id."""
        found = queries.detailed(self.store, run) if len(run) <= 64 and "\0" not in run and run.isascii() else None
        if found is None:
            raise HTTPException(404, "there is no such run")
        return found

    def watch(self, source: AsyncIterator[ServerSentEvent]) -> AsyncIterator[ServerSentEvent]:
        """Return a limited stream. Raises HTTPException 503 when too many are open."""
        if not self.streams.acquire(blocking=False):
            raise HTTPException(503, f"{MOST_STREAMS} pages are watching already", {"retry-after": "10"})
        return live.limited(source, self.streams.release)


def routes(desk: ServiceState) -> APIRouter:
    """Return the routes under /api."""
    router = APIRouter(prefix="/api", responses=ASKED)
    _about_runs(router, desk)
    _about_one(router, desk)
    _about_clients(router, desk)
    _streams(router, desk)
    return router


def _about_runs(router: APIRouter, desk: ServiceState) -> None:
    @router.get("/runs")
    def runs(
        response: Response,
        text: Annotated[str | None, Query(max_length=200, description="Part of a name, strategy or id")] = None,
        strategy: Annotated[str | None, Query(max_length=100)] = None,
        status: Annotated[
            Literal["running", "completed", "stopped", "diverged", "interrupted", "failed"] | None, Query()
        ] = None,
        seed: Annotated[str | None, Query(pattern=r"^[0-9]{1,39}$")] = None,
        limit: Annotated[int, Query(ge=1, le=500)] = 100,
        offset: Annotated[int, Query(ge=0, le=10**9)] = 0,
        spark: Annotated[int, Query(ge=0, le=100, description="Points of a small curve of each run; 0 for none")] = 0,
    ) -> list[dict[str, Any]]:
        """List runs, the latest first; the header X-Total-Count says how many there are in all."""
        which = queries.Filter(text, _clean(strategy), status, seed)
        found, total = queries.listed(desk.store, which, limit, offset)
        response.headers["x-total-count"] = str(total)
        if spark:
            chosen = queries.headlines(desk.store, [row["id"] for row in found])
            curves = queries.sparklines(desk.store, chosen, spark)
            for row in found:
                row["spark"] = {"metric": chosen.get(row["id"]), "values": curves.get(row["id"], [])}
        return found

    @router.get("/compare", responses=MISSING)
    def compare(
        run: Annotated[list[str], Query(max_length=MOST_COMPARED, description="Run ids; repeat for each")],
        metric: Annotated[str, Query(max_length=200)] = "test_accuracy",
        x: Annotated[
            overlay.Axis, Query(description="Rounds, simulated seconds, bytes, or seconds of training")
        ] = "round",
        points: Points = 400,
    ) -> Response:
        """Overlay runs: a curve each, thinned; a mean and a band for runs that differ in the seed only; a table.

        Values that are not finite are null. Differences are to the first group, paired by seed.
        """
        about = [_about(desk.run(one)) for one in dict.fromkeys(run)]
        return JSONResponse(overlay.overlaid(desk.store, about, _clean(metric) or "", x, points))

    @router.post("/events", status_code=200, responses=FOREIGN)
    def events(told: Told, request: Request) -> dict[str, int]:
        """Record events, all or none, in their order; the answer comes when they are durable.

        Events are idempotent: a sender that got no answer sends the same again. A run goes on under the token that
        sent its first event.
        """
        if not desk.writes:
            raise HTTPException(503, "the store can only be read", {"retry-after": "60"})
        read = [event.read() for event in told.root]
        if read:
            try:
                with desk.lock:
                    desk.store.write(read, request.state.sender)
            except ForeignRunError as error:
                raise HTTPException(403, str(error)) from error
        return {"recorded": len(read)}


def _about_one(router: APIRouter, desk: ServiceState) -> None:
    @router.get("/runs/{run}", responses=MISSING)
    def one(run: str) -> dict[str, Any]:
        """Return a run: its set-up, state, versions, hashes, summary, and the metrics that it reports."""
        found = desk.run(run)
        return {**found, "summary": plain(found["summary"]), "metrics": queries.names(desk.store, run)}

    @router.get("/runs/{run}/scenario", responses=beside_text({**ASKED, **MISSING}), response_class=PlainTextResponse)
    def scenario(run: str) -> str:
        """Return the resolved scenario as YAML."""
        return str(desk.run(run)["scenario"])

    @router.get("/runs/{run}/rounds", responses=MISSING)
    def rounds(
        run: str,
        since: Annotated[int, Query(ge=-1, le=10**9, description="The last round that is known already")] = -1,
        limit: Annotated[int, Query(ge=1, le=10_000)] = 10_000,
    ) -> Response:
        """Return the rounds after `since`, each with all its metrics; numbers that are not finite are text.

        Round 0 is the initial model. The evaluation of a round may come after the round: ask again from before it.
        """
        desk.run(run)
        return JSONResponse(queries.rounds_of(desk.store, run, since, limit))

    @router.get("/runs/{run}/series", responses=MISSING)
    def series(
        run: str, metric: Annotated[list[str], Query(max_length=100)], points: Points = 400
    ) -> dict[str, dict[str, Any]]:
        """Return curves of a run by metric, thinned without losing extremes or the last point."""
        desk.run(run)
        wanted = {(run, name.replace("\0", "")): -1 for name in metric}
        parts = queries.series(desk.store, wanted)
        return {name: live.thinned(found, points) for (_, name), found in parts.items()}

    @router.get("/runs/{run}/notices", responses=MISSING)
    def notices(run: str, limit: Annotated[int, Query(ge=1, le=10_000)] = 1_000) -> list[dict[str, Any]]:
        """Return what went beyond the plan, the latest last."""
        desk.run(run)
        return desk.store.notices(run)[-limit:]

    @router.get(
        "/runs/{run}/rounds.csv",
        responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}, **MISSING},
        response_class=StreamingResponse,
    )
    def table(run: str) -> Response:
        """Return everything that was measured as a tidy table: run, round, metric, value."""
        desk.run(run)
        headers = {"content-disposition": f'attachment; filename="{run}.csv"'}
        return StreamingResponse(_csv(desk.store, run), media_type="text/csv; charset=utf-8", headers=headers)


def _about_clients(router: APIRouter, desk: ServiceState) -> None:
    @router.get("/runs/{run}/clients", responses=MISSING)
    def clients(
        run: str,
        offset: Annotated[int, Query(ge=0, le=2**53)] = 0,
        limit: Annotated[int, Query(ge=1, le=10_000)] = 1_000,
    ) -> dict[str, Any]:
        """Return how often each client took part, when last, and how often it failed."""
        return attendance.clients(desk.store, run, desk.run(run)["num_clients"], offset, limit)

    @router.get("/runs/{run}/participation", responses=MISSING)
    def participation(
        run: str,
        first: RoundNumber = 1,
        last: RoundNumber = 10**9,
        rows: Annotated[int, Query(ge=1, le=400)] = 100,
        columns: Annotated[int, Query(ge=1, le=400)] = 200,
    ) -> dict[str, Any]:
        """Return who took part when, as shares of blocks of clients by rounds."""
        count = desk.run(run)["num_clients"]
        return attendance.blocks(desk.store, run, count, first=first, last=last, rows=rows, columns=columns)


def _streams(router: APIRouter, desk: ServiceState) -> None:
    def known(run: str) -> AsyncIterator[ServerSentEvent]:
        desk.run(run)
        return desk.watch(live.run_changes(desk.store, run, 400, desk.poll_s, desk.closing.is_set))

    def all_runs() -> AsyncIterator[ServerSentEvent]:
        return desk.watch(live.list_changes(desk.store, desk.poll_s, desk.closing.is_set))

    @router.get("/stream", responses=beside_text(ASKED), response_class=EventSourceResponse)
    async def stream(
        source: Annotated[AsyncIterator[ServerSentEvent], Depends(all_runs)],
    ) -> AsyncIterator[ServerSentEvent]:
        """Tell `changed` at once and whenever a run begins, goes on or ends."""
        async for event in source:
            yield event

    @router.get("/runs/{run}/stream", responses=beside_text({**ASKED, **MISSING}), response_class=EventSourceResponse)
    async def run_stream(
        source: Annotated[AsyncIterator[ServerSentEvent], Depends(known)],
    ) -> AsyncIterator[ServerSentEvent]:
        """Tell a `snapshot` of a run's curves, then `rounds` as they come, and `end`."""
        async for event in source:
            yield event


def _about(found: dict[str, Any]) -> About:
    return About(found["id"], found["name"], found["strategy"], found["seed"], found["scenario"])


def _clean(text: str | None) -> str | None:
    """Return text as a database takes it: none holds a NUL."""
    return None if text is None else text.replace("\0", "")


def _csv(store: Store, run: str) -> Iterator[str]:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["run", "round", "metric", "value"])
    for metric in queries.names(store, run):
        parts = queries.series(store, {(run, metric): -1})
        for rounds, values in parts.values():
            about, named = harmless(run), harmless(metric)
            names = [about] * len(rounds), rounds.tolist(), [named] * len(rounds), map(repr, values.tolist())
            writer.writerows(zip(*names, strict=True))
        yield text.getvalue()
        text.seek(0)
        text.truncate()
