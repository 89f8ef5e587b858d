"""From a model's config to a torch module, and from a module to the layout of its flat vector."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.parameter import UninitializedParameter

from fedsim.core import CapacityError, Layout, ScenarioError
from fedsim.core.contracts import Parameters
from fedsim.core.errors import FedsimError
from fedsim.core.foreign.failures import told
from fedsim.core.rng import digest
from fedsim.models.config import Model
from fedsim.models.modules import draws
from fedsim.models.modules.files import load_file
from fedsim.models.modules.held import Held, buffers_of, into_training

if TYPE_CHECKING:
    from collections.abc import Iterator


def build(config: Model, input_shape: tuple[int, ...], num_classes: int, seed: int = 0, *numbers: int) -> nn.Module:
    """Return the module, in train mode.

    Where only its structure counts it is made on the meta device, so that no random number is drawn and no global state
    moves, and its parameters are zero until a round's are loaded. A module whose own values count is made under
    generators keyed by (seed, numbers), which are put back.

    Raises
    ------
    ScenarioError : the model cannot take examples of this shape, or is no module that could be trained.
    CapacityError : its parameters do not fit into this machine.
    """
    if config.keeps_values:
        return _valued(config, input_shape, num_classes, seed, *numbers)
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


def layout(module: nn.Module, mode: str = "average") -> Layout:
    """Return names and shapes of what trains, in the module's order, and of the buffers that are part of the model.

    `mode` is `model.buffers`. Parameters that need no gradient are no part of it: they stay with the module.
    """
    named = [(name, value) for name, value in module.named_parameters() if value.requires_grad]
    names, shapes = tuple(name for name, _ in named), tuple(tuple(value.shape) for _, value in named)
    return Layout(names, shapes, buffers_of(module, mode))


def trained(module: nn.Module) -> list[nn.Parameter]:
    """Return the parameters that train, in the order of the layout."""
    return [value for value in module.parameters() if value.requires_grad]


def values(module: nn.Module, mode: str = "average") -> Parameters:
    """Return the module's values as they are, (d + b,)."""
    parts = [value.detach().reshape(-1) for value in trained(module)]
    held: Parameters = torch.cat([*parts, Held(module, mode).read()]).cpu().numpy().astype(np.float32)
    return held


def _valued(config: Model, input_shape: tuple[int, ...], num_classes: int, seed: int, *numbers: int) -> nn.Module:
    """Make a module with values of its own, and refuse one that cannot be trained."""
    key = digest(seed, "module", *numbers)
    with draws.kept():
        draws.turn(key)
        try:
            module: Any = config.module(input_shape, num_classes)
            made = isinstance(module, nn.Module)
            if made:
                _materialise(module, input_shape)
        except (FedsimError, MemoryError):
            raise
        except Exception as error:
            raise ScenarioError(f"model: {config.name}: {told(error)}") from error
        if not made:
            raise ScenarioError(f"model: {config.name} returns {type(module).__name__}, not a torch.nn.Module")
        if draws.reseeded(key):
            raise ScenarioError(
                f"model: {config.name} seeds torch's global generator; leave that out: its draws are keyed by the seed "
                "of the run, so that every seed has starting values of its own"
            )
    if lines := [f"model: {config.name}: {line}" for line in _unfit(module)]:
        raise ScenarioError("\n".join(lines))
    if config.start_file is not None:
        load_file(module, config.start_file)
    into_training(module, config.buffer_mode)
    whole: nn.Module = module
    return whole


def _materialise(module: nn.Module, input_shape: tuple[int, ...]) -> None:
    """Let lazy layers see one example, so that they know their shapes."""
    if any(isinstance(part, LazyModuleMixin) for part in module.modules()):
        with torch.no_grad():
            module.eval()(torch.zeros((1, *input_shape)))


def _unfit(module: nn.Module) -> Iterator[str]:
    """Yield what keeps a module from being trained."""
    for name, value in module.named_parameters():
        if isinstance(value, UninitializedParameter):
            yield f"the shape of {name} is still unknown after one example"
        elif value.device.type != "cpu":
            yield f"{name} is on {value.device}; leave the device to fedsim (`engine.gpus_per_host`)"
        elif value.requires_grad and value.dtype != torch.float32:
            yield f"{name} is {str(value.dtype).removeprefix('torch.')}; what trains is float32: call .float()"
    if not any(value.requires_grad for value in module.parameters()):
        yield "it has no parameter that needs a gradient: nothing would train"
