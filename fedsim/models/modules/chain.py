"""Recognises linear layers with ReLU between them in anybody's module, whatever it is called and however written."""

from __future__ import annotations

import operator
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

_FLAT: frozenset[Any] = frozenset({"flatten", "view", "reshape", torch.flatten, torch.reshape})
_RELU: frozenset[Any] = frozenset({"relu", "relu_", torch.relu, torch.relu_, functional.relu, functional.relu_})
_SHAPE: frozenset[Any] = frozenset({"size", getattr, operator.getitem, len, operator.mul})
_NOTHING: frozenset[Any] = frozenset({"contiguous", "float"})


def is_chain(module: nn.Module, x: Tensor) -> bool:
    """Return whether the module is linear layers with biases and ReLU between them, on the flattened example.

    Its graph is read by torch.fx, and what was read is held against the module itself on `x` (B, *input_shape), on all
    of it and on the first example.
    """
    try:
        steps = _steps(module)
    except Exception:  # a forward that cannot be traced is no chain; whatever else is wrong with it shows when it runs
        return False
    if steps is None:
        return False
    layers = [step for step in steps if step is not None]
    alternating = all((one is None) != (other is None) for one, other in pairwise(steps))
    if not layers or not alternating or steps[0] is None or steps[-1] is None:
        return False
    mine = [id(value) for layer in layers for value in (layer.weight, layer.bias)]
    if mine != [id(value) for value in module.parameters() if value.requires_grad]:
        return False  # another order, a shared layer, or parts that do not train
    return all(_same(module, layers, part) for part in (x, x[:1]))


def _same(module: nn.Module, layers: list[nn.Linear], x: Tensor) -> bool:
    with torch.no_grad():
        h = x.flatten(1)
        for depth, layer in enumerate(layers):
            if h.shape[1] != layer.in_features:
                return False
            h = functional.linear(h.relu() if depth else h, layer.weight, layer.bias)
        return torch.equal(module(x), h)


def _steps(module: nn.Module) -> list[nn.Linear | None] | None:
    """Return the layers of a module in the order in which they are used, None for a ReLU; None for any other module."""
    if isinstance(module, nn.Linear):
        return [module] if _plain(module, nn.Linear) else None
    graph = fx.Tracer().trace(module)
    parts = dict(module.named_modules())
    steps: list[nn.Linear | None] = []
    for node in graph.nodes:
        part = parts[node.target] if node.op == "call_module" else None
        if node.op in ("placeholder", "output") or node.target in _SHAPE | _NOTHING:
            continue
        if isinstance(part, nn.Linear) and _plain(part, nn.Linear) and part.bias is not None:
            steps.append(part)
        elif (part is not None and _plain(part, nn.ReLU)) or node.target in _RELU:
            steps.append(None)
        elif not (_flattens(node, part) and not steps) and not (part is not None and _plain(part, nn.Identity)):
            return None
    return steps


def _flattens(node: fx.Node, part: nn.Module | None) -> bool:
    return node.target in _FLAT if part is None else _plain(part, nn.Flatten)


def _plain(part: nn.Module, kind: type[nn.Module]) -> bool:
    """Return whether a layer is exactly of a kind, with nothing hooked to it."""
    return type(part) is kind and not (part._forward_hooks or part._forward_pre_hooks or part._backward_hooks)
