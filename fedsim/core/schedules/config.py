"""What every schedule is: a frozen config with one pure function."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Schedule(ABC):
    """The options of one kind of schedule. Concrete classes carry `kind: Literal["..."]`, the word in the scenario."""

    kind: str
    """The word that chooses this kind of schedule."""
    by: Literal["round", "step"] = "round"
    """What it counts: the rounds of the run, or a client's local steps within each round, from 1 every round anew."""

    @abstractmethod
    def rate(self, first: float, count: int) -> float:
        """Return the rate of round (or local step) `count`, 1-based; that of the first is `first`."""
