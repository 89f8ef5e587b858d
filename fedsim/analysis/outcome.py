"""How a run of a study ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedsim.metrics.registry import HEADLINES

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class RunResult:
    """How one of many runs ended. `recognised`: it had been finished before and was not repeated."""

    folder: Path
    status: str
    summary: Mapping[str, Any] = field(default_factory=dict, repr=False)
    exit_code: int = 0
    error: str = ""
    recognised: bool = False
    anew: str = ""
    """Why it was trained although the same scenario had been run here before: what changed in its input files."""

    @property
    def final(self) -> Mapping[str, float]:
        """The metrics of the last evaluation; nothing when the run did not come so far."""
        final: Mapping[str, float] = self.summary.get("final", {})
        return final

    @property
    def headlines(self) -> dict[str, float]:
        """The final metrics that a line has room for."""
        return {name: float(self.final[name]) for name in HEADLINES if name in self.final}
