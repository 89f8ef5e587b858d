"""Modules of somebody's own, as configs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from fedsim.models.config import OwnModule


class Net(nn.Module):
    """Batch normalisation and dropout, as anybody writes them."""

    def __init__(self, features: int, hidden: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.first = nn.Linear(features, hidden)
        self.norm = nn.BatchNorm1d(hidden)
        self.last = nn.Linear(hidden, classes)
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(self.first(x.flatten(1))).relu()
        out: Tensor = self.last(functional.dropout(h, self.dropout, self.training))
        return out


@dataclass(frozen=True, kw_only=True)
class Normalised(OwnModule):
    """A net with batch normalisation and dropout."""

    name: Literal["normalised"] = "normalised"
    hidden: int = 12
    dropout: float = 0.3

    def module(self, input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
        return Net(torch.Size(input_shape).numel(), self.hidden, num_classes, self.dropout)


class Adapted(nn.Module):
    """A base that stands still, with an adapter of low rank beside it (LoRA: Hu et al. 2022)."""

    def __init__(self, features: int, classes: int, rank: int) -> None:
        super().__init__()
        self.base = nn.Linear(features, classes).requires_grad_(False)
        self.down = nn.Linear(features, rank, bias=False)
        self.up = nn.Linear(rank, classes, bias=False)
        nn.init.zeros_(self.up.weight)

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(1)
        out: Tensor = self.base(flat) + self.up(self.down(flat))
        return out


@dataclass(frozen=True, kw_only=True)
class LowRank(OwnModule):
    """Only the adapter trains."""

    name: Literal["low-rank"] = "low-rank"
    rank: int = 2

    def module(self, input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
        return Adapted(torch.Size(input_shape).numel(), num_classes, self.rank)


@dataclass(frozen=True, kw_only=True)
class Layers(OwnModule):
    """Any layers that are given by word."""

    name: Literal["layers"] = "layers"
    which: str = "relu"
    hidden: int = 64

    def module(self, input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
        features = torch.Size(input_shape).numel()
        parts: list[nn.Module] = [nn.Flatten(), nn.Linear(features, self.hidden)]
        parts.append({"relu": nn.ReLU(), "tanh": nn.Tanh(), "softmax-over-batch": nn.Softmax(dim=0)}[self.which])
        return nn.Sequential(*parts, nn.Linear(self.hidden, num_classes))
