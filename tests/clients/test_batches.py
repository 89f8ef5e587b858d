"""The draw of local batches: who sees which examples when, as a function of (seed, round, client)."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import chain

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedsim.clients.batches import Batches, draw, processed
from fedsim.core import LocalWork

EPOCHS = LocalWork(batch_size=4, local_epochs=3)
STEPS = LocalWork(batch_size=4, local_steps=7)
DROPPING = [replace(EPOCHS, drop_last=True), replace(STEPS, drop_last=True)]
COUNTS = np.array([10, 3, 4, 0, 25, 5])
CLIENTS = np.array([2, 3, 5, 8, 11, 40])


def seen(batches: Batches, place: int) -> list[list[int]]:
    """Return the batches of one client, without the padding."""
    return [batches.positions[place, k, :size].tolist() for k, size in enumerate(batches.cuts.of(place))]


def test_an_epoch_is_a_fresh_permutation_with_the_last_batch_short() -> None:
    batches = draw(EPOCHS, 1, 1, CLIENTS, COUNTS)
    mine = seen(batches, 0)
    assert [len(batch) for batch in mine] == [4, 4, 2] * 3
    epochs = [list(chain(*mine[k : k + 3])) for k in (0, 3, 6)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3


def test_steps_walk_on_through_permutations_with_full_batches() -> None:
    batches = draw(STEPS, 1, 1, CLIENTS, COUNTS)
    mine = seen(batches, 0)
    assert [len(batch) for batch in mine] == [4] * 7
    stream = list(chain(*mine))
    assert sorted(stream[:10]) == sorted(stream[10:20]) == list(range(10))
    assert len(set(stream[20:])) == 8


@pytest.mark.parametrize(("work", "steps"), [(EPOCHS, [9, 3, 3, 0, 21, 6]), (STEPS, [7, 7, 7, 0, 7, 7])])
def test_each_client_takes_its_own_number_of_steps(work: LocalWork, steps: list[int]) -> None:
    batches = draw(work, 1, 1, CLIENTS, COUNTS)
    assert batches.steps.tolist() == steps
    assert batches.examples.tolist() == processed(work, COUNTS).tolist()
    assert batches.examples.tolist() == [sum(map(len, seen(batches, place))) for place in range(len(CLIENTS))]


@pytest.mark.parametrize("work", DROPPING)
def test_what_is_left_after_the_last_whole_batch_of_a_pass_is_dropped(work: LocalWork) -> None:
    batches = draw(work, 1, 1, CLIENTS, COUNTS)
    mine = seen(batches, 0)  # 10 examples: two batches of each pass, 8 examples, all different
    assert {len(batch) for batch in mine} == {4}
    passes = [list(chain(*mine[k : k + 2])) for k in range(0, len(mine) - 1, 2)]
    assert len(passes) == 3
    assert all(len(set(examples)) == 8 for examples in passes)
    assert seen(batches, 1) == [[0, 1, 2]] * len(seen(batches, 1))  # fewer than a batch: all it has
    assert batches.steps.tolist() == ([6, 3, 3, 0, 18, 3] if work.local_epochs else [7, 7, 7, 0, 7, 7])
    assert batches.examples.tolist() == processed(work, COUNTS).tolist()
    assert batches.examples.tolist() == [sum(map(len, seen(batches, place))) for place in range(len(CLIENTS))]


@pytest.mark.parametrize("work", [EPOCHS, STEPS, *DROPPING])
def test_the_number_of_steps_is_known_without_a_draw(work: LocalWork) -> None:
    some = COUNTS[COUNTS > 0]
    assert draw(work, 1, 1, CLIENTS[COUNTS > 0], some).steps.tolist() == work.steps(some).tolist()


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("amount", [{"local_epochs": 2}, {"local_steps": 3}])
def test_carried_batches_are_one_stream_cut_by_participations(amount: dict[str, int], drop_last: bool) -> None:
    work = LocalWork(batch_size=4, carry_batches=True, drop_last=drop_last, **amount)
    clients, counts = np.array([3, 9]), np.array([10, 25])
    parts = [draw(work, 1, round, clients, counts, np.full(2, taken)) for taken, round in enumerate((2, 7, 8, 40))]
    at_once = replace(work, **{key: 4 * value for key, value in amount.items()})
    whole = draw(at_once, 1, 1, clients, counts, np.zeros(2, np.int64))
    for place in (0, 1):
        assert list(chain(*(seen(part, place) for part in parts))) == seen(whole, place)
    # clients with different histories share a lane
    mixed = draw(work, 1, 9, clients, counts, np.array([3, 1]))
    assert (seen(mixed, 0), seen(mixed, 1)) == (seen(parts[3], 0), seen(parts[1], 1))


def test_a_carried_pass_goes_through_all_examples_before_it_begins_anew() -> None:
    work = LocalWork(batch_size=4, carry_batches=True, local_steps=1)
    one = np.array([3])
    stream = [seen(draw(work, 1, 1, one, np.array([12]), np.array([taken])), 0)[0] for taken in range(6)]
    assert sorted(chain(*stream[:3])) == sorted(chain(*stream[3:])) == list(range(12))
    assert stream[:3] != stream[3:]


@pytest.mark.parametrize("work", [EPOCHS, STEPS])
def test_a_client_with_no_more_than_a_batch_uses_all_it_has_in_order(work: LocalWork) -> None:
    batches = draw(work, 1, 1, CLIENTS, COUNTS)
    assert all(batch == [0, 1, 2] for batch in seen(batches, 1))
    assert all(batch == [0, 1, 2, 3] for batch in seen(batches, 2))
    assert seen(batches, 3) == []


def test_padding_repeats_an_example_of_the_batch() -> None:
    batches = draw(EPOCHS, 1, 1, CLIENTS, COUNTS)
    short = batches.positions[0, 2]
    assert short[2] == short[3] == short[1]
    assert (batches.positions >= 0).all()
    assert (batches.positions < np.maximum(COUNTS, 1)[:, None, None]).all()


counts = st.lists(st.integers(0, 30), min_size=1, max_size=6)


@given(counts, st.sampled_from([EPOCHS, STEPS, LocalWork(batch_size=7), *DROPPING]), st.integers(1, 5), st.data())
def test_a_client_draws_the_same_alone_as_in_company(
    counts: list[int], work: LocalWork, round: int, data: st.DataObject
) -> None:
    clients = np.cumsum(data.draw(st.lists(st.integers(1, 9), min_size=len(counts), max_size=len(counts))))
    sizes = np.array(counts)
    together = draw(work, 3, round, clients, sizes)
    for place in range(len(counts)):
        own = slice(place, place + 1)
        assert seen(together, place) == seen(draw(work, 3, round, clients[own], sizes[own]), 0)


def test_clients_with_the_same_number_of_examples_draw_what_they_draw_among_others() -> None:
    alike = draw(STEPS, 3, 1, np.array([1, 4, 6]), np.array([10, 10, 10]))
    mixed = draw(STEPS, 3, 1, np.array([1, 4, 6, 7]), np.array([10, 10, 10, 3]))
    assert alike.cuts.alike
    assert not mixed.cuts.alike
    assert [seen(alike, place) for place in range(3)] == [seen(mixed, place) for place in range(3)]


def first_batch(seed: int, round: int, client: int) -> list[int]:
    return seen(draw(LocalWork(batch_size=20), seed, round, np.array([client]), np.array([100])), 0)[0]


def test_seed_round_and_client_each_change_the_draw() -> None:
    drawn = [first_batch(*key) for key in ((1, 1, 1), (2, 1, 1), (1, 2, 1), (1, 1, 2))]
    assert len({tuple(batch) for batch in drawn}) == 4
    assert drawn[0] == first_batch(1, 1, 1)


def test_every_example_is_equally_likely_to_come_first() -> None:
    clients: npt.NDArray[np.int64] = np.arange(6000)
    batches = draw(LocalWork(batch_size=1, local_steps=1), 1, 1, clients, np.full(6000, 6))
    found = Counter(batches.positions[:, 0, 0].tolist())
    statistic = sum((found[place] - 1000) ** 2 / 1000 for place in range(6))
    assert statistic < 20.5  # chi-square with 5 degrees of freedom: 0.1 %
