"""How a process's probabilities change from round to round: `modulate: {kind: ...}`. A new one touches one file."""

from __future__ import annotations

from functools import cache
from typing import Annotated

from fedsim.core.config.catalogue import discover
from fedsim.core.config.tagged import OneOf
from fedsim.participation.modulations.config import Modulation


@cache
def catalogue() -> dict[str, type[Modulation]]:
    """Return every modulation by the word that chooses it.

    >>> sorted(catalogue())
    ['interleaved', 'sine', 'staircase']
    """
    return discover(__name__, __path__, "kind")


AnyModulation = Annotated[Modulation, OneOf("kind", catalogue)]
"""The type of the key `modulate`, chosen by its kind."""
