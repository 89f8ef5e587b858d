"""The module that foreign work trains: what it starts from is put in, what has become of it is taken out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from fedsim.clients.kernels.tensors import fresh
from fedsim.core import Layout
from fedsim.core.contracts import Parameters
from fedsim.core.foreign.failures import ForeignError
from fedsim.models.modules.building import trained
from fedsim.models.modules.held import Held, into_training


class Loaded:
    """A module on its device, read and written as a vector (d + b,): what trains, then its buffers.

    Parameters
    ----------
    mode : what `model.buffers` says.
    """

    def __init__(self, module: nn.Module, layout: Layout, mode: str, device: torch.device) -> None:
        self.module, self.layout, self.device = module.to(device), layout, device
        self._mode, self._held = mode, Held(module, mode)

    def load(self, start: Parameters) -> None:
        """Put a model (d + b,) into the module, which is in train mode and has no gradients then."""
        into_training(self.module, self._mode)
        with torch.no_grad():
            for weight, values in zip(trained(self.module), self.layout.views(start).values(), strict=True):
                weight.copy_(fresh(np.ascontiguousarray(values), self.device))
                weight.grad = None
            self._held.load(fresh(np.ascontiguousarray(start[self.layout.size :]), self.device))

    def buffers(self) -> npt.NDArray[np.float32]:
        """Return the module's buffers as they are, (b,)."""
        found: npt.NDArray[np.float32] = self._held.read().cpu().numpy()
        return found

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return copies of all that the module's `state_dict` holds, by name."""
        return {name: value.detach().cpu().numpy().copy() for name, value in self.module.state_dict().items()}

    def take(self, named: Mapping[str, Any], where: str, what: str) -> Parameters:
        """Put what somebody made of the `state_dict` into the module; return its parameters (d,).

        Raises
        ------
        ForeignError : a tensor is missing, or has another shape. It begins with `where`, and says `what` lacks it.
        """
        mine = self.module.state_dict()
        for name, value in mine.items():
            shape, wanted = np.shape(named[name]) if name in named else None, tuple(value.shape)
            if shape != wanted:
                got = "is missing" if shape is None else f"has shape {shape}"
                raise ForeignError(f"{where}: {what} {name} {got}, the model's has {wanted}")
        with torch.no_grad():
            for name, value in mine.items():
                value.copy_(torch.as_tensor(np.asarray(named[name])))
        return self.parameters(self.module)

    def parameters(self, module: nn.Module) -> Parameters:
        """Return the parameters (d,) of a module of the same layout that train."""
        parts = [value.detach().reshape(-1).float() for value in trained(module)]
        joined: Parameters = torch.cat(parts).cpu().numpy()
        return joined

    def finite(self, delta: npt.NDArray[np.float32], where: str) -> npt.NDArray[np.float32]:
        """Return a delta (d,) that is finite.

        Raises
        ------
        ForeignError : it is not, with the tensor and the place of its first bad number.
        """
        bad = np.flatnonzero(~np.isfinite(delta))
        if len(bad):
            offsets = self.layout.offsets
            tensor = int(np.searchsorted(offsets, bad[0], side="right")) - 1
            raise ForeignError(
                f"{where}: returned {len(bad)} of {len(delta)} numbers that are not finite, the first in "
                f"{self.layout.names[tensor]} at {bad[0] - offsets[tensor]}"
            )
        return delta
