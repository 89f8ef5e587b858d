"""Cross-entropy of the next token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from fedsim.core import Targets
from fedsim.task.loss import Answer, Loss

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class TokenCrossEntropy(Loss):
    """Softmax cross-entropy of each token, for rows of tokens (n, T); an example's loss is the mean over its row.

    A model gives scores (B, T, V), an output for each token of the vocabulary at each place.
    """

    kind: Literal["token_cross_entropy"] = "token_cross_entropy"
    answers: ClassVar[Answer] = "classes"
    usual: ClassVar[tuple[str, ...]] = ("accuracy", "perplexity")

    def of(self, output: Tensor, y: Tensor) -> Tensor:
        """Return the loss of each example (B,) from scores (B, T, V) and tokens (B, T).

        By a product with the one-hot tokens: indexing has no deterministic backward pass on every GPU.
        """
        import torch

        if output.shape[:-1] != y.shape:
            raise ValueError(
                f"token_cross_entropy needs scores (B, T, vocabulary) for tokens (B, T); got outputs "
                f"{tuple(output.shape)} and targets {tuple(y.shape)}"
            )
        logs = torch.log_softmax(output, dim=-1)
        onehot = (y[..., None] == torch.arange(logs.shape[-1], device=y.device)).to(logs.dtype)
        return -(logs * onehot).sum(-1).reshape(len(y), -1).mean(1)

    def outputs(self, targets: Targets) -> int:
        """Return the size of the vocabulary."""
        return targets.classes

    def refusal(self, targets: Targets) -> str | None:
        """Rows of tokens are wanted."""
        if targets.numbers or not targets.shape:
            kind = "numbers" if targets.numbers else "one label each"
            return f"token_cross_entropy is for rows of tokens, and the targets are {kind}"
        return None

    def read(self, output: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return scores (B T, V) and tokens (B T,)."""
        return output.flatten(0, -2), y.flatten()
