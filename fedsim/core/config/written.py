"""Which keys of a config were written: what is written wins over a preset, also where it equals a default."""

from __future__ import annotations

from typing import Any, Self


class Written:
    """A frozen config that remembers which of its keys were given, for `__post_init__` and `problems`.

    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True, kw_only=True)
    ... class Tea(Written):
    ...     sugar: int = 0
    >>> Tea().wrote("sugar"), Tea(sugar=0).wrote("sugar")
    (False, True)
    """

    _written: frozenset[str] = frozenset()

    def __new__(cls, **given: Any) -> Self:
        """Note what is given; the dataclass does the rest."""
        config = super().__new__(cls)
        object.__setattr__(config, "_written", frozenset(given))
        return config

    def wrote(self, key: str) -> bool:
        """Return whether a key was given."""
        return key in self._written
