"""The parameters of many clients as one stack, and what a gradient does to them; one client is a stack of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fedsim.clients.kernels.update import Update
from fedsim.optimizers import Optimizer


@dataclass(frozen=True)
class Stacked:
    """The parameters of A clients, tensor by tensor: entry k of each tuple has shape (A, *shapes[k]).

    Attributes
    ----------
    weights : moved in place by each step.
    starts : where the round began; (1, *shapes[k]) when all clients began at the same place.
    slots : what the optimiser keeps, moved in place: entry k holds its tensors, none for plain SGD.
    done : (A,) float64, the steps that each client's optimiser did in earlier rounds; None when it begins anew.
    shift : added to every gradient, before it is clipped; empty for nothing.
    """

    weights: tuple[Tensor, ...]
    starts: tuple[Tensor, ...]
    slots: tuple[tuple[Tensor, ...], ...]
    done: Tensor | None = None
    shift: tuple[Tensor, ...] = ()

    def first(self, count: int) -> Stacked:
        """Return views of the first `count` clients."""
        if count == len(self.weights[0]):
            return self
        return Stacked(
            tuple(weight[:count] for weight in self.weights),
            self.starts if len(self.starts[0]) == 1 else tuple(start[:count] for start in self.starts),
            tuple(tuple(slot[:count] for slot in slots) for slots in self.slots),
            None if self.done is None else self.done[:count],
            tuple(shift[:count] for shift in self.shift),
        )

    def apply(self, update: Update, gradients: Sequence[Tensor]) -> None:
        """Take one step in place, as `update` says; the gradients (A, *shapes[k]) are used up."""
        if update.plain and not self.shift:
            for weight, gradient in zip(self.weights, gradients, strict=True):
                weight.add_(gradient, alpha=-update.rate)
            return
        work, optimizer = update.work, update.optimizer
        if self.shift:
            for gradient, shift in zip(gradients, self.shift, strict=True):
                gradient.add_(shift)
        if work.clip_norm is not None:
            if work.proximal_mu:
                self._pull(work.proximal_mu, gradients)
            gradients = clipped(gradients, work.clip_norm)
        for k, (weight, gradient) in enumerate(zip(self.weights, gradients, strict=True)):
            if work.weight_decay and not optimizer.decoupled:
                gradient.add_(weight, alpha=work.weight_decay)
            if work.proximal_mu and work.clip_norm is None:
                gradient.add_(torch.sub(weight, self.starts[k]), alpha=work.proximal_mu)
            optimizer.step(weight, gradient, self.slots[k], update.rate, self._count(update.number, weight))

    def _pull(self, mu: float, gradients: Sequence[Tensor]) -> None:
        for weight, start, gradient in zip(self.weights, self.starts, gradients, strict=True):
            gradient.add_(torch.sub(weight, start), alpha=mu)

    def _count(self, number: int, weight: Tensor) -> float | Tensor:
        """Return which step of the optimiser this is: a number, or (A, 1, ...) where clients came with some done."""
        return number if self.done is None else (self.done + number).view(-1, *[1] * (weight.ndim - 1))


def clipped(gradients: Sequence[Tensor], most: float) -> list[Tensor]:
    """Return each client's gradients times min(1, most / (norm + 1e-6)), the norm being over all its tensors.

    >>> first, second = clipped([torch.tensor([[3.0], [0.3]]), torch.tensor([[4.0], [0.4]])], 1.0)
    >>> [round(value, 5) for value in [*first.flatten().tolist(), *second.flatten().tolist()]]
    [0.6, 0.3, 0.8, 0.4]
    """
    norms = [torch.linalg.vector_norm(gradient.flatten(1), dim=1) for gradient in gradients]
    factor = (most / (torch.linalg.vector_norm(torch.stack(norms), dim=0) + 1e-6)).clamp(max=1.0)
    return [gradient * factor.view(-1, *[1] * (gradient.ndim - 1)) for gradient in gradients]


def parted(
    kept: npt.NDArray[np.float32], size: int, slots: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float64] | None]:
    """Take apart what clients kept, (C, slots * size) or one column more: (C, slots, size), and the steps done (C,)."""
    vectors = kept[:, : slots * size].reshape(len(kept), slots, size)
    return vectors, kept[:, -1].astype(np.float64) if kept.shape[1] > slots * size else None


def completed(
    optimizer: Optimizer,
    slots: npt.NDArray[np.float32],
    steps: npt.NDArray[np.int64],
    before: npt.NDArray[np.float32] | None,
) -> npt.NDArray[np.float32] | None:
    """Return what clients keep: their slots (C, slots * d) after a round, and all their steps where these count."""
    if not optimizer.slots or not optimizer.counts:
        return slots if optimizer.slots else None
    done = steps if before is None else before[:, -1] + steps
    return np.concatenate([slots, done[:, None].astype(np.float32)], axis=1)
