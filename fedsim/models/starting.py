"""The parameters of round 0, drawn by numpy from the run's seed: no framework's global generator is touched.

Two words are no law: `module` keeps what the module itself starts with, and a file holds what was saved.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import prod, sqrt
from typing import Literal

import numpy as np
import numpy.typing as npt

from fedsim.core import Layout, ScenarioError, rng
from fedsim.core.config.inputs import InputPath, place_of
from fedsim.core.contracts import Parameters

Init = Literal["glorot", "torch", "module", "kaiming", "caffe_xavier"]
"""The law of the starting weights, by fans; or `module`, what the module itself draws, under a generator keyed by the
seed."""


@dataclass(frozen=True, kw_only=True)
class Weights:
    """Starting values out of a file."""

    file: InputPath
    """A safetensors file with every parameter and buffer of the module by name, as its `state_dict()` has them."""
    content: bytes | None = field(default=None, compare=False, repr=False, metadata={"internal": True})

    def read(self, folder: str) -> Weights:
        """Return this with the file's content, which the hosts get from the driver."""
        try:
            return replace(self, content=place_of(self.file, folder).read_bytes())
        except OSError as error:
            raise ScenarioError(f"model.init.file: {self.file} cannot be read: {error.strerror}") from error


def drawn(law: Init, layout: Layout, seed: int, *numbers: int) -> Parameters:
    """Return the starting parameters (d,), a function of (seed, numbers); gossip gives the node as a number.

    - `glorot` (Glorot and Bengio 2010, eq. 16): weights U(-b, b) with b = sqrt(6 / (fan_in + fan_out)), biases 0.
    - `torch`, PyTorch's default for linear and convolution layers: weights and biases U(-b, b) with
      b = 1 / sqrt(fan_in).
    - `kaiming` (He et al., ICCV 2015, eq. 10, for ReLU): weights N(0, 2 / fan_in), biases 0.
    - `caffe_xavier`, the filler `xavier` of Caffe (caffe/filler.hpp, its default variance_norm FAN_IN): weights
      U(-b, b) with b = sqrt(3 / fan_in), of variance 1 / fan_in, biases 0.

    fan_in is the number of inputs of a unit, fan_out the number of units times the size of a kernel. Normalisation
    layers start at weight 1, bias 0 in all.
    """
    stream = rng.stream(seed, "model", *numbers)
    shapes = dict(zip(layout.names, layout.shapes, strict=True))
    flat = np.zeros(layout.size, np.float32)
    for name, view in layout.views(flat).items():
        layer, _, role = name.rpartition(".")
        weight = shapes.get(f"{layer}.weight", view.shape)
        if len(weight) < 2:  # the affine part of a normalisation
            view[...] = 1.0 if role == "weight" else 0.0
        elif law == "kaiming" and role == "weight":
            deviation = np.float32(sqrt(2 / _fans(weight)[0]))
            view[...] = stream.standard_normal(view.shape, dtype=np.float32) * deviation
        elif law == "torch" or role == "weight":
            bound = _bound(weight, law)
            view[...] = _uniform(stream, bound, view.shape)
    return flat


def _uniform(stream: np.random.Generator, bound: float, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    return (stream.random(shape, dtype=np.float32) * np.float32(2 * bound)) - np.float32(bound)


def _bound(weight: tuple[int, ...], law: str) -> float:
    """Return the half width of the uniform law for a weight of shape (out, in, *kernel)."""
    fan_in, fan_out = _fans(weight)
    if law == "glorot":
        return sqrt(6 / (fan_in + fan_out))
    return sqrt(3 / fan_in) if law == "caffe_xavier" else 1 / sqrt(fan_in)


def _fans(weight: tuple[int, ...]) -> tuple[int, int]:
    receptive = prod(weight[2:])
    return weight[1] * receptive, weight[0] * receptive
