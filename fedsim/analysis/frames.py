"""Runs as tidy pandas frames: one row per (run, round, metric)."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fedsim.core.errors import ScenarioError

if TYPE_CHECKING:
    import pandas as pd
    from sqlalchemy import URL

    from fedsim.store.database import RunRow, Store

COLUMNS = ("run", "name", "strategy", "seed", "round", "metric", "value")


def load(
    store: str | Path | Store, *, runs: Sequence[str] | None = None, metrics: Sequence[str] | None = None
) -> pd.DataFrame:
    """Return the metrics of all runs in a store as a tidy frame with `COLUMNS`, in the order of run, metric, round.

    Parameters
    ----------
    store : a store's file or URL, a folder that holds `fedsim.db`, or a run folder (whose store lies beside it).
    runs : run ids, unique beginnings of them, names, or run folders; all when None.
    metrics : names of metrics; all when None.

    Raises
    ------
    ScenarioError : there is no such store, or no such run.
    """
    from fedsim.store.database import Store

    if isinstance(store, Store):
        return _frame(store, runs, metrics)
    folder = Path(store) if "://" not in str(store) else None
    if folder is not None and folder.is_dir() and not (folder / "fedsim.db").exists():
        if not (folder / "rounds.csv").exists():
            raise ScenarioError(f"{folder}: neither a run folder nor a folder with a store (fedsim.db)")
        runs = [str(folder)] if runs is None else runs
    with open_for_reading(store) as opened:
        frame: pd.DataFrame = _frame(opened, runs, metrics)
    return frame


def load_run(folder: str | Path) -> pd.DataFrame:
    """Return one run's metrics as `load` does: from its store, or from rounds.csv when the store lacks the run."""
    from fedsim.metrics.summary import read_summary
    from fedsim.store.sink import SPOOL

    about = read_summary(folder)
    if "store" in about and not (Path(folder) / SPOOL).exists():
        try:
            return load(str(about["store"]), runs=[str(about["run"])])
        except ScenarioError:
            pass  # the store is gone, or was replaced: the folder still has the rows
    frame = rounds(folder).melt("round", var_name="metric", value_name="value").dropna(subset="value")
    for name in ("run", "name", "strategy", "seed"):
        frame[name] = about.get(name)
    return frame.sort_values(["metric", "round"], kind="stable", ignore_index=True)[list(COLUMNS)]


def rounds(folder: str | Path) -> pd.DataFrame:
    """Return rounds.csv of a run folder: one row per round, one column per metric, NaN where nothing was measured."""
    import pandas as pd

    path = Path(folder) / "rounds.csv"
    if not path.is_file():
        raise ScenarioError(f"{path}: there is no such file; is {folder} a run folder?")
    with open(path, newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    # Python's float is exact; the default of pandas 2 may miss the last bit
    columns = zip(*rows, strict=True) if rows else ([] for _ in header)
    frame = pd.DataFrame(
        {name: [float(cell or "nan") for cell in column] for name, column in zip(header, columns, strict=True)}
    )
    return frame.astype({"round": "int64"})


def open_for_reading(store: str | Path) -> Store:
    """Open a store by its file or URL, the folder it is in, or a run folder beside it. Raises ScenarioError."""
    return _opened(store, writes=False)


def open_for_writing(store: str | Path) -> Store:
    """Open a store that is there as `open_for_reading` does, to change it. Raises ScenarioError."""
    with open_for_reading(store) as found:
        place = found.url
    return _opened(place, writes=True)


def _opened(store: str | Path | URL, writes: bool) -> Store:
    from sqlalchemy import URL
    from sqlalchemy.exc import SQLAlchemyError

    from fedsim.store.database import Store
    from fedsim.store.schema import StoreError

    place = store
    if not isinstance(store, URL) and "://" not in str(store) and Path(store).is_dir():
        inside = Path(store) / "fedsim.db"
        place = inside if inside.exists() else Path(store).absolute().parent / "fedsim.db"
    try:
        return Store(place, create=writes, busy_s=10.0)
    except (SQLAlchemyError, StoreError) as error:
        reason = " ".join(str(getattr(error, "orig", None) or error).split())
        raise ScenarioError(f"{place}: cannot be {'changed' if writes else 'read'} as a store: {reason}") from error


def chosen(rows: Sequence[RunRow], words: Sequence[str]) -> list[RunRow]:
    """Return the runs that words name: an id, the unique beginning of one, a name (all of that name), or a folder.

    Raises ScenarioError for a word that names no run, or the beginning of several ids.
    """
    found: dict[str, RunRow] = {}
    for word in words:
        if not word.strip():  # an unset variable of a shell, of which every id would be the beginning
            raise ScenarioError("an empty word names no run; give an id, a name or a folder")
        place = str(Path(word).absolute())
        exact = [row for row in rows if word in (row.run, row.name) or (row.folder and _absolute(row.folder) == place)]
        hits = exact or [row for row in rows if row.run.startswith(word)]
        if not hits:
            known = ", ".join(f"{row.run} ({row.name})" for row in rows[:5]) or "none"
            raise ScenarioError(f"{word}: no run of this id, name or folder; the latest are: {known}")
        if not exact and len(hits) > 1:
            raise ScenarioError(f"{word}: several runs begin so: {', '.join(row.run for row in hits[:5])}")
        found |= {row.run: row for row in hits}
    return list(found.values())


def _absolute(folder: str) -> str:
    return str(Path(folder).absolute())


def _frame(store: Store, runs: Sequence[str] | None, metrics: Sequence[str] | None) -> pd.DataFrame:
    import pandas as pd

    rows = store.runs()
    ids = None if runs is None else [row.run for row in chosen(rows, runs)]
    values = store.values(ids, metrics)
    frame = pd.DataFrame(values, columns=["run", "round", "metric", "value"])
    known = {row.run: row for row in rows}
    place = frame["run"].map
    frame["name"] = place({run: row.name for run, row in known.items()})
    frame["strategy"] = place({run: row.strategy for run, row in known.items()})
    frame["seed"] = place({run: row.seed for run, row in known.items()})
    return frame.astype({"round": "int64", "value": "float64"})[list(COLUMNS)]
