"""A plain convolutional network; with its default widths the CIFAR model of the FedAU paper."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from annotated_types import Ge, MinLen

from fedsim.models.config import Network, Width
from fedsim.models.images import image_shape

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class Cnn(Network):
    """Convolutions with ReLU and 2x2 pooling, then dense layers; the default is FedAU's CIFAR model.

    Wang and Ji, "A lightweight method for tackling unknown participation statistics in federated averaging", ICLR
    2024. `channels: [32, 64], kernel: 5, dense: [512]` is the model of McMahan et al. 2017.
    """

    name: Literal["cnn"] = "cnn"
    channels: Annotated[tuple[Width, ...], MinLen(1)] = (32, 32)
    """Filters of each convolution; each is followed by ReLU and 2x2 max pooling, which halves the image."""
    kernel: Annotated[int, Ge(1)] = 3
    """Side of the convolution kernels, odd; borders are padded so that only pooling shrinks the image."""
    dense: tuple[Width, ...] = (256, 64)
    """Units of the dense layers before the output."""
    convolves: ClassVar[bool] = True

    @property
    def smallest_side(self) -> int:
        """Each pooling halves the image."""
        return 1 << len(self.channels)

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield (key, message) for options that exclude each other."""
        if self.kernel % 2 == 0:
            yield "kernel", f"must be odd, got {self.kernel}"

    def module(self, input_shape: tuple[int, ...], num_outputs: int) -> nn.Module:
        """Return the network: (B, channels, H, W) -> logits (B, C).

        Borders are padded, so k poolings need images of at least 2^k on a side.
        """
        from torch import nn

        from fedsim.models.modules.pooling import halve

        channels, side, dense = self.channels, self.kernel, self.dense
        first, height, width = image_shape(self.name, input_shape, self.smallest_side)
        features = channels[-1] * (height >> len(channels)) * (width >> len(channels))

        class CnnModule(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.convolutions = nn.ModuleList(
                    nn.Conv2d(inside, outside, side, padding=side // 2)
                    for inside, outside in pairwise([first, *channels])
                )
                self.dense = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise([features, *dense, num_outputs]))

            def forward(self, x: Tensor) -> Tensor:
                h = x
                for convolution in self.convolutions:
                    h = halve(convolution(h))
                h = h.flatten(1)
                for depth, layer in enumerate(self.dense):
                    h = layer(h.relu() if depth else h)
                return h

        return CnnModule()
