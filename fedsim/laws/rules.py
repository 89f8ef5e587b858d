"""Laws of every rule: that it is a pure function of values, and survives rounds without anybody."""

from __future__ import annotations

import numpy as np

from fedsim.core import Rule
from fedsim.core.state import flatten, restore
from fedsim.laws.play import Moment, Problem, Verdict, bernoulli, play

COHORTS = [[0], [], [1], [0, 1], [], [1], [0, 1], [0]]


def bits_repeat(rule: Rule) -> Verdict:
    """*repeatable*: the same inputs give the same bits."""
    once, again = (list(play(rule, Problem(), COHORTS)) for _ in range(2))
    for one, other in zip(once, again, strict=True):
        if _bits(one) != _bits(other):
            ends = f"{one.params.tolist()} and {other.params.tolist()}"
            return Verdict("repeatable", holds=False, seen=f"two runs differ in round {one.round}: {ends}")
    return Verdict("repeatable", holds=True, seen=f"two runs of {len(COHORTS)} rounds have the same bits")


def writes_to_nothing(rule: Rule) -> Verdict:
    """*pure*: `start`, `ask`, `step` and the like leave all that they are given, and the rule, as it was."""
    begun, options = next(play(rule, Problem(), [])), repr(rule)
    for clients in COHORTS:
        before = _bits(begun)
        *_, after = play(rule, Problem(), [clients], begun)
        changed = sorted(name for name, bits in _bits(begun).items() if before.get(name) != bits)
        if changed or len(before) != len(_bits(begun)):
            seen = f"round {after.round} wrote to the state it was given ({', '.join(changed) or 'another structure'})"
            return Verdict("pure", holds=False, seen=seen)
        if repr(rule) != options:
            return Verdict("pure", holds=False, seen=f"round {after.round} changed the rule: {options} to {rule!r}")
        begun = after
    return Verdict("pure", holds=True, seen=f"states and options as they were after {len(COHORTS)} rounds")


def keys_are_fixed(rule: Rule) -> Verdict:
    """*fixed keys*: the state has the names and types that `start` gave it, round after round; arrays may grow."""
    moments = list(play(rule, Problem(), COHORTS))
    first = _keys(moments[0])
    for now in moments:
        if _keys(now) != first:
            other = sorted(set(_keys(now).items()) ^ set(first.items()))
            return Verdict("fixed keys", holds=False, seen=f"after round {now.round} other than at the start: {other}")
    return Verdict("fixed keys", holds=True, seen=f"{len(first)} arrays")


def goes_on_from_its_state(rule: Rule) -> Verdict:
    """*resumes*: a state taken apart into arrays and put together again goes on to the same bits."""
    whole = list(play(rule, Problem(), COHORTS))
    half, first = whole[4], whole[0]
    saved = {name: array.copy() for name, array in flatten((half.rule, half.correction)).items()}
    state, own = restore((first.rule, first.correction), saved)
    begun = Moment(half.round, half.params, state, own, half.memories, half.seen)
    rest = list(play(rule, Problem(), COHORTS[4:], begun))
    same = _bits(rest[-1]) == _bits(whole[-1])
    return Verdict("resumes", same, f"ended at {rest[-1].params.tolist()}, without a break {whole[-1].params.tolist()}")


def survives_empty_rounds(rule: Rule) -> Verdict:
    """*empty rounds*: nobody comes for a while, and everything stays finite."""
    with np.errstate(invalid="ignore", over="ignore"):
        *_, last = play(rule, Problem(), [[0], [1], *[[]] * 20, *bernoulli(20, 2, 0.5, 5)])
    finite = bool(np.isfinite(last.params).all())
    return Verdict("empty rounds", finite, f"ended at {last.params.tolist()}")


def _bits(now: Moment) -> dict[str, bytes]:
    parts = (now.params, now.rule, now.correction, dict(now.memories))
    return {name: array.tobytes() for name, array in flatten(parts).items()}


def _keys(now: Moment) -> dict[str, str]:
    return {name: str(array.dtype) for name, array in flatten((now.rule, now.correction)).items()}
