"""What clients of foreign work keep from round to round: a value each, held as bytes where the client lives.

As with memories, a round's writes stay *pending* until a later round opens: a second message for the same round reads
what the first one read. A value is taken apart without pickle, so that a checkpoint holds data and no code, and nobody
holds on to what another one changes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fedsim.core.contracts import Ids
from fedsim.core.state import save_arrays

Arrays = dict[str, npt.NDArray[Any]]
HEAD = 8
"""Bytes that say how long the outline of a value is."""


class UnkeepableError(TypeError):
    """A state holds something that cannot be kept."""


def encode(value: Any) -> bytes:
    """Return a value as bytes: an outline in JSON, then the bytes of its arrays and tensors.

    >>> decode(encode({"steps": 3, "seen": [1, 2.5, None], "c": np.array([1.0, 2.0])}))
    {'steps': 3, 'seen': [1, 2.5, None], 'c': array([1., 2.])}

    Raises
    ------
    UnkeepableError : it holds something else than numbers, text, bytes, arrays and tensors in lists, tuples, mappings.
    """
    parts: list[bytes] = []
    outline = json.dumps(_outline(value, "state", parts), separators=(",", ":")).encode()
    return b"".join([len(outline).to_bytes(HEAD, "little"), outline, *parts])


def decode(data: bytes) -> Any:
    """Return a fresh copy of the value that `encode` took apart."""
    length = int.from_bytes(data[:HEAD], "little")
    return _filled(json.loads(data[HEAD : HEAD + length]), memoryview(data)[HEAD + length :])


def _outline(value: Any, where: str, parts: list[bytes]) -> Any:
    if type(value) in (bool, int, float, str, type(None)):
        return ["plain", value]
    if isinstance(value, Mapping):
        odd = next((key for key in value if not isinstance(key, str | int)), None)
        if odd is not None:
            raise UnkeepableError(f"{where} has a key of type {type(odd).__name__}; keys are text or whole numbers")
        return ["dict", [[key, _outline(inner, f"{where}[{key!r}]", parts)] for key, inner in value.items()]]
    if isinstance(value, list | tuple):
        kind = "list" if isinstance(value, list) else "tuple"
        return [kind, [_outline(inner, f"{where}[{k}]", parts) for k, inner in enumerate(value)]]
    if isinstance(value, bytes):
        return ["bytes", *_put(value, parts)]
    if isinstance(value, np.ndarray | np.generic) and not value.dtype.hasobject:
        kind = "array" if isinstance(value, np.ndarray) else "number"
        return [kind, value.dtype.str, list(value.shape), *_put(value.tobytes(), parts)]
    if type(value).__module__.partition(".")[0] == "torch" and hasattr(value, "untyped_storage"):
        import torch

        flat = value.detach().cpu().contiguous().reshape(-1)
        kind, dtype = "tensor", str(value.dtype).removeprefix("torch.")
        return [kind, dtype, list(value.shape), *_put(flat.view(torch.uint8).numpy().tobytes(), parts)]
    return _odd(value, where)


def _odd(value: Any, where: str) -> Any:
    raise UnkeepableError(
        f"{where} is a {type(value).__name__}; what is kept is made of numbers, text, arrays and tensors in lists, "
        "tuples and mappings"
    )


def _put(data: bytes, parts: list[bytes]) -> list[int]:
    first = sum(map(len, parts))
    parts.append(data)
    return [first, len(data)]


def _filled(outline: Any, data: memoryview) -> Any:
    kind, *rest = outline
    if kind == "dict":
        return {key: _filled(inner, data) for key, inner in rest[0]}
    if kind in ("list", "tuple"):
        items = [_filled(inner, data) for inner in rest[0]]
        return items if kind == "list" else tuple(items)
    if kind == "bytes":
        return bytes(data[rest[0] : sum(rest)])
    if kind in ("array", "number"):
        dtype, shape, first, count = rest
        found = np.frombuffer(data[first : first + count], np.dtype(dtype)).reshape(shape).copy()
        return found if kind == "array" else found[()]
    if kind == "tensor":
        import torch

        dtype, shape, first, count = rest
        if not count:
            return torch.zeros(shape, dtype=getattr(torch, dtype))
        return torch.frombuffer(bytearray(data[first : first + count]), dtype=getattr(torch, dtype)).reshape(shape)
    return rest[0]


class States:
    """The states of one node's clients; only clients that left one take space."""

    def __init__(self) -> None:
        self._held: dict[int, bytes] = {}
        self._pending: dict[int, bytes] = {}
        self._round = 0

    def open(self, round: int) -> Mapping[int, bytes]:
        """Start `round`: commit what an earlier round left, discard what this one left before; return what is held."""
        if round != self._round:
            self._held |= self._pending
            self._round = round
        self._pending = {}
        return self._held

    def write(self, clients: Ids, states: tuple[bytes | None, ...]) -> None:
        """Note what clients leave, as pending for the open round; None leaves what was there."""
        self._pending |= {
            client: state for client, state in zip(clients.tolist(), states, strict=True) if state is not None
        }

    def settle(self, round: int) -> None:
        """Be as after `round`: commit its writes, or discard those of a later one."""
        if self._round <= round:
            self._held |= self._pending
        self._round, self._pending = round, {}

    def save(self, folder: Path, stem: str) -> None:
        """Write what is held as STEM.states.npz."""
        assert not self._pending, "settled before it is saved"
        save_arrays(folder / f"{stem}.states.npz", dict(_packed(self._held, "")))

    def load(self, folder: Path, stem: str, round: int) -> None:
        """Take what `save` wrote; what was held before is forgotten. `round` is done."""
        with np.load(folder / f"{stem}.states.npz", allow_pickle=False) as arrays:
            self._held, self._pending, self._round = _unpacked(arrays, ""), {}, round

    def clear(self) -> None:
        """Forget everybody."""
        self._held, self._pending, self._round = {}, {}, 0

    def snapshot(self) -> Arrays:
        """Return all that is held as arrays, pending writes apart: what `take` understands."""
        head = {"round": np.array([self._round], np.int64)}
        return head | dict(_packed(self._held, "")) | dict(_packed(self._pending, "pending_"))

    def take(self, snapshot: Mapping[str, npt.NDArray[Any]]) -> None:
        """Take what a `snapshot` holds; what was held before is forgotten."""
        self._round = int(snapshot["round"][0])
        self._held, self._pending = _unpacked(snapshot, ""), _unpacked(snapshot, "pending_")


def _packed(states: Mapping[int, bytes], prefix: str) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    ids = sorted(states)
    yield f"{prefix}ids", np.array(ids, np.int64)
    yield f"{prefix}ends", np.cumsum([len(states[client]) for client in ids], dtype=np.int64)
    yield f"{prefix}bytes", np.frombuffer(b"".join(states[client] for client in ids), np.uint8)


def _unpacked(arrays: Mapping[str, npt.NDArray[Any]], prefix: str) -> dict[int, bytes]:
    ids, ends, data = (arrays[f"{prefix}{name}"] for name in ("ids", "ends", "bytes"))
    whole = data.tobytes()
    cuts = [0, *ends.tolist()]
    return {client: whole[cuts[k] : cuts[k + 1]] for k, client in enumerate(ids.tolist())}
