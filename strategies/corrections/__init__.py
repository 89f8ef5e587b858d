"""Corrections of clients' drift, one a file: `strategy: {correction: {name: scaffold}}`, under any rule.

Every module here that defines a `Correction` with a field `name` is discovered by itself: a new one touches one file.
"""

from __future__ import annotations

from functools import cache

from fedsim.core import Correction
from fedsim.core.config.catalogue import discover


@cache
def catalogue() -> dict[str, type[Correction]]:
    """Return every correction by the word that names it in `correction: {name: ...}`."""
    return discover(__name__, __path__, "name")
