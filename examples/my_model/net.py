"""A net with batch normalisation and dropout."""

import math

import torch
from torch import nn


class Net(nn.Module):
    """Whatever PyTorch can train; `input_shape` and `num_classes` come from the data, the rest from the scenario."""

    def __init__(self, input_shape, num_classes, hidden: int = 32, dropout: float = 0.2):
        super().__init__()
        self.first = nn.Linear(math.prod(input_shape), hidden)
        self.norm = nn.BatchNorm1d(hidden)
        self.dropout = nn.Dropout(dropout)
        self.last = nn.Linear(hidden, num_classes)

    def forward(self, x):
        """Return the scores of each class, (examples, classes)."""
        h = torch.relu(self.norm(self.first(x.flatten(1))))
        return self.last(self.dropout(h))
