"""Softmax cross-entropy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from fedsim.core import Targets
from fedsim.task.loss import Answer, Loss

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class CrossEntropy(Loss):
    """Softmax cross-entropy: -log softmax(output)[y], for one label each; an output per class."""

    kind: Literal["cross_entropy"] = "cross_entropy"
    answers: ClassVar[Answer] = "classes"
    usual: ClassVar[tuple[str, ...]] = ("accuracy",)
    stacked: ClassVar[bool] = True

    def of(self, output: Tensor, y: Tensor) -> Tensor:
        """Return the loss of each example (B,) from logits (B, C) and labels (B,)."""
        from torch.nn.functional import cross_entropy

        return cross_entropy(output, y, reduction="none")

    def outputs(self, targets: Targets) -> int:
        """Return C."""
        return targets.classes

    def refusal(self, targets: Targets) -> str | None:
        """Labels are wanted, one each."""
        if targets.numbers:
            return "cross_entropy is for labels, and the targets are numbers; mse and huber are for numbers"
        if targets.shape:
            return (
                f"cross_entropy is for one label each, and a target has shape {targets.shape}; "
                "token_cross_entropy is for rows of tokens, bce for several labels at once"
            )
        return None

    def read(self, output: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (B, C) and labels (B,) as they are."""
        return output, y

    def mean(self, output: Tensor, y: Tensor) -> Tensor:
        """Return the mean loss of a batch, ()."""
        from torch.nn.functional import cross_entropy

        return cross_entropy(output, y)

    def weighted(self, output: Tensor, y: Tensor, scale: Tensor) -> Tensor:
        """Return the weighted sum of losses, by a product with the one-hot labels.

        Indexing has no deterministic backward pass on every GPU.
        """
        import torch

        logs = torch.log_softmax(output, dim=1)
        onehot = (y[:, None] == torch.arange(logs.shape[1], device=y.device)).to(logs.dtype)
        return -((logs * onehot).sum(1) * scale).sum()

    def scores(self, output: Tensor) -> Tensor:
        """Return sqrt(p_y) log p_y, the root held fixed, for every class y."""
        import torch

        logs = torch.log_softmax(output, dim=-1)
        return (0.5 * logs.detach()).exp() * logs

    def errors(self, logits: Tensor, bias: Tensor, y: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
        """Return losses (A,) and E = scale (softmax(Z) - onehot(y)), (A, B, C).

        Classes are moved to the front: a softmax over the first axis runs over whole vectors, several times as fast.
        """
        import torch

        front = torch.add(logits.permute(2, 0, 1), bias.t().unsqueeze(2))
        logs, labels = self.log_softmax(front), y.unsqueeze(0)
        losses = logs.gather(0, labels).squeeze(0).mul_(scale).sum(1).neg_()
        softmax = logs.exp_()
        error = softmax.scatter_(0, labels, softmax.gather(0, labels).sub_(1.0)).mul_(scale)
        return losses, error.permute(1, 2, 0)

    def log_softmax(self, front: Tensor) -> Tensor:
        """Return the log-softmax of logits (C, A, B) over their classes."""
        import torch

        return torch.log_softmax(front, dim=0)
