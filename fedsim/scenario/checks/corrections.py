"""What a correction of clients' drift asks of the other sections."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fedsim.core import Rule
from fedsim.core.correction import Setting

Found = Iterator[tuple[tuple[str, ...], str]]


def correction_fits(strategy: Any, client: Any, participation: Any, memory: Any) -> Found:
    """A correction has a meaning beside the rule, the local work and the participation."""
    correction = strategy.corrected_by() if isinstance(strategy, Rule) else None
    if correction is None:
        return
    if client.app is not None or client.work.name != "sgd":
        text = "the method goes into every gradient, and foreign work takes its own steps; leave it out"
        yield ("strategy", "correction"), text
    for key, message in correction.problems_in(Setting(strategy, client, participation, memory)):
        yield tuple(key.split(".")), message


def compared_corrections_fit(compare: Any, client: Any, participation: Any, memory: Any) -> Found:
    """So have those of the strategies under `compare:`."""
    for number, strategy in enumerate(compare or ()):
        for key, message in correction_fits(strategy, client, participation, memory):
            yield (("compare", str(number), *key[1:]) if key[0] == "strategy" else key), message


CHECKS = (correction_fits, compared_corrections_fit)
