"""Models that are not ours: any callable that returns a `torch.nn.Module`.

It gets `input_shape`, `num_classes` and `num_outputs` where its signature names them, and the other keys of `model:` by
name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fedsim.core.foreign.door import Door, Foreign, made, options_of, refuse
from fedsim.core.foreign.failures import ForeignError, blamed
from fedsim.core.foreign.reference import Thing
from fedsim.models.config import OwnModule

if TYPE_CHECKING:
    from torch import nn

SHAPES = ("input_shape", "num_classes", "num_outputs")
"""What the run itself gives to a model."""


def config(door: Door, thing: Thing) -> type:
    """Return a user's callable as the config class `model: {name: ...}`."""
    if not callable(thing.target) or _is_module(thing.target):
        raise refuse(door, thing)
    options, named = options_of(door, thing, without=SHAPES)

    def module(self: Any, input_shape: tuple[int, ...], num_classes: int) -> nn.Module:
        from torch import nn

        shapes = {"input_shape": input_shape, "num_classes": num_classes, "num_outputs": num_classes}
        with blamed(str(thing.text)):
            built = thing.target(**{name: shapes[name] for name in named}, **_options(self))
        if not isinstance(built, nn.Module):
            raise ForeignError(
                f"{thing.text}: {thing.place}: must return a torch.nn.Module, got {type(built).__name__}"
            )
        return built

    return made(door, thing, "name", OwnModule, options=options, methods={"module": module})


def _options(config: Foreign) -> dict[str, Any]:
    return config.options()


def _is_module(target: Any) -> bool:
    """Return whether a target is a built module, which is callable too, but makes none."""
    return any(cls.__module__ == "torch.nn.modules.module" for cls in type(target).__mro__)


DOOR = Door("fedsim.models", "a model: a class or function that returns a torch.nn.Module", config)
"""How a reference stands under `model: {name: ...}`."""
