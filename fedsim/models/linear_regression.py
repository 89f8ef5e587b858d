"""Linear regression."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from fedsim.models.config import Network
from fedsim.models.mlp import layered

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, kw_only=True)
class LinearRegression(Network):
    """Linear regression on the flattened example: an output for each number of a target."""

    name: Literal["linear-regression"] = "linear-regression"
    trained_by: ClassVar[Literal["stack"]] = "stack"

    def module(self, input_shape: tuple[int, ...], num_outputs: int) -> nn.Module:
        """Return one linear layer: (B, *input_shape) -> numbers (B, K)."""
        return layered(input_shape, [], num_outputs)
