"""Losses and metrics that are not ours: functions of outputs and targets, classes, metrics of torchmetrics.

A loss is a function `(output, y, **options)` that gives one value per example, or a class whose objects are such
functions, as `torch.nn.L1Loss` with `reduction: none`. A metric is a function that gives a value per example (their
mean is reported), a class with `measure(output, y)`, `add(one, other)` and `value(whole)` as fedsim's own, or one of
torchmetrics with `update` and `compute`. Outputs and targets are as the loss reads them.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from fedsim.core import Targets
from fedsim.core.foreign.door import Door, Option, made, options_of, refuse
from fedsim.core.foreign.failures import ForeignError, blamed
from fedsim.core.foreign.reference import Thing
from fedsim.task.loss import Loss
from fedsim.task.metric import Measured, TaskMetric
from fedsim.task.usual import usual_loss

if TYPE_CHECKING:
    from torch import Tensor


def loss(door: Door, thing: Thing) -> type:
    """Return a user's loss as the config class `task: {loss: ...}`."""
    call, options = _called(door, thing)

    def of(self: Any, output: Tensor, y: Tensor) -> Tensor:
        single = output.shape != y.shape and output.numel() == y.numel()
        with blamed(str(thing.text)):
            if single and isinstance(thing.target, type):  # torch's own losses want one shape
                return _each(thing, self.call(output.reshape(y.shape), y), len(y))
            found = self.call(output, y)
            if single and tuple(getattr(found, "shape", ())) != (len(y),):
                found = self.call(output.reshape(y.shape), y)  # one number each, which was broadcast
        return _each(thing, found, len(y))

    return made(
        door, thing, "kind", ForeignLoss, options=options, methods={"of": of, "call": _named(call, thing, "call")}
    )


class ForeignLoss(Loss):
    """A loss of the user's own; outputs are as many as the usual loss of such targets needs."""

    answers = "any"
    brought = True

    def outputs(self, targets: Targets) -> int:
        """Return how many outputs the usual loss of such targets needs."""
        return usual_loss(targets).outputs(targets)

    def refusal(self, targets: Targets) -> str | None:
        """Whatever its function takes."""
        return None

    def read(self, output: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return outputs and targets entry by entry: rows of classes flattened, numbers in the targets' shape."""
        if output.numel() == y.numel():
            return output.reshape(y.shape), y
        return (output.flatten(0, -2), y.flatten()) if output.ndim == y.ndim + 1 else (output, y)


def metric(door: Door, thing: Thing) -> type:
    """Return a user's metric as an entry of `task: {metrics: [...]}`."""
    target = thing.target
    whose = target if isinstance(target, type) else type(target)
    higher = getattr(target, "higher_is_better", None)
    better = getattr(target, "better", None if higher is None else "higher" if higher else "lower")
    if better not in (None, "higher", "lower"):
        raise refuse(door, thing, f"has better = {better!r}; it is 'higher' or 'lower'")
    told = getattr(target, "meaning", None) or (inspect.getdoc(target) or str(thing.text)).split("\n", 1)[0]
    methods: dict[str, Any] = {
        "better": better,
        "unit": str(getattr(target, "unit", "1")),
        "meaning": str(told),
        "signed": True,
        "name": property(lambda self: _snake(getattr(target, "name", None) or thing.name or "metric")),
    }
    if all(callable(getattr(whose, name, None)) for name in ("update", "compute", "reset")):
        options, _ = options_of(door, thing) if isinstance(target, type) else ((), None)
        methods |= _of_torchmetrics(thing)
    elif all(callable(getattr(whose, name, None)) for name in ("measure", "value")):
        options, _ = options_of(door, thing) if isinstance(target, type) else ((), None)
        methods |= _adding_up(thing, whose)
    else:
        call, options = _called(door, thing)
        methods |= _mean(thing) | {"call": _named(call, thing, "call")}
    return made(door, thing, "kind", ForeignMetric, options=options, methods=methods)


class ForeignMetric(TaskMetric):
    """A metric of the user's own."""

    of = ("classes", "yes or no", "numbers", "any")


def _called(door: Door, thing: Thing) -> tuple[Callable[[Any], Any], tuple[Option, ...]]:
    """Return how a config gives a function of (output, y), and the options beside it."""
    target = thing.target
    if isinstance(target, type):
        if not any("__call__" in vars(cls) for cls in target.__mro__):
            raise refuse(door, thing)
        options, _ = options_of(door, thing)
        return lambda self: target(**self.options()), options
    if not callable(target):
        raise refuse(door, thing)
    try:
        names = [p.name for p in inspect.signature(target).parameters.values()][:2]
    except (ValueError, TypeError):
        names = []
    if len(names) < 2:
        raise refuse(door, thing, "must take two arguments, the outputs and the targets")
    if not inspect.isroutine(target):  # an object that can be called
        return lambda self: target, ()
    options, _ = options_of(door, thing, without=names)
    return lambda self: lambda output, y: target(output, y, **self.options()), options


def _named(make: Callable[[Any], Any], thing: Thing, name: str) -> Any:
    """Return a property that is made once, its failures blamed on the user's file."""

    def making(self: Any) -> Any:
        with blamed(str(thing.text)):
            return make(self)

    once = cached_property(making)
    once.__set_name__(object, name)
    return once


def _each(thing: Thing, found: Any, count: int) -> Tensor:
    import torch

    if not isinstance(found, torch.Tensor) or found.shape != (count,):
        got = f"a tensor of shape {tuple(found.shape)}" if isinstance(found, torch.Tensor) else type(found).__name__
        text = f"must give one value per example, shape ({count},); got {got}"
        raise ForeignError(f"{thing.text}: {thing.place}: {text}")
    return found


def _mean(thing: Thing) -> dict[str, Any]:
    def measure(self: Any, output: Tensor, y: Tensor) -> Measured:
        with blamed(str(thing.text)):
            found = self.call(output, y)
        each = _each(thing, found, len(y))
        return np.asarray(each.detach().double().sum().item()), np.asarray(float(len(y)))

    def value(self: Any, whole: Measured) -> float:
        return float(whole[0] / whole[1])

    return {"measure": measure, "value": value}


def _adding_up(thing: Thing, whose: type) -> dict[str, Any]:
    """Return the methods of a class that measures and adds up as fedsim's own do."""
    inner = _named(
        lambda self: thing.target(**self.options()) if isinstance(thing.target, type) else thing.target, thing, "inner"
    )

    def measure(self: Any, output: Tensor, y: Tensor) -> Measured:
        with blamed(str(thing.text)):
            found = self.inner.measure(output, y)
            parts = found if isinstance(found, tuple | list) else (found,)
            return tuple(
                np.asarray(part.detach().cpu() if hasattr(part, "detach") else part, np.float64) for part in parts
            )

    def add(self: Any, one: Measured, other: Measured) -> Measured:
        if not callable(getattr(whose, "add", None)):
            return TaskMetric.add(self, one, other)
        with blamed(str(thing.text)):
            return tuple(np.asarray(part, np.float64) for part in self.inner.add(one, other))

    def value(self: Any, whole: Measured) -> float:
        with blamed(str(thing.text)):
            return float(self.inner.value(whole))

    return {"inner": inner, "measure": measure, "add": add, "value": value}


def _of_torchmetrics(thing: Thing) -> dict[str, Any]:
    """Return the methods of a class with `update` and `compute`: it sees all batches at the end, in their order."""

    def measure(self: Any, output: Tensor, y: Tensor) -> Measured:
        kinds = np.full(len(y), float(y.is_floating_point()))
        return output.detach().cpu().double().numpy(), y.detach().cpu().double().numpy(), kinds

    def add(self: Any, one: Measured, other: Measured) -> Measured:
        return tuple(np.concatenate(pair) for pair in zip(one, other, strict=True))

    def value(self: Any, whole: Measured) -> float:
        import torch

        output, y, kinds = whole
        with blamed(str(thing.text)):
            counted = thing.target(**self.options()) if isinstance(thing.target, type) else thing.target
            counted.reset()
            targets = torch.from_numpy(y)
            counted.update(torch.from_numpy(output).float(), targets.float() if kinds.any() else targets.long())
            return float(counted.compute())

    return {"measure": measure, "add": add, "value": value}


def _snake(name: str) -> str:
    """Return a name as metrics are called.

    >>> _snake("WithinTen"), _snake("within_ten"), _snake("R2Score"), _snake("module.Own")
    ('within_ten', 'within_ten', 'r2_score', 'own')
    """
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.rpartition(".")[2]).lower()
    return re.sub(r"[^a-z0-9]+", "_", words).strip("_") or "metric"


LOSS = Door("fedsim.losses", "a loss: a function of outputs and targets that gives one value per example", loss)
"""How a reference stands under `task: {loss: ...}`."""
METRIC = Door(
    "fedsim.metrics",
    "a metric: a function of outputs and targets, a class with measure and value, or one of torchmetrics",
    metric,
)
"""How a reference stands among `task: {metrics: [...]}`."""
