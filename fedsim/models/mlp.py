"""Fully connected layers; with none hidden it is logistic regression."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import prod

from torch import Tensor, nn


class MlpModule(nn.Module):
    """Linear layers with ReLU between them, on the flattened example: (B, *input_shape) -> logits (B, C)."""

    def __init__(self, input_shape: tuple[int, ...], hidden: Sequence[int], num_classes: int) -> None:
        super().__init__()
        widths = [prod(input_shape), *hidden, num_classes]
        self.layers = nn.ModuleList(nn.Linear(inside, outside) for inside, outside in pairwise(widths))

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        h = x.flatten(1)
        for depth, layer in enumerate(self.layers):
            h = layer(h.relu() if depth else h)
        return h
