"""What a run had come to before this session: kept, so that one that comes to nothing takes nothing away."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedsim.core.system.files import atomic_write
from fedsim.engine.run.folder import NOTE, PARAMS, ROUNDS, SCENARIO
from fedsim.metrics import RunEnded, RunStarted
from fedsim.metrics.summary import read_summary
from fedsim.store.database import Store
from fedsim.store.delivered import lacking, rounds_of

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Earlier:
    """The end of a finished run, and the files that a session that goes on from it writes anew."""

    status: str
    rounds: int
    summary: Mapping[str, Any]
    files: Mapping[str, bytes]

    @classmethod
    def of(cls, folder: Path) -> Earlier | None:
        """Return what is in a folder, None when no run has come to an end there."""
        summary = read_summary(folder)
        if summary.get("status") not in ("completed", "stopped", "diverged"):
            return None
        files = {
            name: (folder / name).read_bytes() for name in (SCENARIO, NOTE, ROUNDS, PARAMS) if (folder / name).is_file()
        }
        return cls(str(summary["status"]), summary.get("rounds", 0), summary, files)

    def put_back(self, folder: Path) -> None:
        """Write the files as they were."""
        for name, content in self.files.items():
            atomic_write(folder / name, content)


def lost(store: str | Path, count: int) -> str:
    """Say what a store lacked and what cannot be told again."""
    return (
        f"the store {store} had lost {count} rounds (removed, damaged or replaced?); they are told again from "
        f"{ROUNDS}, without vectors per client and the evaluation before round 1"
    )


def tell_again(store: str, started: RunStarted, rows: Path, ended: RunEnded) -> int:
    """Fill in what a store lacks of a run that has ended, with one warning; return how many rounds that were."""
    again = lacking(store, started.run, rounds_of(started.run, rows))
    if not again:
        return 0
    try:
        with Store(store) as opened:
            opened.write([started, *again, ended])
    except Exception as error:  # whatever a database can raise: the run itself is whole
        log.warning("the store %s lacks %d rounds of %s and cannot be written (%s)", store, len(again), rows, error)
    else:
        log.warning("%s", lost(store, len(again)))
    return len(again)
