"""The `metrics:` section of a scenario: where rows go, and which further sinks read the events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fedsim.core.tagged import Tagged
from fedsim.metrics.sinks.tensorboard import TensorBoard

AnySink = Annotated[TensorBoard, Tagged("kind")]


@dataclass(frozen=True, kw_only=True)
class MetricsConfig:
    """What is recorded beside rounds.csv and summary.json. Nothing here changes a bit of the training."""

    store: str | None = None
    """Database of the runs: a file (`runs/fedsim.db`, `sqlite:///...`) or `postgresql://...`; default `fedsim.db`
    beside the run folder."""
    sinks: tuple[AnySink, ...] = ()
    """Further readers of the events, e.g. `[{kind: tensorboard}]`."""


def catalogue() -> dict[str, type]:
    """Return the sinks that a scenario can name."""
    return {"tensorboard": TensorBoard}
