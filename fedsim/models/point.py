"""The model of the quadratic dataset: one vector."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class PointModule(nn.Module):
    """A vector `point` (d,); given centers (B, d), returns its squared distances to them (B,)."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.point = nn.Parameter(torch.zeros(size))

    def forward(self, centers: Tensor) -> Tensor:
        """Return ||point - center||^2 for each center."""
        return ((self.point - centers) ** 2).sum(-1)
