"""`data.normalise`: features less their mean, divided by their standard deviation, channel by channel."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from annotated_types import Gt, MinLen

from fedsim.core import Examples, ScenarioError
from fedsim.data.partitioned import Features, Partitioned, standardised

Vector = npt.NDArray[np.float64]

_ROWS = 4096
"""Examples whose features are turned to float64 at a time."""


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """Means and standard deviations that are known, e.g. those that a paper gives: one number a channel."""

    mean: Annotated[tuple[float, ...], MinLen(1)]
    """What is subtracted: of features as they are after `divide_by`, so of images in [0, 1]."""
    std: Annotated[tuple[Annotated[float, Gt(0)], ...], MinLen(1)]
    """What the difference is divided by."""

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield (key, message) for lists of different lengths."""
        if len(self.mean) != len(self.std):
            yield "std", f"give as many as mean, {len(self.mean)}; got {len(self.std)}"


Normalise = Statistics | Literal["channel"] | None
"""Statistics as given, or those of the training pool by the word `channel`; None leaves features as they are."""


def normalised(data: Partitioned, how: Normalise) -> Partitioned:
    """Return the same data with features (x - mean) / std, of the training and of the test examples.

    A channel is the first axis of an example: a colour of an image (channels, height, width), a feature of a vector.
    `channel` takes mean and standard deviation (with denominator n) over the training examples of all clients; a
    channel that is constant there is divided by 1.

    Raises
    ------
    ScenarioError : the features are tokens, or have another number of channels than numbers are given.
    """
    if how is None:
        return data
    if data.x.dtype == np.int64:
        raise ScenarioError("data.normalise: features are tokens, which have no mean; leave it out")
    channels = data.input_shape[0]
    if isinstance(how, Statistics):
        if len(how.mean) != channels:
            text = f"give one number a channel: there are {channels}, got {len(how.mean)}"
            raise ScenarioError(f"data.normalise.mean: {text}")
        mean, std = np.array(how.mean), np.array(how.std)
    else:
        mean, std = _measured(data.x, data.order, data.divisor)
    shape = (channels, *[1] * (len(data.input_shape) - 1))
    shift, scale = (values.astype(np.float32).reshape(shape) for values in (mean, std))
    test = data.test
    if test is not None:
        test = Examples(standardised(test.x.astype(np.float32), shift, scale), test.y)
        test.x.setflags(write=False)
    for array in (shift, scale):
        array.setflags(write=False)
    return replace(data, test=test, mean=shift, std=scale)


def _measured(x: Features, order: npt.NDArray[np.int64], divisor: float) -> tuple[Vector, Vector]:
    """Return mean and standard deviation of each channel (c,) over the examples in `order`, in two passes."""
    channels, count = x.shape[1], max(1, len(order) * (x[0].size // x.shape[1]))

    def total(of: Vector, power: int) -> Vector:
        found = np.zeros(channels)
        for first in range(0, len(order), _ROWS):
            rows = x[order[first : first + _ROWS]].astype(np.float64).reshape(-1, channels, x[0].size // channels)
            found += ((rows / divisor - of[:, None]) ** power).sum(axis=(0, 2))
        return found

    mean = total(np.zeros(channels), 1) / count
    std = np.sqrt(total(mean, 2) / count)
    return mean, np.where(std > 0, std, 1.0)
