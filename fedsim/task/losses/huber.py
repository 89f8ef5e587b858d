"""Huber's loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Gt

from fedsim.task.losses.numbers import Entrywise

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Huber(Entrywise):
    """Huber's loss of e = output - y: e^2 / 2 up to |e| = delta, then delta (|e| - delta / 2); for numbers.

    Huber, "Robust estimation of a location parameter", Annals of Mathematical Statistics 35, 1964.
    """

    kind: Literal["huber"] = "huber"
    delta: Annotated[float, Gt(0)] = 1.0
    """From here on an error counts linearly."""

    def entries(self, output: Tensor, y: Tensor) -> Tensor:
        """Return the loss of each difference."""
        from torch.nn.functional import huber_loss

        return huber_loss(output, y, reduction="none", delta=self.delta)
