"""A base that stands still and an adapter of low rank that trains (LoRA: Hu et al. 2022)."""

import math

import torch
from torch import nn


class Adapted(nn.Module):
    """base(x) + up(down(x)); `up` starts at zero, so that training starts at the base."""

    def __init__(self, input_shape, num_classes, width: int = 64, rank: int = 4):
        super().__init__()
        features = math.prod(input_shape)
        self.base = nn.Sequential(nn.Linear(features, width), nn.ReLU()).requires_grad_(False)
        self.head = nn.Linear(width, num_classes).requires_grad_(False)
        self.down = nn.Linear(width, rank, bias=False)
        self.up = nn.Linear(rank, num_classes, bias=False)
        nn.init.zeros_(self.up.weight)

    def forward(self, x):
        """Return the scores of each class, (examples, classes)."""
        h = self.base(torch.flatten(x, 1))
        return self.head(h) + self.up(self.down(h))
