"""The model of the quadratic dataset: one vector."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
from annotated_types import MinLen

from fedsim.core import Layout, ScenarioError
from fedsim.core.contracts import Parameters
from fedsim.models.config import Model

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class Point(Model):
    """A single vector, the model of `dataset: quadratic`; it starts where `init` says."""

    name: Literal["point"] = "point"
    init: Annotated[tuple[float, ...] | tuple[tuple[float, ...], ...], MinLen(1)]
    """The starting point, d numbers; or, for gossip, one such list per node."""
    trained_by: ClassVar[Literal["quadratic"]] = "quadratic"

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

    def module(self, input_shape: tuple[int, ...], num_outputs: int) -> nn.Module:
        """Return a vector `point` (d,): given centers (B, d), its squared distances to them (B,)."""
        import torch
        from torch import nn

        size = len(self.starts[0])
        if input_shape != (size,):
            raise ScenarioError(
                f"model.init: the point has {size} coordinates, the data asks for {input_shape}; "
                "the model `point` is for `dataset: quadratic`, with as many numbers as a center has"
            )

        class PointModule(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.point = nn.Parameter(torch.zeros(size))

            def forward(self, centers: Tensor) -> Tensor:
                return ((self.point - centers) ** 2).sum(-1)

        return PointModule()

    def start(self, layout: Layout, seed: int, *numbers: int) -> Parameters:
        """Return where the point starts (d,), of the node whose number is given where each has its own.

        Raises
        ------
        ScenarioError : one start per node, asked for without a node or for a node that is not listed.
        """
        starts: list[Parameters] = [np.array(start, dtype=np.float32) for start in self.starts]
        if not self.per_node:
            return starts[0]
        if not numbers:
            raise ScenarioError("model.init: one starting point per node is for gossip; give one list of numbers here")
        if numbers[0] >= len(starts):
            raise ScenarioError(f"model.init: node {numbers[0]} has no starting point, only {len(starts)} are listed")
        return starts[numbers[0]]
