"""What client memories will take, said before the run and refused with numbers when it cannot fit."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fedsim.clients.formats import row_bytes
from fedsim.core import CapacityError, PeerRule
from fedsim.engine.experiment import Experiment

HEADROOM = 0.9
"""The share of what is free that memories may take."""


@dataclass(frozen=True)
class MemoryNeed:
    """Clients expected to be seen, bytes of one memory, where they are kept, and what is free there."""

    clients: int
    each: int
    tier: str
    free: int
    what: str = "client memories"

    @property
    def total(self) -> int:
        """Bytes of all memories."""
        return self.clients * self.each

    def __str__(self) -> str:
        return (
            f"{self.what}: {megabytes(self.total)} on {self.tier} ({self.clients:,} clients x "
            f"{self.each:,} bytes), {megabytes(self.free)} free"
        )


def megabytes(count: float) -> str:
    """Write a number of bytes for people.

    >>> megabytes(2_500_000)
    '2.5 MB'
    """
    if count < 1e5:
        return f"{count / 1e3:,.1f} kB"
    return f"{count / 1e9:,.1f} GB" if count >= 1e9 else f"{count / 1e6:,.1f} MB"


def memory_need(experiment: Experiment, folder: Path) -> MemoryNeed | None:
    """Return what the memories of a run will take, None when there are none. Only clients ever seen take space."""
    scenario = experiment.scenario
    if isinstance(scenario.strategy, PeerRule):
        # every client's model, the one it started the round from, and what was heard of its neighbours
        each = 3 * 4 * experiment.trainer.layout.total
        return MemoryNeed(experiment.population.num_clients, each, "ram", free_ram(), "client models")
    if not experiment.memories:
        return None
    p = experiment.population.probabilities
    count = experiment.population.num_clients
    seen = count if p is None else int(np.ceil((1.0 - (1.0 - p) ** scenario.rounds).sum()))
    each = row_bytes(experiment.trainer.layout.size, scenario.memory.dtype) * len(experiment.memories)
    free = shutil.disk_usage(folder).free if scenario.memory.tier == "disk" else free_ram()
    return MemoryNeed(min(count, seen), each, scenario.memory.tier, free)


def free_ram() -> int:
    """Return the bytes of memory that can be had without swapping."""
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))


def check_memory(experiment: Experiment, folder: Path) -> MemoryNeed | None:
    """Refuse a run whose memories cannot fit.

    Raises
    ------
    CapacityError : with the numbers, and what would help.
    """
    need = memory_need(experiment, folder)
    if need is not None and need.total > HEADROOM * need.free:
        other = "`memory: {tier: disk}`, " if need.tier == "ram" else ""
        memory = f"{other}`memory: {{dtype: bfloat16}}`" if experiment.memories else "a smaller model"
        raise CapacityError(f"{need}: does not fit; {memory} or fewer clients would help")
    return need
