"""Augmentation of images as they are gathered: another picture in every step, and a pure function of its key.

What happens to an example depends on (seed, round, client, step, position), its position being its number among the
client's own: the same alone and in any lane, on the host and on the device.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import pad

from fedsim.core import LocalWork, ScenarioError, rng
from fedsim.core.contracts import Ids

Integers = npt.NDArray[np.int64]
Draws = npt.NDArray[np.float64]

PADDING = 4
"""Pixels that are put around an image before it is cropped to its old size."""


@dataclass(frozen=True)
class Augment:
    """The augmentations of one round, in the order in which they are named.

    Parameters
    ----------
    names : crop and flip.
    """

    names: tuple[str, ...]
    seed: int
    round: int

    @classmethod
    def of(cls, work: LocalWork, seed: int, round: int) -> Augment | None:
        """Return the augmentations of a round; None where there are none."""
        return cls(work.augment, seed, round) if work.augment else None

    def apply(self, x: Tensor, clients: Ids, first: int, positions: Integers, black: Tensor | None = None) -> Tensor:
        """Return images like x (A, K, B, c, h, w), of steps `first`, `first` + 1, ... and positions (A, K, B).

        `black` (c, 1, 1) is what a black pixel is after standardisation; None where it is 0.
        """
        steps = np.arange(first, first + positions.shape[1])[None, :, None]
        flat = x.reshape(-1, *x.shape[3:])
        for name in self.names:
            key = rng.digest(self.seed, f"augment.{name}", self.round)
            here = [rng.uniforms(key, clients[:, None, None], steps, positions, k).reshape(-1) for k in range(2)]
            flat = AUGMENTATIONS[name](flat, here, black)
        return flat.view(x.shape)


def crop(x: Tensor, draws: Sequence[Draws], black: Tensor | None) -> Tensor:
    """Return images (n, c, h, w) padded by 4 black pixels on each side and cropped to h x w anywhere, uniformly.

    As torchvision's RandomCrop(h, padding=4), before standardisation: black is what it is there.
    """
    height, width = x.shape[2:]
    top, left = (torch.from_numpy((u * (2 * PADDING + 1)).astype(np.int64)).to(x.device) for u in draws)
    wide = pad(x, [PADDING] * 4)
    if black is not None:
        wide = torch.where(pad(torch.ones_like(x[:1], dtype=torch.bool), [PADDING] * 4), wide, black)
    rows = (top[:, None] + torch.arange(height, device=x.device))[:, None, :, None]
    columns = (left[:, None] + torch.arange(width, device=x.device))[:, None, None, :]
    image, channel = (torch.arange(n, device=x.device) for n in x.shape[:2])
    return wide[image[:, None, None, None], channel[None, :, None, None], rows, columns]


def flip(x: Tensor, draws: Sequence[Draws], black: Tensor | None) -> Tensor:
    """Return images (n, c, h, w), each mirrored left to right with probability 1/2."""
    mirrored = torch.from_numpy(draws[0] < 0.5).to(x.device)
    return torch.where(mirrored[:, None, None, None], x.flip(3), x)


AUGMENTATIONS: dict[str, Callable[[Tensor, Sequence[Draws], Tensor | None], Tensor]] = {"crop": crop, "flip": flip}


def refuse_what_is_no_image(names: Sequence[str], input_shape: tuple[int, ...]) -> None:
    """Raise ScenarioError when examples of this shape cannot be augmented."""
    if names and len(input_shape) != 3:
        text = f"needs images (channels, height, width), and an example is of shape {input_shape}; leave it out"
        raise ScenarioError(f"client.augment: {text}")
