"""Study lanes: runs that advance in step, so that all their clients of a round train in one stream.

Each run chooses, steps, records and saves as it does alone, and ends with the same bits. What one of them meets, an
error, a divergence, an early end, is its own: the others go on without it.
"""

from __future__ import annotations

import os
import traceback
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from signal import SIGINT, SIGTERM
from time import perf_counter

from fedsim.analysis.outcome import RunResult
from fedsim.clients.kernels.stream import Lane, Streams
from fedsim.clients.kernels.update import Update
from fedsim.clients.node import Turn
from fedsim.core.system.signals import Stopped
from fedsim.engine.nodes.grid import Collected
from fedsim.engine.nodes.serial import SerialGrid
from fedsim.engine.round.waiting import Play, Wanted
from fedsim.scenario import Scenario, to_mapping
from fedsim.strategies.gossip import Gossip

MOST = 64
"""Runs in one stream at most: with so many no client waits for company."""
WORTH = 1000
"""Rounds of all runs together below which the start of more processes would take longer than they save."""
Done = Callable[[int, RunResult], None]
Step = Callable[[], Wanted]


def lane_key(scenario: Scenario) -> Hashable:
    """Return what runs of one stream have in common; None for a run whose clients gain nothing from company.

    Strategies, seeds and worlds may differ, and learning rates; data, model, task and all other local work may not.
    """
    work, task = scenario.client, scenario.task
    if (
        scenario.engine.kind != "serial"
        or isinstance(scenario.strategy, Gossip)
        or scenario.model.trained_by != "stack"
    ):
        return None
    if work.timeout_s or work.lane == 1 or not work.ours or not Update.of(work).heavy_ball:
        return None
    if task is not None and task.loss is not None and task.loss.kind != "cross_entropy":
        return None
    plain = to_mapping(scenario)
    client = {key: value for key, value in plain["client"].items() if key not in ("lr", "lr_decay", "schedule")}
    kept = {key: plain.get(key) for key in ("data", "model", "task", "folder", "rounds")}
    return repr((sorted(client.items()), sorted(kept.items(), key=lambda item: item[0])))


@dataclass(frozen=True)
class Grouping:
    """How runs are put together: their places by stream, on so many processes."""

    groups: tuple[tuple[int, ...], ...]
    parallel: int

    def __str__(self) -> str:
        """Say it for people.

        >>> str(Grouping(((0, 1, 2), (3, 4)), 2)), str(Grouping(((0,), (1,)), 1))
        ('5 runs in streams of 3 and 2, on 2 processes', '2 runs, one after the other')
        """
        runs = sum(map(len, self.groups))
        sizes = [len(group) for group in self.groups]
        where = f", on {self.parallel} processes" if self.parallel > 1 else ""
        if max(sizes, default=1) == 1:
            return f"{runs} runs, one after the other" if self.parallel == 1 else f"{runs} runs{where}"
        if len(sizes) == 1:
            return f"{runs} runs in one stream"
        counted = sorted(Counter(sizes).items(), reverse=True)
        words = " and ".join(str(size) if count == 1 else f"{count} x {size}" for size, count in counted)
        return f"{runs} runs in streams of {words}{where}"


def grouping(scenarios: Sequence[Scenario], parallel: int | None, *, lanes: bool = True, most: int = MOST) -> Grouping:
    """Put runs together whose clients can train in one stream: at most `most`, and so that all processes have work.

    `parallel` None is a process for each core this one may use, where all runs train in the process that drives them;
    other engines have processes of their own, and run one at a time.
    """
    keys = [lane_key(one) if lanes else None for one in scenarios]
    own = all(one.engine.kind == "serial" for one in scenarios)
    processes = parallel if parallel is not None else len(os.sched_getaffinity(0)) if own else 1
    if parallel is None and sum(one.rounds for one in scenarios) < WORTH:
        processes = 1
    kin: dict[Hashable, list[int]] = {}
    for place, key in enumerate(keys):
        kin.setdefault((place,) if key is None else key, []).append(place)
    groups: list[tuple[int, ...]] = []
    for places in kin.values():
        places.sort(key=lambda place: (scenarios[place].seed, place))
        count = min(len(places), max(processes if len(kin) == 1 else 1, -(-len(places) // most)))
        cuts = [round(part * len(places) / count) for part in range(count + 1)]
        groups += [tuple(places[first:last]) for first, last in pairwise(cuts)]
    groups.sort(key=lambda group: group[0])
    return Grouping(tuple(groups), max(1, min(processes, len(groups))))


def run_together(plays: Mapping[int, Play[RunResult]], done: Done) -> None:
    """Drive runs to their ends, in step; call `done` with the number and the result of each as it ends.

    Raises Stopped after a signal, when all of them have been saved.
    """
    _Company(plays, done).drive()


class _Company:
    """Runs that are driven together, and what each waits for."""

    def __init__(self, plays: Mapping[int, Play[RunResult]], done: Done) -> None:
        self._plays = dict(plays)
        self._done = done
        self._waiting: dict[int, Wanted] = {}
        self._streams = Streams()

    def drive(self) -> None:
        """Advance all runs round by round until the last one has ended."""
        try:
            for number, play in self._plays.items():
                self._go_on(number, play.__next__)
            while self._waiting:
                self._advance()
        except KeyboardInterrupt as stop:
            self._end(stop)
            raise
        except BrokenPipeError:  # nobody hears of results any more
            self._end(Stopped(SIGTERM))
            raise

    def _go_on(self, number: int, step: Step) -> None:
        """Let one run go on until it waits again or ends."""
        self._waiting.pop(number, None)
        try:
            self._waiting[number] = step()
        except StopIteration as end:
            self._done(number, end.value)

    def _advance(self) -> None:
        """Train what all runs wait for in one stream, and let each go on with its own."""
        turns: dict[int, list[Turn]] = {}
        lanes: list[Lane] = []
        first: dict[int, int] = {}
        for number, wanted in list(self._waiting.items()):
            try:
                turns[number] = wanted.grid.begin(wanted.sent) if isinstance(wanted.grid, SerialGrid) else []
            except Exception as error:
                self._fail(number, error)
                continue
            first[number] = len(lanes)
            lanes += [lane for turn in turns[number] for lane in turn.asked]
        results = self._streams.train(lanes)
        for number, place in first.items():
            wanted, began, waited = self._waiting[number], perf_counter(), results.seconds
            try:
                replies = []
                for turn in turns[number]:
                    last = place + len(turn.asked)
                    replies.append(turn.finish(results.of(range(place, last)) if turn.asked else None))
                    place = last
                if isinstance(wanted.grid, SerialGrid) and turns[number]:
                    own = perf_counter() - began - (results.seconds - waited)
                    wanted.grid.serve(wanted.sent, replies, own + results.share(range(first[number], place)))
                collected = wanted.collect()
            except Exception as error:
                self._fail(number, error)
                continue
            self._go_on(number, _sending(self._plays[number], collected))

    def _fail(self, number: int, error: Exception) -> None:
        play = self._plays[number]
        self._go_on(number, lambda: play.throw(error))

    def _end(self, stop: KeyboardInterrupt) -> None:
        """Have every run that has not ended save itself and end."""
        for number in list(self._waiting):
            del self._waiting[number]
            try:
                self._plays[number].throw(Stopped(stop.signum if isinstance(stop, Stopped) else SIGINT))
            except (KeyboardInterrupt, StopIteration):
                pass
            except Exception:
                traceback.print_exc()


def _sending(play: Play[RunResult], collected: Collected) -> Step:
    return lambda: play.send(collected)
