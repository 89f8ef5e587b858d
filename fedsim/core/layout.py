"""Parameters are one flat float32 vector with a fixed layout of names and shapes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from math import prod

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Layout:
    """Names and shapes of the tensors inside a flat vector, in order.

    >>> layout = Layout(("weight", "bias"), ((2, 3), (2,)))
    >>> layout.size
    8
    >>> {name: view.shape for name, view in layout.views(np.zeros(8, np.float32)).items()}
    {'weight': (2, 3), 'bias': (2,)}
    """

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Number of entries of each tensor."""
        return tuple(prod(shape) for shape in self.shapes)

    @cached_property
    def offsets(self) -> tuple[int, ...]:
        """Where each tensor starts, and the total length last."""
        return (0, *accumulate(self.sizes))

    @cached_property
    def size(self) -> int:
        """Length d of the flat vector."""
        return sum(self.sizes)

    def views(self, flat: npt.NDArray[np.float32]) -> dict[str, npt.NDArray[np.float32]]:
        """Cut the last axis of `flat` (..., d) into tensors by name; views, not copies."""
        starts = self.offsets
        return {
            name: flat[..., starts[k] : starts[k + 1]].reshape(*flat.shape[:-1], *self.shapes[k])
            for k, name in enumerate(self.names)
        }

    def flatten(self, tensors: Mapping[str, npt.ArrayLike]) -> npt.NDArray[np.float32]:
        """Concatenate named tensors into one new float32 vector (d,)."""
        parts = [np.asarray(tensors[name], dtype=np.float32).reshape(-1) for name in self.names]
        return np.concatenate(parts) if parts else np.zeros(0, np.float32)
