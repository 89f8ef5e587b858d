"""What a run says in the terminal: a header, one line that moves (plain lines in a file), and the result."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedsim.core.system.terminal import visible
from fedsim.metrics.events import Evaluated, Event, Notice, RolledBack, RoundDone, RunEnded, RunStarted
from fedsim.metrics.sinks.base import Sink

if TYPE_CHECKING:
    from rich.console import Console

KEPT = 1000
"""Rounds whose values are kept until their evaluation comes; evaluations run beside the training."""
CLIENT_NOTICES = 5
"""Notices about clients that are printed; the others are in the store. Notices about hosts are all printed."""


class ConsoleSink(Sink):
    """Writes one run to a rich console. On a terminal the progress line moves in place and is cut to its width;
    elsewhere a line is written for the first round, each evaluated one, and else at most once a second.
    """  # noqa: D205

    interval_s = 0.1

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = console.is_terminal and not console.is_dumb_terminal
        self._start: RunStarted | None = None
        self._trained: dict[int, Mapping[str, float]] = {}  # by round, those that may yet be evaluated
        self._tested: Mapping[str, float] = {}
        self._done: list[tuple[int, float]] = []  # (round, time) of the first and of the last one seen
        self._printed = (0, float("-inf"))
        self._client_notices = 0
        self._line_shown = False

    def write(self, events: Sequence[Event]) -> None:
        """Print what the events say; on a terminal only the last state of a batch becomes visible."""
        for event in events:
            match event:
                case RunStarted():
                    self._start = event
                    self._say(header(event), "bold")
                case RoundDone():
                    self._trained_one(event)
                case Evaluated():
                    self._evaluated(event)
                case Notice():
                    self._notice(event)
                case RolledBack():
                    self._done.clear()
                    self._trained.clear()
                    self._printed = (min(self._printed[0], event.round), float("-inf"))
                case RunEnded():
                    self._end(event)
        if self._live and self._done:
            self._show()

    def close(self) -> None:
        """Leave the cursor on a line of its own."""
        self._erase()

    def _trained_one(self, event: RoundDone) -> None:
        self._trained[event.round] = event.values
        while len(self._trained) > KEPT:
            del self._trained[next(iter(self._trained))]
        self._done = [*self._done[:1], (event.round, event.wall_time)]
        if not self._live and event.wall_time - self._printed[1] >= 1.0:
            self._print(event, event.values)

    def _evaluated(self, event: Evaluated) -> None:
        self._tested = event.values
        trained = self._trained.get(event.round, {})
        self._trained = {round: values for round, values in self._trained.items() if round > event.round}
        if not self._live:
            self._print(event, {**trained, **event.values})

    def _print(self, event: RoundDone | Evaluated, values: Mapping[str, float]) -> None:
        """Write one round's own values on a line that stays."""
        line = "  ".join(self._parts(event.round, values).values())
        self._console.print(line.rstrip(), soft_wrap=True, highlight=False, markup=False)
        self._printed = (event.round, event.wall_time)

    def _parts(self, round: int, values: Mapping[str, float]) -> dict[str, str]:
        """Return the pieces of the progress line by name, in the order in which they are shown."""
        rounds = self._start.rounds if self._start else round
        clients = self._start.num_clients if self._start else 1
        parts = {"round": f"round {round:>{len(str(rounds))}}/{rounds}"}
        for name, label, form in (
            ("cohort_size", "cohort", f"<{len(str(clients))}.0f"),
            ("train_loss", "train loss", "<8.4g"),
            ("test_loss", "test loss", "<8.4g"),
            ("test_accuracy", "accuracy", ".4f"),
        ):
            if name in values:
                parts[name] = f"{label} {values[name]:{form}}"
        if len(self._done) == 2:
            (first, began), (reached, now) = self._done
            if now > began and first < reached:
                rate = (reached - first) / (now - began)
                parts["rate"] = f"{rate:.3g} rounds/s"
                if reached < rounds:
                    parts["eta"] = f"ETA {duration((rounds - reached) / rate)}"
        return parts

    def _show(self) -> None:
        latest = self._done[-1][0]
        parts = self._parts(latest, {**self._trained.get(latest, {}), **self._tested})
        room = self._console.width - 1
        kept: list[str] = []
        for name in ("round", "test_accuracy", "eta", "test_loss", "train_loss", "rate", "cohort_size"):
            if name in parts and sum(len(parts[k]) + 2 for k in (*kept, name)) - 2 <= room:
                kept.append(name)
        self._erase()
        line = "  ".join(text for name, text in parts.items() if name in kept)
        self._console.print(line[:room], end="", highlight=False, markup=False, soft_wrap=True)
        self._line_shown = True

    def _erase(self) -> None:
        if self._line_shown:
            from rich.control import Control
            from rich.segment import ControlType

            self._console.control(Control(ControlType.CARRIAGE_RETURN, (ControlType.ERASE_IN_LINE, 2)))
            self._line_shown = False

    def _notice(self, event: Notice) -> None:
        if event.client is not None:
            self._client_notices += 1
            if self._client_notices > CLIENT_NOTICES:
                return
        about = f" client {event.client}" if event.client is not None else f" {event.host}" if event.host else ""
        first = event.text.strip().splitlines()[-1:] or [""]
        self._say(f"round {event.round}:{about} {event.kind}: {first[0]}", "yellow")
        if self._client_notices == CLIENT_NOTICES and event.client is not None:
            self._say("further notices about clients are in the store only", "yellow")

    def _end(self, event: RunEnded) -> None:
        if event.status == "interrupted":  # who pressed Ctrl-C gets one line, from the command itself
            self._erase()
            return
        for line in result(self._start, event, self._client_notices):
            self._say(line, "bold" if not line.startswith(" ") else "")
        self._done.clear()

    def _say(self, line: str, style: str) -> None:
        self._erase()
        self._console.print(visible(line), style=style or None, soft_wrap=True, highlight=False, markup=False)


def header(event: RunStarted) -> str:
    """Say in one line what begins."""
    return (
        f"{event.name}: {event.strategy}, {event.num_clients} clients, {event.rounds} rounds, seed {event.seed}"
    ).replace("\n", " ")


def result(start: RunStarted | None, end: RunEnded, num_notices: int = 0) -> list[str]:
    """Return the lines at the end of a run: how it ended, the final metrics as a table, and where things are."""
    took = f" in {duration(end.wall_time - start.wall_time)}" if start else ""
    lines = [f"{end.status} after {end.summary.get('rounds', '?')} rounds{took}"]
    table = {name.replace("_", " "): f"{value:.6g}" for name, value in _numbers(end.summary.get("final", {})).items()}
    timing = _numbers(end.summary.get("timing", {}))
    if "round_s_median" in timing:
        table["round time, median"] = f"{timing['round_s_median'] * 1000:.3g} ms"
    if "client_updates_per_s" in timing:
        table["client updates per second"] = f"{timing['client_updates_per_s']:,.0f}"
    if chosen := end.summary.get("engine", {}).get("chosen"):
        table["engine"] = str(chosen)
    if training := end.summary.get("engine", {}).get("training"):
        table["training"] = str(training)
    if num_notices:
        table["notices about clients"] = str(num_notices)
    if start and start.folder:
        table["files"] = _near(start.folder)
    if start and start.store:
        table["store"] = _near(start.store)
    width = max(map(len, table), default=0)
    return lines + [f"  {name:<{width}}  {value}" for name, value in table.items()]


def _near(place: str) -> str:
    """Return a path as seen from the working folder when it lies inside."""
    return os.path.relpath(place) if os.path.isabs(place) and Path(place).is_relative_to(Path.cwd()) else place


def _numbers(values: Any) -> dict[str, float]:
    found = values.items() if isinstance(values, Mapping) else ()
    return {name: value for name, value in found if isinstance(value, int | float) and name != "round"}


def duration(seconds: float) -> str:
    """Write a duration for people.

    >>> duration(0.42), duration(75), duration(3700)
    ('0.4 s', '1:15', '1:01:40')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
