"""What the section `client:` must agree on within itself, and with the length of the run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from functools import lru_cache
from typing import Any

from fedsim import optimizers
from fedsim.core import LocalWork
from fedsim.scenario.checks.float32 import LARGEST
from fedsim.scenario.messages import did_you_mean

Found = Iterator[tuple[tuple[str, ...], str]]

DEFAULTS = {f.name: f.default for f in fields(LocalWork)}


def optimizer_is_known_and_takes_its_options(client: Any) -> Found:
    """The optimiser is one there is, and what is given beside it is its own."""
    yield from ((("client", key), message) for key, message in _optimizer(client))


@lru_cache(maxsize=64)
def _optimizer(client: LocalWork) -> tuple[tuple[str, str], ...]:
    known = optimizers.catalogue()
    if client.optimizer not in known:
        hint = did_you_mean(client.optimizer, known) or f"; there are {', '.join(known)}"
        return (("optimizer", f"no optimiser is called {client.optimizer!r}{hint}"),)
    own, found = optimizers.options(known[client.optimizer]), []
    for key in dict.fromkeys(name for cls in known.values() for name in optimizers.options(cls)):
        if key not in own and getattr(client, key) != DEFAULTS[key]:
            homes = [word for word, cls in known.items() if key in optimizers.options(cls)]
            listed = " and ".join(part for part in (", ".join(homes[:-1]), homes[-1]) if part)
            found.append((key, f"belongs to {listed}; {client.optimizer} takes {', '.join(own)}"))
    return (*found, *optimizers.chosen(client).problems())


def rates_do_not_grow_beyond_float32(client: Any, rounds: Any) -> Found:
    """A rate that grows from round to round, or from step to step, still fits in the last one."""
    try:
        last = client.rate(rounds, client.local_steps or 1)
    except OverflowError:
        last = float("inf")
    if client.lr <= LARGEST < last:
        key = "lr_decay" if client.schedule is None else "schedule"
        text = f"from {client.lr:g} the rate grows beyond {LARGEST:.2g}, what float32 holds, in {rounds:,} rounds"
        yield ("client", key), text


def augmented_examples_are_images(data: Any, client: Any) -> Found:
    """Only images are cropped and mirrored; what only a file knows is checked when it is read."""
    if client.augment and data.dataset in ("synthetic", "quadratic"):
        yield ("client", "augment"), f"needs images, and {data.dataset} has none; leave it out"


def normalise_gives_every_channel(data: Any) -> Found:
    """Statistics are given for each channel, where the dataset says how many there are."""
    channels, mean = getattr(data, "channels", None), getattr(getattr(data, "normalise", None), "mean", None)
    if channels is not None and mean is not None and len(mean) != channels:
        yield ("data", "normalise", "mean"), f"give one number a channel: there are {channels}, got {len(mean)}"


def stock_does_not_carry_batches(strategy: Any, client: Any) -> Found:
    """Flower's own strategies speak to single clients, whose nodes keep nothing."""
    if strategy.name == "stock" and client.carry_batches:
        yield ("client", "carry_batches"), "a stock Flower strategy has no clients that remember; leave it out"


def updates_that_are_clipped_are_sent_to_a_server(strategy: Any, client: Any) -> Found:
    """In gossip clients send models, not updates."""
    if strategy.name == "gossip" and client.clip_update is not None:
        yield ("client", "clip_update"), "clips what a client sends to a server, and in gossip clients send models"


CHECKS = (
    updates_that_are_clipped_are_sent_to_a_server,
    augmented_examples_are_images,
    normalise_gives_every_channel,
    stock_does_not_carry_batches,
    optimizer_is_known_and_takes_its_options,
    rates_do_not_grow_beyond_float32,
)
