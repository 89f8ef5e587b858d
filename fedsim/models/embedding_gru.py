"""A recurrent network for text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from fedsim.models.config import Width
from fedsim.models.sequences import Sequence

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class EmbeddingGru(Sequence):
    """Embedded tokens, one layer of gated recurrent units, a linear output: for the next token of a text.

    Cho et al., "Learning phrase representations using RNN encoder-decoder", EMNLP 2014, eq. 5 to 8, with the reset gate
    behind the product as in PyTorch: r, z = s(W x + U h), n = tanh(W_n x + r (U_n h)), h <- (1 - z) n + z h from h = 0.
    """

    name: Literal["embedding-gru"] = "embedding-gru"
    embedding: Width = 16
    """Numbers that stand for a token."""
    hidden: Width = 64
    """Units of the recurrent layer."""

    def module(self, input_shape: tuple[int, ...], num_outputs: int) -> nn.Module:
        """Return the network: tokens (B, T) -> logits (B, T, K), or (B, K) after the last token."""
        import torch
        from torch import nn

        self.length(input_shape)
        vocabulary, width, hidden, last = self.vocabulary or num_outputs, self.embedding, self.hidden, self.outputs

        class GruModule(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.embedding = nn.Embedding(vocabulary, width)
                self.inputs = nn.Linear(width, 3 * hidden)
                self.state = nn.Linear(hidden, 3 * hidden)
                self.output = nn.Linear(hidden, num_outputs)

            def forward(self, x: Tensor) -> Tensor:
                # written out, as torch.func and deterministic GPUs know no fused recurrence
                told = self.inputs(self.embedding(x))  # (B, T, 3H): all steps in one product
                h = torch.zeros((len(x), hidden), dtype=told.dtype, device=told.device)
                steps = []
                for now in told.unbind(1):
                    before = self.state(h)
                    gates = (now[:, : 2 * hidden] + before[:, : 2 * hidden]).sigmoid()
                    reset, keep = gates[:, :hidden], gates[:, hidden:]
                    new = (now[:, 2 * hidden :] + reset * before[:, 2 * hidden :]).tanh()
                    h = new + keep * (h - new)
                    steps.append(h)
                logits: Tensor = self.output(h if last == "last" else torch.stack(steps, 1))
                return logits

        return GruModule()
