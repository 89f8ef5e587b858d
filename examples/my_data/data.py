"""Three ways to give the same examples; `scenario.yaml` names the first."""

import numpy as np
import torch
from torch.utils.data import Dataset

CLASSES = 3


def blobs(noise: float):
    """Three clouds of points in the plane."""
    draw = np.random.default_rng(7)
    y = draw.integers(0, CLASSES, 900)
    angle = 2 * np.pi * y / CLASSES
    x = np.stack([np.cos(angle), np.sin(angle)], axis=1) + noise * draw.normal(size=(900, 2))
    return x.astype(np.float32), y


def load(noise: float = 0.4):
    """Arrays: dealt to clients by `partition`, a part held out for the test."""
    return blobs(noise)


class Points(Dataset):
    """A map-style torch Dataset; its items are pairs (x, y)."""

    def __init__(self, noise: float = 0.4):
        self.x, self.y = blobs(noise)

    def __len__(self):
        return len(self.y)

    def __getitem__(self, index):
        return torch.from_numpy(self.x[index]), int(self.y[index])


def by_client(noise: float = 0.4, width: int = 45):
    """A list: one dataset for each client, each with a test part of its own."""
    x, y = blobs(noise)
    parts = [slice(first, first + width) for first in range(0, len(y), width)]
    return [{"x": x[p][9:], "y": y[p][9:], "x_test": x[p][:9], "y_test": y[p][:9]} for p in parts]
