"""Whether the rate of the server is one in every round."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fedsim.scenario.checks.float32 import LARGEST

Found = Iterator[tuple[tuple[str, ...], str]]


def server_rate_is_of_rounds(strategy: Any, rounds: Any) -> Found:
    """The server takes one step a round, and its rate stays within what float32 holds."""
    yield from ((("strategy", *keys), message) for keys, message in _wrong(strategy, rounds))


def compared_server_rates_are_of_rounds(compare: Any, rounds: Any) -> Found:
    """So do the rates of the strategies under `compare:`."""
    for number, strategy in enumerate(compare or ()):
        yield from ((("compare", str(number), *keys), message) for keys, message in _wrong(strategy, rounds))


def _wrong(strategy: Any, rounds: int) -> Found:
    schedule = getattr(strategy, "server_schedule", None)
    if schedule is None:
        return
    if schedule.by == "step":
        yield ("server_schedule", "by"), "counts local steps, and the server takes one step a round; use round"
        return
    try:
        largest = max(abs(strategy.server_rate(round)) for round in (1, rounds))
    except OverflowError:
        largest = float("inf")
    if largest > LARGEST:
        text = f"the rate grows beyond {LARGEST:.2g}, what float32 holds, in {rounds:,} rounds"
        yield ("server_schedule",), text


CHECKS = (server_rate_is_of_rounds, compared_server_rates_are_of_rounds)
