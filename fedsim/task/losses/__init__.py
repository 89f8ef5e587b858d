"""Losses, one file each, named by the word in a scenario: a new one touches one file."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from fedsim.core.config.catalogue import discover


@cache
def catalogue() -> Mapping[str, type[Any]]:
    """Return the losses by the word that chooses them in `task: {loss: ...}`.

    >>> sorted(catalogue())
    ['bce', 'cross_entropy', 'huber', 'mse', 'token_cross_entropy']
    """
    return discover(__name__, __path__, "kind")


def spelled(word: str) -> dict[str, Any]:
    """Return a loss that is given by its word alone, spelled out."""
    return {"kind": word}
