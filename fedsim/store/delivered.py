"""Whether the store holds all that rounds.csv knows; what it lacks can be told again from there.

A store's file, or the log beside it, may be removed, damaged or replaced while a run goes on or between two of its
sessions. The rows in the run's folder are enough to fill in every metric of every round; the evaluation before round 1
and the vectors per client are in the store alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError, OperationalError

from fedsim.core.errors import ScenarioError
from fedsim.metrics.events import RoundDone
from fedsim.metrics.registry import metric_of
from fedsim.metrics.rounds_csv import read_rows
from fedsim.store.database import Store
from fedsim.store.schema import StoreError


def rounds_of(run: str, path: Path) -> list[RoundDone]:
    """Return the rounds in a rounds.csv as events."""
    return [
        RoundDone(
            run=run,
            round=int(row["round"]),
            values={name: float(cell) for name, cell in row.items() if metric_of(name) and name != "round" and cell},
        )
        for row in read_rows(path)
    ]


def lacking(address: str | Path | URL, run: str, rounds: Sequence[RoundDone]) -> list[RoundDone]:
    """Return the rounds of which the store lacks something; none when it cannot be asked now.

    A file that is gone, or no store of fedsim's any more, lacks all of them.
    """
    try:
        with Store(address, create=False) as store:
            told = Counter((metric, round) for _, round, metric, _ in store.values([run]))
            known = any(row.run == run for row in store.runs())
    except OperationalError:  # locked, or a server that is away: what it did not take waits in the spool
        return []
    except (DBAPIError, StoreError, ScenarioError, ValueError):
        return list(rounds)
    return [event for event in rounds if not known or any((name, event.round) not in told for name in event.values)]
