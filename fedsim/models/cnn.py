"""A plain convolutional network; with its default widths the CIFAR model of the FedAU paper."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from fedsim.models.images import image_shape
from fedsim.models.pooling import halve


class CnnModule(nn.Module):
    """[convolution, ReLU, 2x2 max pooling] per entry of `channels`, then dense layers with ReLU between them.

    (B, channels, H, W) -> logits (B, C). Borders are padded, so k poolings need images of at least 2^k on a side.
    """

    def __init__(
        self,
        input_shape: tuple[int, ...],
        channels: Sequence[int],
        kernel: int,
        dense: Sequence[int],
        num_classes: int,
    ) -> None:
        super().__init__()
        first, height, width = image_shape("cnn", input_shape, 2 ** len(channels))
        self.convolutions = nn.ModuleList(
            nn.Conv2d(inside, outside, kernel, padding=kernel // 2) for inside, outside in pairwise([first, *channels])
        )
        features = channels[-1] * (height >> len(channels)) * (width >> len(channels))
        self.dense = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise([features, *dense, num_classes]))

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        h = x
        for convolution in self.convolutions:
            h = halve(convolution(h))
        h = h.flatten(1)
        for depth, layer in enumerate(self.dense):
            h = layer(h.relu() if depth else h)
        return h
