"""Strategies: one rule a file, pure mathematics; the Flower adapters are the subpackage `flower`.

Every module here, and in the room `shorthands`, that defines a `Strategy` with a field `name` is discovered by itself:
a new one touches one file.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from fedsim.core.config.catalogue import discover
from fedsim.strategies import shorthands

if __name__ == "strategies":  # imported as version one had it, from a checkout
    raise ModuleNotFoundError(
        "No module named 'strategies'; what fedsim had there is fedsim.strategies now", name="strategies"
    )


@cache
def catalogue() -> dict[str, type[Any]]:
    """Return every strategy by the word that names it in `strategy: {name: ...}`."""
    found = discover(__name__, __path__, "name") | discover(shorthands.__name__, shorthands.__path__, "name")
    return dict(sorted(found.items()))
