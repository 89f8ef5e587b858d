"""What a kernel is: something that trains a lane of clients from given parameters and returns their deltas."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from fedsim.core.client_half import PLAIN, Given
from fedsim.core.contracts import Ids, Parameters


@dataclass(frozen=True)
class LaneResult:
    """What C clients' local work came to; row c belongs to `clients[c]`.

    The arrays of size d are the kernel's own buffers: they hold until the kernel's next `train`.

    Attributes
    ----------
    clients : (C,) the clients, in the order they were given.
    deltas : (C, d) float32, local minus starting parameters.
    losses : (C,) float64, the mean over the local steps of the batch's mean loss, each where the step began; NaN where
        foreign work tells none.
    steps : (C,) local steps taken.
    examples : (C,) examples gone through, repetitions counted.
    kept : (C, w) float32, what each client's optimiser keeps after the last step: its slots one after the other, d
        numbers each, and the number of its steps where that counts; None when it keeps nothing.
    buffers : (C, b) float32, the module's buffers after the last step; None where it has none.
    states : what each client of foreign work keeps for its next round; None without any.
    metrics : what each client of foreign work tells, by name; None without any.
    """

    clients: Ids
    deltas: npt.NDArray[np.float32]
    losses: npt.NDArray[np.float64]
    steps: npt.NDArray[np.int64]
    examples: npt.NDArray[np.int64]
    kept: npt.NDArray[np.float32] | None = None
    buffers: npt.NDArray[np.float32] | None = None
    states: tuple[bytes | None, ...] | None = None
    metrics: tuple[Mapping[str, float], ...] | None = None

    def at(self, places: npt.NDArray[np.int64]) -> LaneResult:
        """Return the rows of some clients, copied."""
        return LaneResult(
            self.clients[places],
            self.deltas[places],
            self.losses[places],
            self.steps[places],
            self.examples[places],
            None if self.kept is None else self.kept[places],
            None if self.buffers is None else self.buffers[places],
            None if self.states is None else tuple(self.states[place] for place in places),
            None if self.metrics is None else tuple(self.metrics[place] for place in places),
        )


class Kernel(Protocol):
    """One way to carry out the local work; all kernels agree to float32 rounding."""

    @property
    def name(self) -> str:
        """The word for this kernel in logs and summaries."""

    def train(
        self,
        params: Parameters,
        clients: Ids,
        round: int,
        kept: npt.NDArray[np.float32] | None = None,
        given: Given = PLAIN,
    ) -> LaneResult:
        """Train the clients (C,) of one lane for a round, none of them seeing another.

        `params` is (d,), where all start, or (C, d), one start for each (gossip); what is behind the d parameters are
        the buffers, for kernels that move them. `kept` (C, w) is what the clients' optimisers kept (`LaneResult.kept`)
        and go on from; None starts them at zero. `given` is what goes into every gradient beside
        the loss.
        """
