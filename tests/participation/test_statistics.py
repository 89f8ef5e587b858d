"""The summary of a process, counted by hand and against the whole matrix."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedsim.core import World
from fedsim.participation.processes.bernoulli import Bernoulli
from fedsim.participation.processes.cyclic import Cyclic
from fedsim.participation.processes.full import Full
from fedsim.participation.processes.markov import Markov
from fedsim.participation.processes.schedule import Schedule
from fedsim.participation.processes.uniform import Uniform
from fedsim.participation.schedules.report import facts, gap_bins, rows
from fedsim.participation.schedules.statistics import ScheduleSummary, correlations, label_shares, summarise

#         round 1  2      3   4     5
COHORTS = ((0,), (0, 1), (), (0, 2), (2,))


@pytest.fixture
def by_hand() -> ScheduleSummary:
    return summarise(Schedule(cohorts=COHORTS).process(World(1, 4)), 5)


def test_sizes_and_participations_are_counted(by_hand: ScheduleSummary) -> None:
    assert by_hand.sizes.tolist() == [1, 2, 0, 2, 1]
    assert by_hand.taken.tolist() == [3, 1, 2, 0]
    assert by_hand.rates.tolist() == [0.6, 0.2, 0.4, 0.0]


def test_gaps_are_the_rounds_from_one_participation_to_the_next(by_hand: ScheduleSummary) -> None:
    assert by_hand.gaps.tolist() == [0, 2, 1, 0, 0, 0]  # client 0: 1, 2; client 2: 1


def test_ages_are_the_rounds_since_the_last_participation(by_hand: ScheduleSummary) -> None:
    ages = [[0, 1, 1, 1], [0, 0, 2, 2], [1, 1, 3, 3], [0, 2, 0, 4], [1, 3, 0, 5]]
    assert by_hand.mean_age.tolist() == [sum(age) / 4 for age in ages]
    assert by_hand.worst_age.tolist() == [max(age) for age in ages]


def test_runs_come_from_the_transitions(by_hand: ScheduleSummary) -> None:
    assert (by_hand.stayed, by_hand.left, by_hand.came) == (2, 3, 3)
    assert by_hand.mean_run_present == 5 / 3
    assert by_hand.mean_run_away == 11 / 3


def test_presence_is_the_matrix_itself_when_it_is_small(by_hand: ScheduleSummary) -> None:
    assert by_hand.presence.tolist() == [[1, 1, 0, 1, 0], [0, 1, 0, 0, 0], [0, 0, 0, 1, 1], [0, 0, 0, 0, 0]]


@given(st.lists(st.sets(st.integers(0, 6)), min_size=1, max_size=25))
@settings(max_examples=100, deadline=None)
def test_one_pass_agrees_with_the_whole_matrix(cohorts: list[set[int]]) -> None:
    rounds = len(cohorts)
    found = summarise(Schedule(cohorts=tuple(map(tuple, cohorts))).process(World(1, 7)), rounds)
    present = np.array([[client in cohort for client in range(7)] for cohort in cohorts])
    last = np.maximum.accumulate(np.where(present, np.arange(1, rounds + 1)[:, None], 0), axis=0)
    age = np.arange(1, rounds + 1)[:, None] - last
    np.testing.assert_allclose(found.mean_age, age.mean(axis=1))
    assert found.worst_age.tolist() == age.max(axis=1).tolist()
    assert found.stayed == (present[1:] & present[:-1]).sum()
    assert found.left == (~present[1:] & present[:-1]).sum()
    assert found.came == (present[1:] & ~present[:-1]).sum()
    gaps = [int(g) for client in present.T for g in np.diff(np.flatnonzero(client))]
    assert found.gaps.tolist() == np.bincount(gaps, minlength=rounds + 1).tolist()


def test_presence_of_many_clients_and_rounds_is_the_mean_of_each_cell() -> None:
    process = Bernoulli(probabilities=0.3).process(World(1, 997))
    found = summarise(process, 1003)
    assert found.presence.shape == (240, 480)
    whole = np.zeros((997, 1003))
    for round in range(1, 1004):
        whole[process.cohort(round), round - 1] = 1
    rows_of, columns_of = np.arange(997) * 240 // 997, np.arange(1003) * 480 // 1003
    for band, column in ((0, 0), (17, 400), (239, 479)):
        cell = whole[np.ix_(rows_of == band, columns_of == column)]
        assert found.presence[band, column] == pytest.approx(cell.mean())


def test_the_probability_of_an_empty_round_is_known_for_independent_clients() -> None:
    world = World(1, 10)
    assert summarise(Bernoulli(probabilities=0.1).process(world), 3).empty_probability == pytest.approx(0.9**10)
    assert summarise(Markov(probabilities=0.1).process(world), 3).empty_probability == pytest.approx(0.9**10)
    assert summarise(Uniform(size=1).process(world), 3).empty_probability == 0
    assert summarise(Full().process(world), 3).empty_probability == 0
    assert summarise(Bernoulli(probabilities=1.0).process(world), 3).empty_probability == 0
    assert summarise(Cyclic(probabilities=0.1).process(world), 3).empty_probability is None


def test_run_lengths_are_those_of_the_chain() -> None:
    found = summarise(Markov(probabilities=0.4, activation=0.2).process(World(1, 3000)), 300)
    assert found.mean_run_present == pytest.approx(1 / 0.3, rel=0.01)
    assert found.mean_run_away == pytest.approx(1 / 0.2, rel=0.01)


def test_correlations_with_labels_by_hand() -> None:
    counts = np.array([[1, 0], [1, 0], [0, 1], [0, 0]])
    rates = np.array([0.5, 0.5, 0.1, 0.9])
    np.testing.assert_allclose(correlations(rates, counts), [1.0, -1.0])
    assert np.isnan(correlations(np.full(4, 0.3), counts)).all()


def test_label_shares_weigh_examples_by_participation() -> None:
    there, seen = label_shares(np.array([0.5, 0.1]), np.array([[2, 0], [0, 2]]))
    assert there.tolist() == [0.5, 0.5]
    np.testing.assert_allclose(seen, [5 / 6, 1 / 6])


def test_facts_and_rows_say_what_was_counted(by_hand: ScheduleSummary) -> None:
    known = facts(by_hand, np.array([[2, 0], [2, 0], [0, 2], [0, 2]]), by_hand.rates)
    assert (known["cohort_mean"], known["empty_rounds"], known["clients_never_seen"]) == (1.2, 1, 1)
    assert (known["gap_mean"], known["gap_median"], known["gap_max"]) == (pytest.approx(4 / 3), 1, 2)
    assert known["cohort_expected"] is None
    text = {name: (expected, realised) for name, expected, realised in rows(known)}
    assert text["cohort size"] == ("-", "1.2 (0 to 2)")
    assert text["empty rounds"] == ("-", "1 of 5")
    assert text["age, worst"] == ("", "5")
    assert "p_i and label, strongest" in text


def test_facts_of_a_process_without_gaps_are_none() -> None:
    known = facts(summarise(Full().process(World(1, 2)), 1))
    assert known["gap_mean"] is None
    assert known["run_present_mean"] is None
    assert rows(known)


def test_gap_bins_double() -> None:
    found = summarise(Schedule(cohorts=((0,), (0,), (), (0,), (), (), (), (0,))).process(World(1, 1)), 8)
    assert gap_bins(found) == [("1", 1 / 3), ("2", 1 / 3), ("3-4", 1 / 3)]
