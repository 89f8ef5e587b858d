"""Laws of a participation process: a pure function of (seed, round), whose probabilities are what it says."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np

from fedsim.core import Process, World
from fedsim.laws.play import Verdict, beside

Builds = Callable[[World], Process]
"""What makes a process of a world."""
CLIENTS, ROUNDS, SEEDS = 24, 40, 400
FAR, SHARE = 5.0, 0.02
"""How many standard errors a frequency may be off; how far it may where nothing is drawn."""


def _world(seed: int = 3, clients: int = CLIENTS) -> World:
    """Return a world of clients with three classes each, in other shares."""
    counts = np.arange(clients * 3).reshape(clients, 3) % 7 + 1
    return World(seed, clients, lambda: counts)


def _cohorts(process: Process, rounds: range = range(1, ROUNDS + 1)) -> list[list[int]]:
    return [process.cohort(round).tolist() for round in rounds]


def repeats(build: Builds) -> Verdict:
    """*repeatable*: two processes of one seed give the same cohorts, whatever global generators say."""
    state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        found = []
        for number in (0, 1):
            random.seed(number)
            np.random.seed(number)  # noqa: NPY002
            found.append(_cohorts(build(_world())))
    finally:
        random.setstate(state)
        np.random.set_state(numpy_state)  # noqa: NPY002
    differ = [round for round, (one, other) in enumerate(zip(*found, strict=True), 1) if one != other]
    seen = f"{len(differ)} of {ROUNDS} rounds differ" + (f", first round {differ[0]}" if differ else "")
    return Verdict("repeatable", not differ, seen)


def order_does_not_matter(build: Builds) -> Verdict:
    """*order*: a round has the same cohort whenever it is asked for, and also alone."""
    whole, backwards = _cohorts(build(_world())), build(_world())
    differ = {r for r in range(ROUNDS, 0, -1) if backwards.cohort(r).tolist() != whole[r - 1]}
    differ |= {r for r in range(ROUNDS, 0, -1) if backwards.cohort(r).tolist() != whole[r - 1]}
    differ |= {r for r in (1, 7, ROUNDS) if build(_world()).cohort(r).tolist() != whole[r - 1]}
    seen = f"{len(differ)} of {ROUNDS} rounds differ when asked backwards, twice or alone"
    return Verdict("order", not differ, seen)


def ids_are_clients(build: Builds) -> Verdict:
    """*ids*: cohorts are ascending int64 ids of clients that there are, each once."""
    for round in range(1, ROUNDS + 1):
        cohort = build(_world()).cohort(round)
        good = cohort.dtype == np.int64 and (np.diff(cohort) > 0).all()
        if not good or (cohort.size and not 0 <= cohort[0] <= cohort[-1] < CLIENTS):
            return Verdict("ids", holds=False, seen=f"round {round}: {cohort.dtype} {cohort.tolist()}")
    return Verdict("ids", holds=True, seen=f"{ROUNDS} rounds of {CLIENTS} clients")


def touches_no_generator(build: Builds) -> Verdict:
    """*generators*: global generators are left as they were."""
    before = random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[index]  # noqa: NPY002
    _cohorts(build(_world()))
    after = random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[index]  # noqa: NPY002
    moved = [name for name, one, other in zip(("random", "numpy"), before, after, strict=True) if one != other]
    return Verdict("generators", not moved, f"drawn from: {' and '.join(moved) or 'none'}")


def answers_are_its_own(build: Builds) -> Verdict:
    """*schedule*: what is done to a cohort that was given changes no later answer, so every strategy meets the same."""
    process = build(_world())
    whole = _cohorts(process)
    differ = 0
    for round in range(1, ROUNDS + 1):
        cohort = process.cohort(round)
        if cohort.flags.writeable:
            cohort[:] = 0
        differ += process.cohort(round).tolist() != whole[round - 1]
    return Verdict("schedule", not differ, f"{differ} of {ROUNDS} rounds differ after a cohort was written to")


def frequencies_are_the_probabilities(build: Builds) -> Verdict:
    """*probabilities*: clients come as often as the process says, by a z-test over seeds that are always the same."""
    first = build(_world(1))
    if first.probabilities is None:
        return beside("probabilities", "it tells none")
    if _cohorts(first) == _cohorts(build(_world(2))) == _cohorts(build(_world(3))):
        came = np.zeros(CLIENTS)
        for round in range(1, 2001):
            came[first.cohort(round)] += 1 / 2000
        off = float(np.abs(came - first.probabilities).max())
        return Verdict("probabilities", off < SHARE, f"no draw; frequencies in 2000 rounds are at most {off:.2g} off")
    rounds = (1, 2, 9, 60)
    excess, variance = np.zeros((2, len(rounds), CLIENTS))
    for seed in range(SEEDS):
        process = build(_world(seed))
        p = process.probabilities
        assert p is not None
        for place, round in enumerate(rounds):
            came = np.zeros(CLIENTS)
            came[process.cohort(round)] = 1.0
            excess[place] += came - p
            variance[place] += p * (1.0 - p)
    z = np.abs(excess) / np.sqrt(np.maximum(variance, 1e-12))
    place, client = (int(one) for one in np.unravel_index(int(z.argmax()), z.shape))
    seen = (
        f"largest |z| {z.max():.3g} of {z.size} (at most {FAR:g}): client {client}, round {rounds[place]}, "
        f"{excess[place, client] / SEEDS:+.3g} off over {SEEDS} seeds"
    )
    return Verdict("probabilities", bool(z.max() <= FAR), seen)
