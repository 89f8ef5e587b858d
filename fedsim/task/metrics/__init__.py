"""Metrics of a task, one file each, named by the word in a scenario: a new one touches one file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from fedsim.core.config.catalogue import discover


@cache
def catalogue() -> Mapping[str, type[Any]]:
    """Return the metrics by the word that chooses them in `task: {metrics: [...]}`.

    >>> sorted(catalogue())
    ['accuracy', 'auroc', 'f1', 'mae', 'mse', 'perplexity', 'r2', 'top_k']
    """
    return discover(__name__, __path__, "kind")


def spelled(word: str) -> dict[str, Any]:
    """Return a metric that is given by a word alone, spelled out.

    >>> spelled("accuracy"), spelled("top_5")
    ({'kind': 'accuracy'}, {'kind': 'top_k', 'k': 5})
    """
    found = re.fullmatch(r"top_([1-9][0-9]{0,5})", word, re.ASCII)
    return {"kind": "top_k", "k": int(found[1])} if found else {"kind": word}


def named(name: str) -> Any:
    """Return the shipped metric of a name such as `top_5`, None when there is none."""
    options = spelled(name)
    cls = catalogue().get(options.pop("kind"))
    return None if cls is None or name == "top_k" else cls(**options)
