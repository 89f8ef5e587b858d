"""Stacks of linear layers with ReLU (linear, mlp), many clients at once: batched products and a hand-written backward.

For layer l of one client, with weights W (out, in), bias b (out,), input A (B, in) and batch weights s (B,), which are
1/size for the examples of the batch and 0 for rows that only fill up:

    Z_l = A_{l-1} W_l^T + b_l                 A_l = max(Z_l, 0)
    E_L = s dloss/dZ_L                        E_{l-1} = (E_l W_l) [A_{l-1} > 0]
    dW_l = E_l^T A_{l-1}                      db_l = sum over B of E_l

E_L is the loss's own (`Loss.errors`): softmax(Z) - onehot(y) for cross-entropy, 2 (Z - y) / K for squared error.
Clients' tensors are stacked along a leading axis and `bmm` carries out the product of each. A plain step needs no
gradient of its own: W -= lr E^T A is one product that accumulates in place.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from fedsim.clients.kernels.feed import Step
from fedsim.clients.kernels.stacked import Stacked
from fedsim.clients.kernels.update import Update
from fedsim.core import Layout
from fedsim.task import Loss


class StackStepper:
    """One local step of stacked clients whose model is linear layers with ReLU between them."""

    name = "stack"

    def __init__(self, layout: Layout, loss: Loss) -> None:
        assert loss.stacked, f"{loss.kind} has no derivative written by hand"
        self.loss = loss
        weights, biases = layout.shapes[0::2], layout.shapes[1::2]
        chained = all(before[0] == after[1] for before, after in pairwise(weights))
        assert chained, f"layers do not follow each other: {layout}"
        assert biases == tuple(w[:1] for w in weights), f"not weight, bias, weight, bias ...: {layout}"

    def step(self, stacked: Stacked, batch: Step, update: Update) -> Tensor:
        """Take one step; see `Stepper.step`."""
        weights, biases = stacked.weights[0::2], stacked.weights[1::2]
        inputs = [batch.x.flatten(2)]
        for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
            inputs.append(torch.bmm(inputs[-1], weight.mT).add_(bias.unsqueeze(1)).relu_())
        logits = torch.bmm(inputs[-1], weights[-1].mT)
        losses, error = self.loss.errors(logits, biases[-1], batch.y, batch.scale)
        gradients: list[Tensor] = []
        for depth in reversed(range(len(weights))):
            before = _back(error, weights[depth], inputs[depth]) if depth else error
            if update.plain:
                weights[depth].baddbmm_(error.mT, inputs[depth], alpha=-update.rate)
                biases[depth].sub_(error.sum(1), alpha=update.rate)
                if stacked.shift:
                    weights[depth].sub_(stacked.shift[2 * depth], alpha=update.rate)
                    biases[depth].sub_(stacked.shift[2 * depth + 1], alpha=update.rate)
            else:
                gradients += [error.sum(1), torch.bmm(error.mT, inputs[depth])]
            error = before
        if gradients:
            stacked.apply(update, tuple(reversed(gradients)))
        return losses


def _back(error: Tensor, weight: Tensor, activation: Tensor) -> Tensor:
    """Return the error of the layer below, (A, B, in)."""
    return torch.bmm(error, weight).mul_(activation > 0)
