"""Lanes of several nodes, and of several runs, trained in one stream, each with the bits that it has alone.

What a client's training comes to depends on its lane by two things only: how wide each step's batches are filled up,
and which examples the softmax has left over at the lane's end. Lanes that fill up alike and take the same steps may
share a stream: products and sums give each client the same bits in any company, and `softmax` keeps account of ends.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fedsim.clients.batches import Batches, Cuts, draw
from fedsim.clients.kernels.base import Kernel, LaneResult
from fedsim.clients.kernels.feed import Step
from fedsim.clients.kernels.lane import LaneKernel
from fedsim.clients.kernels.softmax import CrossEntropyOfLanes, left_over, vector
from fedsim.clients.kernels.source import Source
from fedsim.clients.kernels.stack import StackStepper
from fedsim.clients.kernels.stacked import Stacked
from fedsim.clients.kernels.update import Update
from fedsim.core import Layout
from fedsim.core.contracts import Ids, Parameters
from fedsim.task.losses.cross_entropy import CrossEntropy

WINDOW_BYTES = 64 << 20
"""Deltas that wait at a time until their nodes have added them up."""
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Lane:
    """A lane that a node asks for: clients (C,) of a round, all from the parameters (d,); `room` clients at most."""

    kernel: Kernel
    params: Parameters
    clients: Ids
    round: int
    room: int


class Streams:
    """Trains lanes together; what it keeps between rounds is one block of deltas."""

    def __init__(self) -> None:
        self._pool = np.empty((0, 0), np.float32)

    def train(self, lanes: Sequence[Lane]) -> Results:
        """Return the results of lanes, which are trained as they are asked for."""
        return Results(self, lanes)

    def pool(self, rows: int, size: int) -> npt.NDArray[np.float32]:
        """Return rows of d numbers to write into; what they held before is void."""
        if self._pool.size < rows * size:
            self._pool = np.empty((rows * size, 1), np.float32)
        return self._pool.reshape(-1)[: rows * size].reshape(rows, size)


class Results:
    """What lanes came to, by their numbers, ascending; those before the last one asked for are void."""

    def __init__(self, streams: Streams, lanes: Sequence[Lane]) -> None:
        self._streams, self._lanes = streams, lanes
        self._ready: dict[int, LaneResult | Exception] = {}
        self._shares: dict[int, float] = {}
        self.seconds = 0.0
        """What training has taken so far."""

    def share(self, numbers: range) -> float:
        """Return the seconds of training that fall to some lanes, by their clients."""
        return sum(self._shares.get(number, 0.0) for number in numbers)

    def of(self, numbers: range) -> Iterator[LaneResult]:
        """Yield the results of some lanes; raise what a lane's training raised."""
        for number in numbers:
            if number not in self._ready:
                began = perf_counter()
                self._ready = dict(self._window(number))
                self._account(perf_counter() - began)
            found = self._ready.pop(number)
            if isinstance(found, Exception):
                raise found
            yield found

    def _account(self, seconds: float) -> None:
        self.seconds += seconds
        clients = sum(len(self._lanes[number].clients) for number in self._ready)
        self._shares |= {n: seconds * len(self._lanes[n].clients) / max(1, clients) for n in self._ready}

    def _window(self, first: int) -> Iterator[tuple[int, LaneResult | Exception]]:
        """Train a lane, and after it as many as may wait."""
        lane = self._lanes[first]
        if not spans(lane.kernel):
            yield first, lane.kernel.train(lane.params, lane.clients, lane.round)
            return
        size, rows, numbers = len(lane.params), 0, []
        most = max(len(lane.clients), WINDOW_BYTES // (4 * size))
        for number in range(first, len(self._lanes)):
            lane = self._lanes[number]
            rows += len(lane.clients)
            if len(lane.params) != size or rows > most or not spans(lane.kernel):
                break
            numbers.append(number)
        if len(numbers) == 1:
            lane = self._lanes[first]
            yield first, lane.kernel.train(lane.params, lane.clients, lane.round)
            return
        yield from zip(numbers, together([self._lanes[number] for number in numbers], self._streams), strict=True)


def spans(kernel: Kernel) -> bool:
    """Return whether lanes of a kernel can share a stream: stacks by SGD, with cross-entropy, on a CPU."""
    return (
        isinstance(kernel, LaneKernel)
        and isinstance(kernel.stepper, StackStepper)
        and type(kernel.stepper.loss) is CrossEntropy
        and kernel.device.type == "cpu"
        and kernel.update.heavy_ball
        and not kernel.work.augment  # keyed by the client, which a stream knows as a row
        and vector() is not None
    )


@dataclass(frozen=True, eq=False)
class _Drawn:
    """A lane with its batches: its rows in those of a draw, and what it must have in common with its company."""

    number: int
    lane: Lane
    kernel: LaneKernel
    batches: Batches
    rows: Integers
    widths: Integers

    @property
    def key(self) -> Hashable:
        """What lanes of one stream have in common."""
        step = replace(self.kernel.update.begun(self.lane.round), round=0)
        return self.kernel.layout, self.lane.room, step, self.widths.tobytes()

    @property
    def sizes(self) -> Integers:
        """The sizes of the lane's batches, (C, K)."""
        whole = self.batches.cuts.sizes
        steps = len(self.widths)
        return (
            np.broadcast_to(whole[:, :steps], (len(self.rows), steps)) if len(whole) == 1 else whole[self.rows, :steps]
        )


def together(lanes: Sequence[Lane], streams: Streams) -> list[LaneResult | Exception]:
    """Train lanes of one model, those in one stream that go together; results in their order."""
    companies: dict[Hashable, list[_Drawn]] = {}
    for drawn in _drawn(lanes):
        companies.setdefault(drawn.key, []).append(drawn)
    pool = streams.pool(sum(len(lane.clients) for lane in lanes), len(lanes[0].params))
    found: dict[int, LaneResult | Exception] = {}
    for company in companies.values():
        for part in _parts(company):
            rows = sum(len(one.rows) for one in part)
            try:
                found |= _stream(part, pool[:rows])
            except Exception as error:  # each lane is tried by itself where it is asked for
                found |= {one.number: error for one in part}
            pool = pool[rows:]
    return [found[number] for number in range(len(lanes))]


def _parts(company: Sequence[_Drawn]) -> Iterator[list[_Drawn]]:
    """Cut a company into streams of as many clients as a lane may have."""
    part: list[_Drawn] = []
    rows = 0
    for one in company:
        rows += len(one.rows)
        if part and rows > one.lane.room:
            yield part
            part, rows = [], len(one.rows)
        part.append(one)
    yield part


def _drawn(lanes: Sequence[Lane]) -> Iterator[_Drawn]:
    """Draw the batches of lanes; clients that several lanes have of the same data, seed and round are drawn once."""
    groups: dict[Hashable, list[int]] = {}
    kernels = [_spanning(lane) for lane in lanes]
    for number, (lane, kernel) in enumerate(zip(lanes, kernels, strict=True)):
        groups.setdefault((kernel.source.key, kernel.draws, kernel.seed, lane.round), []).append(number)
    for group in groups.values():
        kernel, counts = kernels[group[0]], np.array([len(lanes[number].clients) for number in group])
        ids, rows = np.unique(np.concatenate([lanes[number].clients for number in group]), return_inverse=True)
        batches = draw(kernel.work, kernel.seed, lanes[group[0]].round, ids, kernel.source.counts[ids])
        sizes, ends = batches.cuts.sizes, np.cumsum(counts)
        starts = ends - counts
        alike = len(sizes) == 1
        widths = np.repeat(sizes, len(group), axis=0) if alike else np.maximum.reduceat(sizes[rows], starts, axis=0)
        for number, first, last, width in zip(group, starts.tolist(), ends.tolist(), widths, strict=True):
            yield _Drawn(number, lanes[number], kernels[number], batches, rows[first:last], width[width > 0])


def _spanning(lane: Lane) -> LaneKernel:
    assert isinstance(lane.kernel, LaneKernel), "no other kernel spans lanes"
    return lane.kernel


def _stream(part: Sequence[_Drawn], pool: npt.NDArray[np.float32]) -> dict[int, LaneResult | Exception]:
    """Train the lanes of a part in one stream; their deltas are left in `pool`."""
    lead = part[0].kernel
    joined = _Joined(part)
    starts: dict[int, tuple[int, Parameters]] = {}
    which = [starts.setdefault(id(one.lane.params), (len(starts), one.lane.params))[0] for one in part]
    params: Parameters | Tensor = part[0].lane.params
    counts = np.array([len(one.rows) for one in part])
    lanes = np.repeat(np.arange(len(part)), counts)
    if len(starts) > 1:
        table = torch.from_numpy(np.stack([given for _, given in starts.values()]))
        params = table.index_select(0, torch.from_numpy(np.repeat(which, counts)))
    order = joined.batches.order
    stepper = _Stepper(lead.layout, lanes if order is None else lanes[order])
    done = lead.go(joined, joined.batches, params, np.arange(len(lanes)), part[0].lane.round, stepper=stepper)
    np.copyto(pool, done.deltas)
    done = replace(done, deltas=pool)
    found: dict[int, LaneResult | Exception] = {}
    for one, last in zip(part, np.cumsum(counts).tolist(), strict=True):
        here = slice(last - len(one.rows), last)
        found[one.number] = LaneResult(
            one.lane.clients, pool[here], done.losses[here], done.steps[here], done.examples[here]
        )
    return found


class _Joined:
    """The examples of several lanes as one source; its clients are the rows of the stream."""

    def __init__(self, part: Sequence[_Drawn]) -> None:
        steps = len(part[0].widths)
        self.key, self.black = None, None
        self.example_bytes = part[0].kernel.source.example_bytes
        self.counts = np.concatenate([one.kernel.source.counts[one.lane.clients] for one in part])
        self._clients = np.concatenate([one.lane.clients for one in part])
        self._sources = {one.kernel.source.key: one.kernel.source for one in part}
        self._of = np.repeat([one.kernel.source.key for one in part], [len(one.rows) for one in part])
        broad = max(one.batches.positions.shape[2] for one in part)
        positions = [_wide(one.batches.positions[one.rows, :steps], broad) for one in part]
        alike = all(one.batches.cuts.alike for one in part)  # and as wide as each other, so of the same sizes
        sizes = part[0].batches.cuts.sizes[:, :steps] if alike else np.concatenate([one.sizes for one in part])
        self.batches = Batches(np.concatenate(positions), Cuts.made(sizes))

    def rows(self, clients: Ids, positions: Integers) -> tuple[Tensor, Tensor]:
        """Return the examples; see `Source.rows`."""
        if len(self._sources) == 1:
            return next(iter(self._sources.values())).rows(self._clients[clients], positions)
        of = self._of[clients]
        changes = np.flatnonzero(np.diff(of)) + 1
        parts = []
        for here in np.split(np.arange(len(clients)), changes):
            source: Source = self._sources[int(of[here[0]])]
            parts.append(source.rows(self._clients[clients[here]], positions[here]))
        return torch.cat([x for x, _ in parts]), torch.cat([y for _, y in parts])


def _wide(positions: Integers, broad: int) -> Integers:
    """Repeat the last place of each batch until it is `broad` wide."""
    lacking = broad - positions.shape[2]
    return positions if lacking == 0 else np.pad(positions, ((0, 0), (0, 0), (0, lacking)), mode="edge")


class _Stepper:
    """Steps of a stack whose rows are of several lanes; `lanes` says of which, in the stream's order."""

    name = "stack"

    def __init__(self, layout: Layout, lanes: Integers) -> None:
        self._layout, self._lanes = layout, lanes
        self._steppers: dict[tuple[int, int], StackStepper] = {}

    def step(self, stacked: Stacked, batch: Step, update: Update) -> Tensor:
        """Take one step; see `Stepper.step`."""
        rows, broad = batch.x.shape[:2]
        if (rows, broad) not in self._steppers:
            width = vector()
            assert width is not None, "lanes are not joined where they cannot be"
            places = torch.from_numpy(left_over(self._lanes[:rows], broad, width))
            loss = CrossEntropyOfLanes(left_over=places, vector=width)
            self._steppers[rows, broad] = StackStepper(self._layout, loss)
        return self._steppers[rows, broad].step(stacked, batch, update)
