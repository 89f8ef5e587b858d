"""Which kernel trains, and how many clients share a lane: a formula of model, batch size and device type.

Never a timing and never the free memory: lanes decide the shapes of products and so the last bits of a result.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from fedsim.clients.kernels.trial import Found
from fedsim.core import LocalWork
from fedsim.models import Model
from fedsim.models.modules.building import trained
from fedsim.task import Loss

LANE_BYTES = {"cpu": 8 << 20, "cuda": 8 << 30}
"""What a lane of `auto` may occupy where `client.lane_bytes` is not given: about a core's cache, a part of a GPU."""
LONGEST = 4096
"""Clients in a lane of `auto` at most: beyond, nothing is gained."""


@dataclass(frozen=True)
class KernelChoice:
    """How the clients of a run train: the kernel's name, how many clients share a lane, and why."""

    kernel: str
    lane: int
    reason: str


def plan(
    config: Model,
    work: LocalWork,
    module: nn.Module,
    input_shape: tuple[int, ...],
    device: str,
    loss: Loss,
    *,
    tokens: bool = False,
    found: Found | None = None,
) -> KernelChoice:
    """Choose kernel and lane; `found` is what the trial of a module of somebody's own came to.

    `lane: 1` is the plain loop (`sequential`). A longer lane trains by the kernel that the model names: stacks of
    linear layers by batched products (`stack`) where the loss has a derivative written by hand, everything else by
    torch.func (`vmap`). `auto` takes as many clients as
    fit into `lane_bytes`, counting for each twice its parameters and what the backward pass keeps of one batch; but
    convolutions on a CPU train one by one, as they gain nothing from company. Quadratics always train together.
    A module of somebody's own trains by the kernel that was found to carry it.
    """
    kind = torch.device(device).type
    room = work.lane_bytes or LANE_BYTES[kind]
    size = sum(parameter.numel() for parameter in trained(module))
    if config.trained_by == "quadratic":
        fitting = fit(room, 2 * 8 * size)
        return KernelChoice("quadratic", fitting if work.lane == "auto" else work.lane, "closed form")
    if work.lane == 1:
        return KernelChoice("sequential", 1, "client.lane is 1")
    if found is not None and found.kernel == "sequential":
        return KernelChoice("sequential", 1, found.reason)
    name, told = config.trained_by if found is None else found.kernel, ""
    if name == "stack" and not loss.stacked:
        name, told = "vmap", f"; linear layers by vmap: {loss.kind} has no derivative by hand"
    if work.lane != "auto":
        return KernelChoice(name, work.lane, f"client.lane is {work.lane}{told}")
    if kind == "cpu" and (config.convolves or (config.brought and convolves(module))):
        return KernelChoice("sequential", 1, "convolutions on a CPU gain nothing from a longer lane")
    each = 2 * 4 * size + work.batch_size * kept_bytes(module, input_shape, tokens=tokens)
    return KernelChoice(name, fit(room, each), f"{each} bytes a client, {room} bytes a lane on {kind}{told}")


def convolves(module: nn.Module) -> bool:
    """Return whether a module has convolutions."""
    return any(isinstance(part, _ConvNd) for part in module.modules())


def fit(room: int, each: int) -> int:
    """Return how many pieces of `each` bytes go into `room`, at least 1 and at most `LONGEST`."""
    return max(1, min(LONGEST, room // each))


def kept_bytes(module: nn.Module, input_shape: tuple[int, ...], *, tokens: bool = False) -> int:
    """Return the bytes that autograd keeps of one example for the backward pass, by passing one through the module."""
    seen = {parameter.untyped_storage().data_ptr() for parameter in module.parameters()}
    total = 0

    def count(tensor: Tensor) -> Tensor:
        nonlocal total
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in seen:
            seen.add(storage.data_ptr())
            total += storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        kind, place = torch.int64 if tokens else torch.float32, next(module.parameters()).device
        result = module(torch.zeros((1, *input_shape), dtype=kind, device=place))
    del result  # it held what was counted, so that no address came up twice
    return total
