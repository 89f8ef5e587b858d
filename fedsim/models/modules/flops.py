"""What one example costs on its way through a module, counted by sending one through."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def forward_flops(module: nn.Module, input_shape: tuple[int, ...], *, tokens: bool = False) -> float:
    """Return the multiplications and additions of one example's forward pass in linear and convolution layers.

    >>> forward_flops(nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)), (3,))
    40.0
    """
    total = 0.0

    def count(layer: nn.Module, _: object, output: object) -> None:
        nonlocal total
        weight = getattr(layer, "weight", None)
        if isinstance(weight, Tensor) and weight.dim() > 1 and isinstance(output, Tensor):
            total += 2.0 * weight.numel() * (output.numel() // weight.shape[0])

    hooks = [layer.register_forward_hook(count) for layer in module.modules()]
    try:
        with torch.no_grad():
            module(torch.zeros((1, *input_shape), dtype=torch.int64 if tokens else torch.float32))
    finally:
        for hook in hooks:
            hook.remove()
    return total
