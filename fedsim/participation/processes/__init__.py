"""Processes: who is there, one law a file. A new one touches one file."""

from __future__ import annotations

from functools import cache

from fedsim.core.config.catalogue import discover
from fedsim.participation.config import Participation


@cache
def catalogue() -> dict[str, type[Participation]]:
    """Return every process by the word that chooses it in `participation: {kind: ...}`."""
    return discover(__name__, __path__, "kind")
