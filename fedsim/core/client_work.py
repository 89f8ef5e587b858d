"""Local work that a user writes: what it is given, and what it gives back.

The contract is one method of a class that `client.work` names:

    train(module, batches, start, round, rng, state) -> Work

    module   the model, an `nn.Module` that holds the global parameters, in training mode
    batches  the client's batches of this round, (x, y) each, the same that SGD would have; `len(batches)` of them,
             `batches.lr` the learning rate of the round, `batches.num_examples` what the client holds
    start    the global parameters, (d,) float32
    round    from 1
    rng      a numpy generator of its own for every (seed, round, client)
    state    what the client's last `Work` left as its state; None before the first

A `train` that also names `shared` is given the vectors (d,) float32 that the strategy's `order` sends to everybody.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from fedsim.core.config.tagged import OneOf
from fedsim.core.foreign.door import Door, made, options_of, refuse
from fedsim.core.foreign.failures import blamed
from fedsim.core.foreign.reference import Thing

ARGUMENTS = ("module", "batches", "start", "round", "rng", "state")
SHARED = "shared"
"""The argument more, for work that asks for it."""


@dataclass(frozen=True)
class Work:
    """What a client's local work came to.

    Attributes
    ----------
    delta : local minus global parameters, as a vector (d,), or by name; or the trained module itself.
    metrics : numbers by name; their means over the clients of a round are metrics of the run, `client.<name>`. One that
        is called `loss` or `train_loss` is also the run's `train_loss`.
    state : what this client is given the next time it takes part: numbers, text, arrays and tensors, in lists, tuples
        and mappings. It stays where the client lives, and is part of checkpoints.
    """

    delta: Any
    metrics: Mapping[str, float] = field(default_factory=dict)
    state: Any = None


@dataclass(frozen=True, kw_only=True)
class ClientWork:
    """What stands under `client: {work: ...}`."""

    name: str

    def build(self, folder: str) -> Any:
        """Return the user's object whose `train` does the work; None where it is fedsim's own SGD."""
        return None


@dataclass(frozen=True, kw_only=True)
class OwnWork(ClientWork):
    """Steps of `client.optimizer` on the client's batches."""

    name: Literal["sgd"] = "sgd"


def config(door: Door, thing: Thing) -> type:
    """Return a user's class as the config class `client: {work: {name: ...}}`."""
    target, train = thing.target, getattr(thing.target, "train", None)
    if inspect.isroutine(target) or not callable(train):
        raise refuse(door, thing)
    signature = inspect.signature(train)
    more = {SHARED: None} if SHARED in signature.parameters else {}
    try:
        signature.bind(*([None] if isinstance(target, type) else []), *ARGUMENTS, **more)
    except TypeError:
        raise refuse(door, thing, f"has train{signature}; it is called with ({', '.join(ARGUMENTS)})") from None
    options, _ = options_of(door, thing) if isinstance(target, type) else ((), None)

    def build(self: Any, folder: str) -> Any:
        with blamed(str(thing.text)):
            return target(**self.options(folder)) if isinstance(target, type) else target

    return made(door, thing, "name", ClientWork, options=options, methods={"build": build})


def spelled(word: str) -> Mapping[str, Any]:
    """Return what a word alone means."""
    return {"name": word}


def catalogue() -> Mapping[str, type]:
    """Return the work that has a word."""
    return {"sgd": OwnWork}


DOOR = Door("fedsim.client_work", f"local work: a class with train({', '.join(ARGUMENTS)})", config)
"""How a reference stands under `client: {work: ...}`."""
AnyWork = Annotated[ClientWork, OneOf("name", catalogue, DOOR, spelled)]
