"""A small transformer for text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from fedsim.models.config import Width
from fedsim.models.sequences import Sequence

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class TransformerTiny(Sequence):
    """A causal transformer with normalisation first and learnt positions, no dropout: for the next token of a text.

    Vaswani et al., "Attention is all you need", NeurIPS 2017, section 3, the decoder without the encoder; layers as in
    Radford et al., "Language models are unsupervised multitask learners", 2019: h + attention(norm(h)), then
    h + W_2 gelu(W_1 norm(h)) with 4 `width` units between.
    """

    name: Literal["transformer-tiny"] = "transformer-tiny"
    width: Width = 64
    """Numbers that stand for a token."""
    layers: Width = 2
    """Layers of attention and two dense layers each."""
    heads: Width = 4
    """Heads of each attention; must divide `width`."""

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield (key, message) for options that exclude each other."""
        if self.width % self.heads:
            yield "heads", f"must divide width ({self.width}), got {self.heads}"

    def module(self, input_shape: tuple[int, ...], num_outputs: int) -> nn.Module:
        """Return the network: tokens (B, T) -> logits (B, T, K), or (B, K) after the last token."""
        import torch
        from torch import nn
        from torch.nn.functional import gelu

        length, vocabulary = self.length(input_shape), self.vocabulary or num_outputs
        width, heads, depth, last = self.width, self.heads, self.layers, self.outputs

        class Layer(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
                self.attention, self.mixed = nn.Linear(width, 3 * width), nn.Linear(width, width)
                self.dense1, self.dense2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

            def forward(self, h: Tensor, hidden: Tensor) -> Tensor:
                # h (B, T, W); queries, keys and values (B, heads, T, W / heads)
                parts = self.attention(self.norm1(h)).unflatten(2, (3, heads, width // heads))
                query, key, value = parts.permute(2, 0, 3, 1, 4).unbind(0)
                fitting = query @ key.mT / (width // heads) ** 0.5
                seen = fitting.masked_fill(hidden, float("-inf")).softmax(-1) @ value
                h = h + self.mixed(seen.transpose(1, 2).flatten(2))
                out: Tensor = h + self.dense2(gelu(self.dense1(self.norm2(h))))
                return out

        class TransformerModule(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.embedding, self.position = nn.Embedding(vocabulary, width), nn.Embedding(length, width)
                self.layers = nn.ModuleList(Layer() for _ in range(depth))
                self.norm, self.output = nn.LayerNorm(width), nn.Linear(width, num_outputs)

            def forward(self, x: Tensor) -> Tensor:
                places = torch.arange(length, device=x.device)
                h = self.embedding(x) + self.position(places)
                for layer in self.layers:
                    h = layer(h, places > places[:, None])  # a token sees none that come later
                logits: Tensor = self.output(self.norm(h[:, -1] if last == "last" else h))
                return logits

        return TransformerModule()
