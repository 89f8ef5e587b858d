"""Binary cross-entropy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from fedsim.core import Targets
from fedsim.task.loss import Answer
from fedsim.task.losses.numbers import Entrywise

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Bce(Entrywise):
    """Binary cross-entropy of the logistic function of each output, for yes or no, or several labels at once.

    Targets are 0 or 1, (n,) or (n, L): -y log s(output) - (1 - y) log(1 - s(output)), s(z) = 1 / (1 + exp(-z)), the
    mean over an example's L. One output for each.
    """

    kind: Literal["bce"] = "bce"
    answers: ClassVar[Answer] = "yes or no"
    usual: ClassVar[tuple[str, ...]] = ("accuracy",)
    stacked: ClassVar[bool] = True

    def entries(self, output: Tensor, y: Tensor) -> Tensor:
        """Return the loss of each answer."""
        from torch.nn.functional import binary_cross_entropy_with_logits

        return binary_cross_entropy_with_logits(output, y, reduction="none")

    def refusal(self, targets: Targets) -> str | None:
        """Two classes at most, where targets are classes."""
        if targets.classes > 2:
            return f"bce is for targets 0 and 1, and there are {targets.classes} labels; cross_entropy is for these"
        return None

    def scores(self, output: Tensor) -> Tensor:
        """Return sqrt(s(z) (1 - s(z))) z, the root held fixed."""
        chance = output.detach().sigmoid()
        return (chance * (1.0 - chance)).sqrt() * output

    def errors(self, logits: Tensor, bias: Tensor, y: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
        """Return losses (A,) and E = scale (s(Z) - y) / K, (A, B, K)."""
        output, wanted = logits + bias.unsqueeze(1), y.reshape(logits.shape).to(logits.dtype)
        losses = self.entries(output, wanted).mean(2).mul_(scale).sum(1)
        return losses, output.sigmoid_().sub_(wanted).div_(logits.shape[2]).mul_(scale.unsqueeze(2))
