"""How much memory a run took at most: resident set sizes of this process and everything it started."""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path


def peak_rss_bytes(pid: int | None = None) -> int:
    """Return the sum of the peak resident sizes of a process (default: this one) and its living descendants.

    Pages shared between processes (the object store, libraries) count once in each. Processes that have ended count
    no more: ask before hosts are shut down. Without /proc, only this process is seen.
    """
    root = os.getpid() if pid is None else pid
    if not Path("/proc/self/status").exists():
        scale = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale
    return sum(_peak(member) for member in family(root))


def family(root: int) -> set[int]:
    """Return the ids of a process and of its living descendants."""
    parents = {int(folder.name): _parent(folder) for folder in Path("/proc").iterdir() if folder.name.isdigit()}
    found = {root}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def _parent(folder: Path) -> int:
    try:
        # pid (name) state ppid ...: the name may hold anything, also brackets
        return int((folder / "stat").read_text(errors="replace").rpartition(")")[2].split()[1])
    except (OSError, IndexError, ValueError):
        return 0  # it ended while we looked


def _peak(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text(errors="replace").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)
