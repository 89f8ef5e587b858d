"""Laws of local work: what a client's training comes to is a function of its arguments, and of nothing else."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fedsim.laws.play import Verdict, beside


@dataclass(frozen=True)
class Done:
    """What one client's training came to: the delta (d,), and what it keeps, as bytes."""

    delta: npt.NDArray[np.float32]
    state: bytes | None


Trains = Callable[[Sequence[int], int, Mapping[int, bytes]], Mapping[int, Done]]


@dataclass(frozen=True)
class Bench:
    """A host for work: `open` gives it afresh, as another process would have it.

    What is opened is called with clients, a round, and what clients have kept. `size` is d; `again` takes what was
    kept apart and puts it together.
    """

    open: Callable[[], Trains]
    size: int
    again: Callable[[bytes], bytes]
    clients: tuple[int, ...]


def _kept(done: Mapping[int, Done]) -> dict[int, bytes]:
    return {client: one.state for client, one in done.items() if one.state is not None}


def _bits(done: Mapping[int, Done]) -> dict[int, tuple[bytes, bytes | None]]:
    return {client: (one.delta.tobytes(), one.state) for client, one in done.items()}


def _differ(law: str, one: Mapping[int, Done], other: Mapping[int, Done], what: str) -> Verdict:
    left, right = _bits(one), _bits(other)
    differ = [client for client in left if left[client] != right[client]]
    return Verdict(law, not differ, f"{what}: {len(differ)} of {len(left)} clients differ")


def is_seeded(bench: Bench) -> Verdict:
    """*seeded*: two runs of the same round give the same bits."""
    one, other = (bench.open()(bench.clients, 1, {}) for _ in range(2))
    return _differ("seeded", one, other, "two runs")


def ignores_generators(bench: Bench) -> Verdict:
    """*generators*: global generators are neither followed nor moved."""
    state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        found, moved = [], False
        for number in (0, 1):
            random.seed(number)
            np.random.seed(number)  # noqa: NPY002
            before = random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[index]  # noqa: NPY002
            found.append(bench.open()(bench.clients, 1, {}))
            moved |= before != (random.getstate(), np.random.get_state()[1].tolist())  # type: ignore[index]  # noqa: NPY002
    finally:
        random.setstate(state)
        np.random.set_state(numpy_state)  # noqa: NPY002
    verdict = _differ("generators", found[0], found[1], "under other global seeds")
    return Verdict("generators", verdict.holds and not moved, f"{verdict.seen}; moved: {'yes' if moved else 'no'}")


def has_a_shape(bench: Bench) -> Verdict:
    """*shape*: every delta is a finite number for each parameter."""
    done = bench.open()(bench.clients, 1, {})
    good = all(one.delta.shape == (bench.size,) and bool(np.isfinite(one.delta).all()) for one in done.values())
    return Verdict("shape", good, f"{len(done)} deltas of shape ({bench.size},)")


def goes_on_from_its_state(bench: Bench) -> Verdict:
    """*resumes*: what clients keep, taken apart and put together elsewhere, goes on to the same bits."""
    here = bench.open()
    kept = _kept(here(bench.clients, 1, {}))
    straight = here(bench.clients, 2, kept)
    elsewhere = bench.open()(bench.clients, 2, {client: bench.again(state) for client, state in kept.items()})
    return _differ("resumes", straight, elsewhere, "round 2 elsewhere")


def keeps_what_it_was_given(bench: Bench) -> Verdict:
    """*keeps*: a second message for a round is answered as the first one was."""
    here = bench.open()
    kept = _kept(here(bench.clients, 1, {}))
    if not kept:
        return beside("keeps", "its clients keep nothing")
    return _differ("keeps", here(bench.clients, 2, kept), here(bench.clients, 2, kept), "the same round twice")


def ignores_company(bench: Bench) -> Verdict:
    """*company*: a client's result does not depend on who trains before it or beside it."""
    together = bench.open()(bench.clients, 1, {})
    alone = {client: bench.open()((client,), 1, {})[client] for client in bench.clients}
    return _differ("company", together, alone, "alone")
