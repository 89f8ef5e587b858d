"""The `model:` section of a scenario: one frozen dataclass per model, told apart by `name`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite
from typing import Annotated, Any, Literal

from annotated_types import Ge, MinLen

Init = Literal["glorot", "torch"]
"""The law of the starting weights: Glorot and Bengio's uniform law with zero biases, or PyTorch's own defaults."""
Width = Annotated[int, Ge(1)]


@dataclass(frozen=True, kw_only=True)
class Linear:
    """Multinomial logistic regression on the flattened example."""

    name: Literal["linear"] = "linear"
    init: Init = "glorot"
    """Law of the starting weights: glorot (zero biases) or torch."""


@dataclass(frozen=True, kw_only=True)
class Mlp:
    """Fully connected layers with ReLU between them, on the flattened example."""

    name: Literal["mlp"] = "mlp"
    hidden: tuple[Width, ...] = (64,)
    """Units of each hidden layer, first to last."""
    init: Init = "glorot"
    """Law of the starting weights: glorot (zero biases) or torch."""


@dataclass(frozen=True, kw_only=True)
class LeNet:
    """LeNet-5 with ReLU and max pooling (LeCun et al. 1998), for images of at least 12x12."""

    name: Literal["lenet"] = "lenet"
    init: Init = "glorot"
    """Law of the starting weights: glorot (zero biases) or torch."""


@dataclass(frozen=True, kw_only=True)
class Cnn:
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
    init: Init = "glorot"
    """Law of the starting weights: glorot (zero biases) or torch."""

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield (key, message) for options that exclude each other."""
        if self.kernel % 2 == 0:
            yield "kernel", f"must be odd, got {self.kernel}"


@dataclass(frozen=True, kw_only=True)
class ResNet18:
    """ResNet-18 for small images with GroupNorm (He et al. 2016; Hsieh et al. 2020): no running statistics."""

    name: Literal["resnet18-gn"] = "resnet18-gn"
    groups: Annotated[int, Ge(1)] = 32
    """Groups of each normalisation; must divide 64."""
    init: Init = "glorot"
    """Law of the starting weights: glorot (zero biases) or torch."""

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield (key, message) for options that exclude each other."""
        if 64 % self.groups:
            yield "groups", f"must divide 64 (1, 2, 4, 8, 16, 32 or 64), got {self.groups}"


@dataclass(frozen=True, kw_only=True)
class Point:
    """A single vector, the model of `dataset: quadratic`; it starts where `init` says."""

    name: Literal["point"] = "point"
    init: Annotated[tuple[float, ...] | tuple[tuple[float, ...], ...], MinLen(1)]
    """The starting point, d numbers; or, for gossip, one such list per node."""

    @property
    def starts(self) -> tuple[tuple[float, ...], ...]:
        """Return the starting points, one or one per node."""
        rows = tuple(tuple(entry) for entry in self.init if not isinstance(entry, int | float))
        return rows or (tuple(entry for entry in self.init if isinstance(entry, int | float)),)

    @property
    def per_node(self) -> bool:
        """Return whether `init` gives one start per node."""
        return not isinstance(self.init[0], int | float)

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield (key, message) for starting points that do not fit together."""
        lengths = sorted({len(start) for start in self.starts})
        if lengths[0] == 0 or len(lengths) > 1:
            yield "init", f"every starting point needs the same number of coordinates, at least one; got {lengths}"
        if not all(isfinite(number) for start in self.starts for number in start):
            yield "init", "must be finite numbers"


SMALLEST = {"lenet": 12, "resnet18-gn": 1}
"""The smallest side of an image that a convolutional model takes; a cnn halves it at each convolution."""


def smallest_side(config: Any) -> int | None:
    """Return the smallest side of the images a model takes, None when it takes examples of any shape.

    >>> smallest_side(Cnn(channels=(8, 8, 8))), smallest_side(Linear())
    (8, None)
    """
    return 2 ** len(config.channels) if isinstance(config, Cnn) else SMALLEST.get(config.name)


Model = Linear | Mlp | LeNet | Cnn | ResNet18 | Point
