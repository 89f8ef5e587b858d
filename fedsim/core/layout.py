"""A model is one flat float32 vector with a fixed layout of names and shapes: its parameters, then its buffers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from math import prod

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Buffers:
    """The buffers of a model that clients move, such as running statistics: the part behind the parameters.

    Attributes
    ----------
    names, shapes : of the tensors, in order. itemsizes : bytes of one entry of each, as the module holds it.
    local : each client keeps its own, so that they do not travel.
    """

    names: tuple[str, ...] = ()
    shapes: tuple[tuple[int, ...], ...] = ()
    itemsizes: tuple[int, ...] = ()
    local: bool = False

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Number of entries of each tensor."""
        return tuple(prod(shape) for shape in self.shapes)

    @cached_property
    def size(self) -> int:
        """Entries b of all of them."""
        return sum(self.sizes)

    @cached_property
    def nbytes(self) -> int:
        """Bytes that travel each way."""
        return 0 if self.local else sum(n * each for n, each in zip(self.sizes, self.itemsizes, strict=True))


@dataclass(frozen=True)
class Layout:
    """Names and shapes of the tensors inside a flat vector, in order.

    A model with buffers is a vector (d + b,): rules see its first d entries, the parameters that train.

    >>> layout = Layout(("weight", "bias"), ((2, 3), (2,)))
    >>> layout.size
    8
    >>> {name: view.shape for name, view in layout.views(np.zeros(8, np.float32)).items()}
    {'weight': (2, 3), 'bias': (2,)}
    """

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    buffers: Buffers = Buffers()

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
        """Length d of the parameters."""
        return sum(self.sizes)

    @property
    def total(self) -> int:
        """Length d + b of the whole model."""
        return self.size + self.buffers.size

    @property
    def nbytes(self) -> int:
        """Bytes of the model on its way to or from a client."""
        return 4 * self.size + self.buffers.nbytes

    def views(self, flat: npt.NDArray[np.float32]) -> dict[str, npt.NDArray[np.float32]]:
        """Cut the last axis of `flat` (..., d or d + b) into the parameters by name; views, not copies."""
        starts = self.offsets
        return {
            name: flat[..., starts[k] : starts[k + 1]].reshape(*flat.shape[:-1], *self.shapes[k])
            for k, name in enumerate(self.names)
        }

    def flatten(self, tensors: Mapping[str, npt.ArrayLike]) -> npt.NDArray[np.float32]:
        """Concatenate named tensors into one new float32 vector (d,)."""
        parts = [np.asarray(tensors[name], dtype=np.float32).reshape(-1) for name in self.names]
        return np.concatenate(parts) if parts else np.zeros(0, np.float32)
