"""Whether clients come by independent coins, for options that have a meaning only then."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fedsim.participation.redraw import coins

Found = Iterator[tuple[tuple[str, ...], str]]


def coins_are_independent(participation: Any, devices: Any, strategy: Any) -> Found:
    """An option whose formula is that of independent clients has independent clients."""
    yield from ((("strategy", option), text) for option, text in _wrong(participation, devices, strategy))


def compared_coins_are_independent(participation: Any, devices: Any, compare: Any) -> Found:
    """So have those of the strategies under `compare:`."""
    for number, strategy in enumerate(compare or ()):
        found = _wrong(participation, devices, strategy)
        yield from ((("compare", str(number), option), text) for option, text in found)


def _wrong(participation: Any, devices: Any, strategy: Any) -> Iterator[tuple[str, str]]:
    option = strategy.needs_coins()
    if option is None:
        return
    value = getattr(strategy, option)
    if devices is not None and (devices.deadline_s is not None or devices.invite > 1):
        whose = "who replies in time depends on the devices"
    elif not coins(participation):
        whose = f"with participation of kind {participation.kind} they do not"
    else:
        return
    advice = "give `probabilities` as a list with one per client to use it as a heuristic"
    yield option, f"{value} is for clients that come independently of each other, and {whose}; {advice}"


CHECKS = (coins_are_independent, compared_coins_are_independent)
