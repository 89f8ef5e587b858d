"""ResNet-18 with group normalisation."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from fedsim.models.images import image_shape


class Block(nn.Module):
    """Two 3x3 convolutions with normalisation and a shortcut: (B, inside, H, W) -> (B, outside, H/stride, W/stride)."""

    def __init__(self, inside: int, outside: int, stride: int, groups: int) -> None:
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
        """Return the block's output."""
        h = self.norm1(self.conv1(x)).relu()
        h = self.norm2(self.conv2(h))
        out: Tensor = (h + self.shortcut(x)).relu()
        return out


class ResNetModule(nn.Module):
    """(B, channels, H, W) -> logits (B, C): a 3x3 stem without pooling (as for CIFAR), four stages of two blocks.

    He et al., "Deep residual learning for image recognition", CVPR 2016; GroupNorm instead of BatchNorm as in Hsieh et
    al., "The non-IID data quagmire of decentralized machine learning", ICML 2020: averaging running statistics of
    different clients harms, and a model without them is its parameters alone.
    """

    def __init__(self, input_shape: tuple[int, ...], groups: int, num_classes: int) -> None:
        super().__init__()
        channels, _, _ = image_shape("resnet18-gn", input_shape, 1)
        self.stem = nn.Conv2d(channels, 64, 3, padding=1, bias=False)
        self.norm = nn.GroupNorm(groups, 64)
        widths = [64, 64, 64, 128, 128, 256, 256, 512, 512]
        self.blocks = nn.Sequential(*(Block(a, b, 1 if a == b else 2, groups) for a, b in pairwise(widths)))
        self.output = nn.Linear(512, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        h = self.blocks(self.norm(self.stem(x)).relu())
        # a mean over the image: adaptive pooling has no deterministic backward pass on a GPU
        logits: Tensor = self.output(h.mean(dim=(2, 3)))
        return logits
