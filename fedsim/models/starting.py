"""The parameters of round 0, drawn by numpy from the run's seed: no framework's global generator is touched."""

from __future__ import annotations

from math import prod, sqrt

import numpy as np
import numpy.typing as npt

from fedsim.core import Layout, ScenarioError, rng
from fedsim.core.contracts import Parameters
from fedsim.models.configs import Model, Point


def initial(config: Model, layout: Layout, seed: int, *numbers: int) -> Parameters:
    """Return the starting parameters (d,), a function of (seed, numbers); gossip gives the node as a number.

    - `glorot` (Glorot and Bengio 2010, eq. 16): weights U(-b, b) with b = sqrt(6 / (fan_in + fan_out)), biases 0.
    - `torch`, PyTorch's default for linear and convolution layers: weights and biases U(-b, b) with
      b = 1 / sqrt(fan_in).

    Normalisation layers start at weight 1, bias 0 in both.

    Raises
    ------
    ScenarioError : a point with one start per node, asked for without a node or for a node that it does not list.
    """
    if isinstance(config, Point):
        return _start_of_point(config, *numbers)
    stream = rng.stream(seed, "model", *numbers)
    shapes = dict(zip(layout.names, layout.shapes, strict=True))
    flat = np.zeros(layout.size, np.float32)
    for name, view in layout.views(flat).items():
        layer, _, role = name.rpartition(".")
        weight = shapes.get(f"{layer}.weight", view.shape)
        if len(weight) < 2:  # the affine part of a normalisation
            view[...] = 1.0 if role == "weight" else 0.0
        elif config.init == "torch" or role == "weight":
            bound = _bound(weight, config.init)
            view[...] = _uniform(stream, bound, view.shape)
    return flat


def _uniform(stream: np.random.Generator, bound: float, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    return (stream.random(shape, dtype=np.float32) * np.float32(2 * bound)) - np.float32(bound)


def _bound(weight: tuple[int, ...], law: str) -> float:
    """Return the half width of the uniform law for a weight of shape (out, in, *kernel)."""
    receptive = prod(weight[2:])
    fan_in, fan_out = weight[1] * receptive, weight[0] * receptive
    return sqrt(6 / (fan_in + fan_out)) if law == "glorot" else 1 / sqrt(fan_in)


def _start_of_point(config: Point, *numbers: int) -> Parameters:
    starts: list[Parameters] = [np.array(start, dtype=np.float32) for start in config.starts]
    if not config.per_node:
        return starts[0]
    if not numbers:
        raise ScenarioError("model.init: one starting point per node is for gossip; give one list of numbers here")
    if numbers[0] >= len(starts):
        raise ScenarioError(f"model.init: node {numbers[0]} has no starting point, only {len(starts)} are listed")
    return starts[numbers[0]]
