"""From a model's config to a torch module, and from a module to the layout of its flat parameters."""

from __future__ import annotations

import os

import torch
from torch import nn

from fedsim.core import CapacityError, Layout, ScenarioError
from fedsim.models.config import Model


def build(config: Model, input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
    """Return the module, its parameters zero until `starting.initial` or a round's parameters are loaded.

    It is made on the meta device, so that no random number is drawn and no global state moves.

    Raises
    ------
    ScenarioError : the model cannot take examples of this shape.
    CapacityError : its parameters do not fit into this machine.
    """
    try:
        with torch.device("meta"):
            module = config.module(input_shape, num_classes)
    except RuntimeError as error:  # more entries than a tensor can count
        raise CapacityError(f"model: {config.name} is too large: {error}") from error
    needed = 4 * layout(module).size
    if needed > (present := os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")):
        raise CapacityError(
            f"model: the parameters take {needed:,} bytes, this machine has {present:,} bytes of memory"
        )
    # not `to_empty`: on meta tensors it imports sympy, half a second in every process
    zeros = {name: torch.zeros(value.shape, dtype=value.dtype) for name, value in module.named_parameters()}
    module.load_state_dict(zeros, assign=True)
    return module


def layout(module: nn.Module) -> Layout:
    """Return names and shapes of the parameters in the module's order.

    Raises
    ------
    ScenarioError : the module keeps running statistics or other buffers, which averaging parameters would lose.
    """
    buffers = [name for name, _ in module.named_buffers()]
    if buffers:
        raise ScenarioError(
            f"model: has running statistics or other buffers ({', '.join(buffers[:3])}); only parameters are averaged, "
            "so use a model without them (GroupNorm instead of BatchNorm)"
        )
    named = list(module.named_parameters())
    return Layout(tuple(name for name, _ in named), tuple(tuple(value.shape) for _, value in named))
