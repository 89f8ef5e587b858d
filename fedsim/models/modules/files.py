"""Starting values out of a safetensors file."""

from __future__ import annotations

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import nn

from fedsim.core import ScenarioError
from fedsim.models.starting import Weights


def load_file(module: nn.Module, weights: Weights) -> None:
    """Set every parameter and every buffer that a module saves to what the file holds.

    Raises
    ------
    ScenarioError : the file is none, or its names or shapes are not those of the module; all at once, by name.
    """
    place = f"model.init.file: {weights.file}"
    assert weights.content is not None, "the driver reads the file"
    try:
        found = load(weights.content)
    except SafetensorError as error:
        raise ScenarioError(f"{place} is no safetensors file: {error}") from error
    wanted = module.state_dict(keep_vars=True)
    needed = {id(value): name for name, value in reversed(wanted.items())}  # tied tensors are saved once
    present = {id(wanted[name]) for name in found if name in wanted}
    lines = [f"lacks {name}" for key, name in reversed(needed.items()) if key not in present]
    lines += [f"holds {name}, which the model has not" for name in found if name not in wanted]
    lines += [
        f"holds {name} of shape {tuple(value.shape)}, the model's is {tuple(wanted[name].shape)}"
        for name, value in found.items()
        if name in wanted and value.shape != wanted[name].shape
    ]
    if lines:
        raise ScenarioError("\n".join(f"{place} {line}" for line in lines))
    with torch.no_grad():
        for name, value in found.items():
            wanted[name].copy_(value)
