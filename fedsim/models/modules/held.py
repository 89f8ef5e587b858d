"""A module's buffers as a part of the model: one flat float32 vector (b,) beside the parameters.

What is float32 or narrower is held as it is. Integers, booleans and float64 are held as their distance from where they
started, so that a table of constants stays exact whatever its size; a count that was averaged is rounded where a module
takes it in. Buffers that are no part of the model (`frozen`, or registered as not persistent) go back to their starting
values before every client, so that nothing of one client is left for the next.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from fedsim.core import Buffers, ScenarioError

AS_IT_IS = (torch.float32, torch.float16, torch.bfloat16)


def buffers_of(module: nn.Module, mode: str) -> Buffers:
    """Return the buffers that are part of the model under `average`, `local` or `frozen`."""
    found = [(name, tensor) for name, _, _, tensor in _owned(module, mode)]
    return Buffers(
        tuple(name for name, _ in found),
        tuple(tuple(tensor.shape) for _, tensor in found),
        tuple(tensor.element_size() for _, tensor in found),
        local=mode == "local",
    )


def into_training(module: nn.Module, mode: str) -> None:
    """Put a module into train mode; under `frozen` normalisation with running statistics only uses them."""
    module.train()
    for part in running(module) if mode == "frozen" else ():
        part.eval()


def running(module: nn.Module) -> list[nn.Module]:
    """Return the normalisations that have running statistics and, in train mode, move them."""
    parts = (part for part in module.modules() if isinstance(part, _NormBase) and part.track_running_stats)
    return [part for part in parts if part.training]


@contextmanager
def resting(parts: Sequence[nn.Module]) -> Iterator[None]:
    """Put parts of a module into eval mode inside this block, and back into train mode behind it."""
    for part in parts:
        part.eval()
    try:
        yield
    finally:
        for part in parts:
            part.train()


class Held:
    """The buffers of one module, read and written as one vector. The module is on its device by now."""

    def __init__(self, module: nn.Module, mode: str) -> None:
        self._kept = [(owner, key, tensor, tensor.clone()) for _, owner, key, tensor in _owned(module, mode)]
        mine = {id(tensor) for _, _, tensor, _ in self._kept}
        others = ((owner, key, tensor) for _, owner, key, tensor in _all(module) if id(tensor) not in mine)
        self._others = [(owner, key, tensor, tensor.clone(), tensor._version) for owner, key, tensor in others]
        self.size = sum(tensor.numel() for _, _, tensor, _ in self._kept)

    @classmethod
    def of(cls, module: nn.Module, mode: str) -> Held | None:
        """Return the buffers of a module, None where it has none of any kind."""
        return cls(module, mode) if any(True for _ in module.buffers()) else None

    def read(self) -> Tensor:
        """Return the buffers as they are, (b,) float32."""
        parts = []
        for owner, key, _, first in self._kept:
            now = owner._buffers[key]
            if now is None or now.shape != first.shape:
                raise ValueError(f"the module has replaced its buffer {key} by one of another shape")
            now = now.detach()
            parts.append((now if now.dtype in AS_IT_IS else now.double() - first.double()).reshape(-1).float())
        return torch.cat(parts) if parts else torch.zeros(0)

    def moved(self, before: Tensor) -> list[str]:
        """Return the buffers that are no longer what they were at `before` (b,), or at the start."""
        parts = torch.split(before, [first.numel() for _, _, _, first in self._kept])
        found = [
            key
            for (owner, key, _, first), part in zip(self._kept, parts, strict=True)
            if (now := owner._buffers[key]) is None
            or not torch.equal(now.detach(), _taken(part.view(first.shape), first))
        ]
        return found + [
            key
            for owner, key, tensor, _, version in self._others
            if owner._buffers[key] is not tensor or tensor._version != version
        ]

    def load(self, vector: Tensor) -> None:
        """Set the buffers to a vector (b,); all others go back to where they started."""
        parts = torch.split(vector, [first.numel() for _, _, _, first in self._kept])
        with torch.no_grad():
            for (owner, key, tensor, first), part in zip(self._kept, parts, strict=True):
                owner._buffers[key] = tensor  # a module may have put another tensor in its place
                tensor.copy_(_taken(part.view(first.shape), first))
            for place, (owner, key, tensor, first, version) in enumerate(self._others):
                if owner._buffers[key] is not tensor or tensor._version != version:
                    owner._buffers[key] = tensor
                    tensor.copy_(first)
                    self._others[place] = (owner, key, tensor, first, tensor._version)

    def named(self, vector: npt.NDArray[np.float32], names: tuple[str, ...]) -> dict[str, npt.NDArray[np.generic]]:
        """Return a vector (b,) as the module's tensors by name; bfloat16, which numpy has not, as float32."""
        parts = torch.split(torch.from_numpy(vector.copy()), [first.numel() for _, _, _, first in self._kept])
        found = {}
        for name, (_, _, _, first), part in zip(names, self._kept, parts, strict=True):
            value = _taken(part.view(first.shape), first.cpu())
            found[name] = (value.float() if value.dtype == torch.bfloat16 else value).numpy()
        return found


def _taken(part: Tensor, first: Tensor) -> Tensor:
    """Return a part of the vector as the buffer that it stands for."""
    if first.dtype in AS_IT_IS:
        return part.to(first.dtype)
    value = first.double() + part.double()
    return (value if first.dtype.is_floating_point else value.round()).to(first.dtype)


def _owned(module: nn.Module, mode: str) -> Iterator[tuple[str, nn.Module, str, Tensor]]:
    """Yield (name, owner, key, tensor) of the buffers that are part of the model."""
    if mode == "frozen":
        return
    for name, owner, key, tensor in _all(module):
        if key not in owner._non_persistent_buffers_set:
            if tensor.is_complex():
                raise ScenarioError(f"model.buffers: {name} is complex, which has no mean here; `frozen` takes it")
            yield name, owner, key, tensor


def _all(module: nn.Module) -> Iterator[tuple[str, nn.Module, str, Tensor]]:
    """Yield every buffer once, in the module's order."""
    seen: set[int] = set()
    for place, owner in module.named_modules():
        for key, tensor in owner._buffers.items():
            if tensor is not None and id(tensor) not in seen:
                seen.add(id(tensor))
                yield f"{place}.{key}" if place else key, owner, key, tensor
