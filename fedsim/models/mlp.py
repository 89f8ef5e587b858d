"""Fully connected layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import TYPE_CHECKING, ClassVar, Literal

from fedsim.models.config import Network, Width

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class Mlp(Network):
    """Fully connected layers with ReLU between them, on the flattened example."""

    name: Literal["mlp"] = "mlp"
    hidden: tuple[Width, ...] = (64,)
    """Units of each hidden layer, first to last."""
    trained_by: ClassVar[Literal["stack"]] = "stack"

    def module(self, input_shape: tuple[int, ...], num_outputs: int) -> nn.Module:
        """Return the layers: (B, *input_shape) -> logits (B, C)."""
        return layered(input_shape, self.hidden, num_outputs)


def layered(input_shape: tuple[int, ...], hidden: Sequence[int], num_outputs: int) -> nn.Module:
    """Return linear layers with ReLU between them, on the flattened example: (B, *input_shape) -> logits (B, C)."""
    from torch import nn

    class Layered(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            widths = [prod(input_shape), *hidden, num_outputs]
            self.layers = nn.ModuleList(nn.Linear(inside, outside) for inside, outside in pairwise(widths))

        def forward(self, x: Tensor) -> Tensor:
            h = x.flatten(1)
            for depth, layer in enumerate(self.layers):
                h = layer(h.relu() if depth else h)
            return h

    return Layered()
