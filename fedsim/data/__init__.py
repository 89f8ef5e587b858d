"""Datasets, and how their examples are dealt to clients. One file per dataset, named by its word in a scenario."""

from __future__ import annotations

from functools import cache
from typing import Any

from fedsim.core.config.catalogue import discover
from fedsim.data import fetched
from fedsim.data.partitioned import Partitioned
from fedsim.data.quadratic import QuadraticData
from fedsim.data.synthetic import SyntheticData

__all__ = ["Partitioned", "QuadraticData", "SyntheticData", "catalogue"]


@cache
def catalogue() -> dict[str, type[Any]]:
    """Return the config class of each dataset by its word in `data: {dataset: ...}`."""
    found = discover(__name__, __path__, "dataset") | discover(fetched.__name__, fetched.__path__, "dataset")
    return dict(sorted(found.items()))
