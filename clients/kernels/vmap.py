"""Any model, many clients at once: the gradient of one client by torch.func, mapped over the lane."""

from __future__ import annotations

from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap

from fedsim.clients.kernels.feed import Step
from fedsim.clients.kernels.stacked import Stacked
from fedsim.clients.kernels.update import Update
from fedsim.task import Loss


class VmapStepper:
    """One local step of stacked clients of any model whose buffers stand still."""

    name = "vmap"

    def __init__(self, module: nn.Module, loss: Loss) -> None:
        self._names = [name for name, value in module.named_parameters() if value.requires_grad]

        def weighted(parameters: dict[str, Tensor], x: Tensor, y: Tensor, scale: Tensor) -> Tensor:
            return loss.weighted(functional_call(module, parameters, (x,)), y, scale)

        self.gradient = vmap(grad_and_value(weighted))

    def step(self, stacked: Stacked, batch: Step, update: Update) -> Tensor:
        """Take one step; see `Stepper.step`."""
        parameters = dict(zip(self._names, stacked.weights, strict=True))
        gradients, losses = self.gradient(parameters, batch.x, batch.y, batch.scale.expand(len(batch.x), -1))
        stacked.apply(update, tuple(gradients[name] for name in self._names))
        mean: Tensor = losses
        return mean
