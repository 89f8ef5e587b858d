"""Scalars for TensorBoard, by way of tensorboardX (the extra `tensorboard`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from fedsim.core.config.inputs import place_of
from fedsim.core.errors import ScenarioError
from fedsim.core.system.terminal import visible
from fedsim.metrics.events import Evaluated, Event, RolledBack, RoundDone, RunStarted
from fedsim.metrics.sinks.base import Sink


@dataclass(frozen=True, kw_only=True)
class TensorBoard:
    """Event files that TensorBoard reads, one scalar per metric and round."""

    kind: Literal["tensorboard"] = "tensorboard"
    folder: str | None = None
    """Where the event files go; default `tensorboard` inside the run folder."""

    def open(self, run_folder: Path) -> Sink:
        """Return the sink of one run. Raises ScenarioError when tensorboardX is not installed."""
        if find_spec("tensorboardX") is None:
            raise ScenarioError("the sink tensorboard needs the package tensorboardX: pip install tensorboardX")
        return TensorBoardSink(run_folder / "tensorboard" if self.folder is None else place_of(self.folder))


class TensorBoardSink(Sink):
    """Writes each metric as the scalar of its name; a tagged one as `name/tag`."""

    interval_s = 1.0

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: Any = None

    def write(self, events: Sequence[Event]) -> None:
        """Write scalars; they are on disk within 2 s. A rollback purges later rounds, as TensorBoard's restarts do."""
        from tensorboardX import SummaryWriter

        for event in events:
            if isinstance(event, RolledBack):
                self.close()
                self._writer = SummaryWriter(str(self._folder), purge_step=event.round + 1, flush_secs=2)
            elif self._writer is None:
                self._writer = SummaryWriter(str(self._folder), flush_secs=2)
            if isinstance(event, RunStarted):
                self._writer.add_text("scenario", _verbatim(event.scenario), 0, event.wall_time)
            elif isinstance(event, RoundDone | Evaluated):
                for name, value in event.values.items():
                    self._writer.add_scalar(name.replace(".", "/", 1), value, event.round, walltime=event.wall_time)

    def close(self) -> None:
        """Close the event file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def _verbatim(text: str) -> str:
    """Return text that Markdown shows as it is: indented, since a text may hold the end of a fence.

    >>> _verbatim("a: 1")
    '    a: 1'
    """
    return "\n".join(f"    {line}" for line in visible(text).splitlines())
