"""What goes to a host and what comes back: one call and one reply a round, what is large apart from the messages.

Small records travel inside the call. A large one goes over the driver's board to the hosts beside it, and through Ray's
object store, once for all hosts of a machine, to the others; a host beside the driver posts the large records of its
replies on a board of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

import ray
from flwr.app import ArrayRecord, RecordDict

from fedsim.engine.nodes.hosted import NodeJob
from fedsim.engine.nodes.shared_memory import Posted, Reader, SharedMemory
from fedsim.strategies.flower import arrays
from fedsim.strategies.flower.arrays import ArrayView

INLINE_BYTES = 100_000
"""Records up to this size travel inside the call."""

Call = tuple[int, RecordDict, dict[str, int]]
"""A node, its message without the large records, and where those are among the call's arguments."""
PostedRecord = dict[str, Posted]


class Large:
    """A record that travels apart from the messages, once for all that hold it."""

    def __init__(self, record: ArrayRecord) -> None:
        self.record = record
        self.posted: PostedRecord = {}
        self._reference: Any = None

    def to(self, beside: bool) -> Any:
        """Return what a host is given of it."""
        if beside and self.posted:
            return self.posted
        if self._reference is None:
            self._reference = ray.put(self.record)
        return self._reference


@dataclass(kw_only=True)
class RayJob(NodeJob):
    """What one host was asked in one round, and the large records apart from its calls."""

    large: list[Large]


def pack(host: int, round: int, share: Mapping[str, tuple[int, RecordDict]], known: dict[int, Large]) -> RayJob:
    """Make one call of a host's messages; `known` are the large records of the round, by identity."""
    keys = sorted(share, key=lambda key: share[key][0])
    calls: list[tuple[Any, ...]] = []
    large: list[Large] = []
    places: dict[int, int] = {}
    for key in keys:
        node, content = share[key]
        light, apart = RecordDict(), {}
        for name, record in content.items():
            if not _is_large(record):
                light[name] = record
                continue
            if id(record) not in places:
                places[id(record)] = len(large)
                large.append(known.setdefault(id(record), Large(record)))
            apart[name] = places[id(record)]
        calls.append((node, light, apart))
    return RayJob(host, round, keys, calls, large=large)


def unpack(call: Call, given: Sequence[ArrayRecord | PostedRecord], reader: Reader) -> tuple[int, RecordDict]:
    """Return a call's node and whole message."""
    node, content, apart = call
    for name, place in apart.items():
        content[name] = _open(given[place], reader)
    return node, content


def post(board: SharedMemory, large: Iterable[Large]) -> None:
    """Write the large records of a round on the driver's board."""
    chosen = list(large)
    for one, posted in zip(chosen, _write(board, [one.record for one in chosen]), strict=True):
        one.posted = posted


def detach(contents: Sequence[RecordDict], board: SharedMemory) -> list[dict[str, PostedRecord]]:
    """Move the large records of replies to the host's board; return where they are, reply by reply."""
    names = [[name for name, record in content.items() if _is_large(record)] for content in contents]
    taken = [content.pop(name) for content, mine in zip(contents, names, strict=True) for name in mine]
    posted = iter(_write(board, taken) if taken else [])
    return [{name: next(posted) for name in mine} for mine in names]


def attach(contents: Sequence[RecordDict], posted: Sequence[Mapping[str, PostedRecord]], reader: Reader) -> None:
    """Give replies back what `detach` took; it holds until the host is called again."""
    for content, mine in zip(contents, posted, strict=True):
        for name, record in mine.items():
            content[name] = _open(record, reader)


def _open(record: ArrayRecord | PostedRecord, reader: Reader) -> ArrayRecord:
    if isinstance(record, ArrayRecord):
        return record
    return arrays.record(**{name: reader.read(posted) for name, posted in record.items()})


def _write(board: SharedMemory, records: Sequence[Any]) -> list[PostedRecord]:
    places = iter(board.write([array.numpy() for record in records for array in record.values()]))
    return [{name: next(places) for name in record} for record in records]


def _is_large(record: Any) -> TypeGuard[ArrayRecord]:
    if not isinstance(record, ArrayRecord):
        return False
    return sum(a.numpy().nbytes if isinstance(a, ArrayView) else len(a.data) for a in record.values()) > INLINE_BYTES
