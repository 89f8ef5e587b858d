"""ResNet-18 with group normalisation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from annotated_types import Ge

from fedsim.models.config import Network
from fedsim.models.images import image_shape

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class ResNet18(Network):
    """ResNet-18 for small images with GroupNorm (He et al. 2016; Hsieh et al. 2020): no running statistics.

    He et al., "Deep residual learning for image recognition", CVPR 2016; GroupNorm instead of BatchNorm as in Hsieh et
    al., "The non-IID data quagmire of decentralized machine learning", ICML 2020: averaging running statistics of
    different clients harms, and a model without them is its parameters alone.
    """

    name: Literal["resnet18-gn"] = "resnet18-gn"
    groups: Annotated[int, Ge(1)] = 32
    """Groups of each normalisation; must divide 64."""
    convolves: ClassVar[bool] = True

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield (key, message) for options that exclude each other."""
        if 64 % self.groups:
            yield "groups", f"must divide 64 (1, 2, 4, 8, 16, 32 or 64), got {self.groups}"

    def module(self, input_shape: tuple[int, ...], num_outputs: int) -> nn.Module:
        """Return (B, channels, H, W) -> logits (B, C): a 3x3 stem without pooling (as for CIFAR), four stages."""
        from torch import nn

        groups = self.groups
        channels, _, _ = image_shape(self.name, input_shape, self.smallest_side)

        class Block(nn.Module):
            # two 3x3 convolutions and a shortcut: (B, inside, H, W) -> (B, outside, H/stride, W/stride)
            def __init__(self, inside: int, outside: int, stride: int) -> None:
                super().__init__()
                self.conv1 = nn.Conv2d(inside, outside, 3, stride, padding=1, bias=False)
                self.norm1 = nn.GroupNorm(groups, outside)
                self.conv2 = nn.Conv2d(outside, outside, 3, padding=1, bias=False)
                self.norm2 = nn.GroupNorm(groups, outside)
                self.shortcut: nn.Module = nn.Identity()
                if stride != 1 or inside != outside:
                    self.shortcut = nn.Sequential(
                        nn.Conv2d(inside, outside, 1, stride, bias=False), nn.GroupNorm(groups, outside)
                    )

            def forward(self, x: Tensor) -> Tensor:
                h = self.norm1(self.conv1(x)).relu()
                h = self.norm2(self.conv2(h))
                out: Tensor = (h + self.shortcut(x)).relu()
                return out

        class ResNetModule(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.stem = nn.Conv2d(channels, 64, 3, padding=1, bias=False)
                self.norm = nn.GroupNorm(groups, 64)
                widths = [64, 64, 64, 128, 128, 256, 256, 512, 512]
                self.blocks = nn.Sequential(*(Block(a, b, 1 if a == b else 2) for a, b in pairwise(widths)))
                self.output = nn.Linear(512, num_outputs)

            def forward(self, x: Tensor) -> Tensor:
                h = self.blocks(self.norm(self.stem(x)).relu())
                # a mean over the image: adaptive pooling has no deterministic backward pass on a GPU
                logits: Tensor = self.output(h.mean(dim=(2, 3)))
                return logits

        return ResNetModule()
