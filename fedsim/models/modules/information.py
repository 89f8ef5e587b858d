"""The diagonal Fisher information of a module: how much its answer to an example hangs on each parameter."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev, vmap

from fedsim.task import Loss

ROOM = 1 << 22
"""Numbers of Jacobians that are held at a time."""


def information(module: nn.Module, loss: Loss, weights: dict[str, Tensor], x: Tensor) -> Tensor:
    """Return the sum over examples x (B, ...) of E_{y ~ p(.|x)} (grad log p)^2, (d,), at some weights by name.

    `loss.scores` turns an answer into numbers whose squared derivatives are that expectation. The examples are taken
    in parts of a size that only the module decides.
    """

    def scores(parameters: dict[str, Tensor], one: Tensor) -> Tensor:
        found = loss.scores(functional_call(module, parameters, (one.unsqueeze(0),)))
        assert found is not None, "checked before a run begins"
        return found.reshape(-1)

    size = sum(weight.numel() for weight in weights.values())
    rows = scores(weights, x[0]).numel()
    part = max(1, ROOM // (size * rows))
    each = vmap(jacrev(scores), in_dims=(None, 0))
    total = torch.zeros(size, dtype=torch.float64, device=x.device)
    for first in range(0, len(x), part):
        found = each(weights, x[first : first + part])
        total += torch.cat([found[name].square().sum((0, 1)).flatten() for name in weights]).double()
    return total
