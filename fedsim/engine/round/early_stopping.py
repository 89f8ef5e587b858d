"""Why a run ends before its last round: what must be kept of the rounds so far, and what it amounts to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from fedsim.metrics.registry import higher_is_better
from fedsim.scenario import Stop

NAN = float("nan")


@dataclass(frozen=True)
class EarlyStopping:
    """What a run's end depends on, a value that checkpoints hold: a resumed run ends where it would have ended.

    `last` and `best` are of the watched metric (NaN before there is one), `since` counts its values since the best.
    `sent_bytes` and `virtual_s` are of the whole run so far; `finite` says whether the model was.
    """

    last: float = NAN
    best: float = NAN
    since: int = 0
    sent_bytes: float = 0.0
    virtual_s: float = 0.0
    finite: bool = True

    def after_round(self, values: Mapping[str, float]) -> EarlyStopping:
        """Return the watch after one more round: what was sent (between nodes, or down and up), the clock."""
        down_and_up = values.get("bytes_down", 0.0) + values.get("bytes_up", 0.0)
        sent = self.sent_bytes + values.get("bytes_exchanged", down_and_up)
        return replace(self, sent_bytes=sent, virtual_s=values.get("virtual_s", self.virtual_s))

    def seeing(self, stop: Stop | None, values: Mapping[str, float]) -> EarlyStopping:
        """Return the watch after a look at some values, which may hold the watched metric.

        >>> watch = EarlyStopping()
        >>> for loss in (3.0, 2.0, 2.5):
        ...     watch = watch.seeing(Stop(metric="test_loss", patience=2), {"test_loss": loss})
        >>> watch.best, watch.last, watch.since
        (2.0, 2.5, 1)
        """
        if stop is None or stop.metric is None or stop.metric not in values:
            return self
        value = float(values[stop.metric])
        first = self.best != self.best
        better = value > self.best if higher_is_better(stop.metric) else value < self.best
        if first or better:
            return replace(self, last=value, best=value, since=0)
        return replace(self, last=value, since=self.since + 1)

    def reason(self, stop: Stop | None) -> str | None:
        """Return why the run should stop now, None when it should go on.

        >>> EarlyStopping(last=0.91).reason(Stop(metric="test_accuracy", target=0.9))
        'test_accuracy has reached 0.91, the target is 0.9'
        """
        if stop is None:
            return None
        if stop.metric is not None and stop.target is not None:
            reached = self.last >= stop.target if higher_is_better(stop.metric) else self.last <= stop.target
            if reached:
                return f"{stop.metric} has reached {self.last:g}, the target is {stop.target:g}"
        if stop.patience is not None and self.since >= stop.patience:
            return f"{stop.metric} has not improved on {self.best:g} in {self.since} evaluations"
        if stop.max_virtual_s is not None and self.virtual_s >= stop.max_virtual_s:
            return f"the virtual clock is at {self.virtual_s:g} s, stop.max_virtual_s is {stop.max_virtual_s:g}"
        if stop.max_bytes is not None and self.sent_bytes >= stop.max_bytes:
            return f"{self.sent_bytes:.0f} bytes have been sent, stop.max_bytes is {stop.max_bytes}"
        return None
