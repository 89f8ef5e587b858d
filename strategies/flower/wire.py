"""How Flower's records are pickled: by what they hold, without the two functions that each of them carries along.

Ray pickles a call's arguments and results. A record keeps the checks of its keys and values as functions of its own,
which cloudpickle looks up one by one: half of the time of a small message. What was a record is valid when it arrives.
"""

from __future__ import annotations

import copyreg
from typing import Any

from flwr.app import ArrayRecord, ConfigRecord, MetricRecord, RecordDict

_KINDS: tuple[type[Any], ...] = (ArrayRecord, ConfigRecord, MetricRecord, RecordDict)


def _rebuild(kind: int, content: dict[str, Any]) -> Any:
    record = _KINDS[kind]()
    record.__dict__["_data"].update(content)
    return record


def _reduce(record: Any) -> tuple[Any, ...]:
    return _rebuild, (_KINDS.index(type(record)), dict(record.__dict__["_data"]))


def register() -> None:
    """Pickle records this way from now on in this process; any other process can read them.

    >>> import pickle
    >>> register()
    >>> pickle.loads(pickle.dumps(RecordDict({"told": ConfigRecord({"round": 3})})))["told"]["round"]
    3
    """
    for kind in _KINDS:
        copyreg.pickle(kind, _reduce)
