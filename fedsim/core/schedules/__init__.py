"""How a rate changes from round to round, one kind a file: `{kind: cosine, rounds: 100}`.

A schedule is a pure function of the first rate and of how many rounds (or local steps) there have been; it keeps
nothing. A new one touches one file.
"""

from __future__ import annotations

from functools import cache
from typing import Annotated

from fedsim.core.config.catalogue import discover
from fedsim.core.config.tagged import OneOf
from fedsim.core.schedules.config import Schedule


@cache
def catalogue() -> dict[str, type[Schedule]]:
    """Return every schedule by the word that chooses it.

    >>> sorted(catalogue())
    ['constant', 'cosine', 'inverse_sqrt', 'linear', 'power', 'step']
    """
    return discover(__name__, __path__, "kind")


AnySchedule = Annotated[Schedule, OneOf("kind", catalogue)]
"""The type of a key under which any schedule may stand, chosen by its kind."""

__all__ = ["AnySchedule", "Schedule", "catalogue"]
