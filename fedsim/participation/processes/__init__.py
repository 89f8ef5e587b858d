"""Processes: who is there, one law a file. A new one touches one file."""

from __future__ import annotations

from functools import cache
from typing import Annotated

from fedsim.core.config.catalogue import discover
from fedsim.core.config.tagged import OneOf
from fedsim.participation.config import Participation
from fedsim.participation.foreign import DOOR


@cache
def catalogue() -> dict[str, type[Participation]]:
    """Return every process by the word that chooses it in `participation: {kind: ...}`."""
    return discover(__name__, __path__, "kind")


AnyParticipation = Annotated[Participation, OneOf("kind", catalogue, DOOR)]
"""The type of the section `participation:`: any process, chosen by its kind."""
