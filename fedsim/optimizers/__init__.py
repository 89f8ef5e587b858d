"""Optimisers of the local work, one a file: `client: {optimizer: adam}`, with the arithmetic of torch.optim.

A new one touches one file: a dataclass whose fields are the keys of `client:` that it takes.
"""

from __future__ import annotations

from dataclasses import fields
from functools import cache

from fedsim.core import LocalWork
from fedsim.core.config.catalogue import discover
from fedsim.optimizers.config import Optimizer


@cache
def catalogue() -> dict[str, type[Optimizer]]:
    """Return every optimiser by the word that chooses it.

    >>> sorted(catalogue())
    ['adagrad', 'adam', 'adamw', 'sgd']
    """
    return discover(__name__, __path__, "name")


def options(cls: type[Optimizer]) -> tuple[str, ...]:
    """Return the keys of `client:` that an optimiser takes.

    >>> options(catalogue()["adam"])
    ('weight_decay', 'betas', 'eps')
    """
    return tuple(f.name for f in fields(cls) if f.name != "name")


def chosen(work: LocalWork) -> Optimizer:
    """Return the optimiser of a local work, with the options given there; those left out are its own defaults."""
    cls = catalogue()[work.optimizer]
    given = {name: getattr(work, name) for name in options(cls)}
    return cls(**{name: value for name, value in given.items() if value is not None})


__all__ = ["Optimizer", "catalogue", "chosen", "options"]
