"""Rates, run lengths, gaps and autocorrelations against closed forms, inside binomial bounds, seeds fixed."""

import numpy as np
import numpy.typing as npt
import pytest

from fedsim.core import Process, World
from fedsim.participation.config import Participation
from fedsim.participation.processes.all_of import AllOf
from fedsim.participation.processes.bernoulli import Bernoulli
from fedsim.participation.processes.cyclic import Cyclic
from fedsim.participation.processes.full import Full
from fedsim.participation.processes.groups import Group, Groups
from fedsim.participation.processes.markov import Markov
from fedsim.participation.processes.outage import Outage
from fedsim.participation.processes.uniform import Uniform

Matrix = npt.NDArray[np.bool_]
N, R = 2000, 300


def matrix(process: Process, rounds: int) -> Matrix:
    """Return rounds x clients."""
    present = np.zeros((rounds, process.num_clients), bool)
    for round in range(1, rounds + 1):
        present[round - 1, process.cohort(round)] = True
    return present


def assert_binomial(hits: int, trials: int, chance: float) -> None:
    """Five standard deviations: one in two million tests of a true law fails."""
    bound = 5 * np.sqrt(trials * chance * (1 - chance)) + 1e-9
    assert abs(hits - trials * chance) <= bound, f"{hits} of {trials}, expected {trials * chance:.1f} +- {bound:.1f}"


def assert_gaps(present: Matrix, law: list[float]) -> None:
    """Compare the gaps that follow all but the last participations with P(gap = 1), P(gap = 2), ..."""
    longest = len(law)
    seen = np.zeros(longest + 1, int)
    start = int(present[: R - longest].sum())
    for gap in range(1, longest + 1):
        between = np.zeros_like(present[: R - longest])
        for step in range(1, gap):
            between |= present[step : R - longest + step]
        seen[gap] = int((present[: R - longest] & present[gap : R - longest + gap] & ~between).sum())
    for gap, chance in enumerate(law, 1):
        assert_binomial(int(seen[gap]), start, chance)


def test_bernoulli_rates_are_p_for_each_client_and_each_round() -> None:
    p = np.linspace(0.01, 0.9, N)
    present = matrix(Bernoulli(probabilities=tuple(p)).process(World(1, N)), R)
    for client in range(N):
        assert_binomial(int(present[:, client].sum()), R, p[client])
    for round in range(R):
        assert abs(present[round].sum() - p.sum()) <= 5 * np.sqrt((p * (1 - p)).sum())


def test_bernoulli_gaps_are_geometric() -> None:
    present = matrix(Bernoulli(probabilities=0.2).process(World(2, N)), R)
    assert_gaps(present, [0.2 * 0.8 ** (g - 1) for g in range(1, 21)])


def test_bernoulli_rounds_are_uncorrelated() -> None:
    present = matrix(Bernoulli(probabilities=0.3).process(World(3, N)), R)
    for lag in (1, 2, 10):
        assert_binomial(int((present[lag:] & present[:-lag]).sum()), (R - lag) * N, 0.09)


def test_bernoulli_of_a_tiny_probability_is_exact() -> None:
    present = matrix(Bernoulli(probabilities=2e-6).process(World(4, 500_000)), 100)
    assert_binomial(int(present.sum()), 50_000_000, 2e-6)


def test_uniform_rates_and_gaps_are_those_of_size_over_n() -> None:
    present = matrix(Uniform(size=500).process(World(5, N)), R)
    assert (present.sum(axis=1) == 500).all()
    for client in range(N):
        assert_binomial(int(present[:, client].sum()), R, 0.25)
    assert_gaps(present, [0.25 * 0.75 ** (g - 1) for g in range(1, 16)])


@pytest.mark.parametrize(("p", "activation"), [(0.1, 0.05), (0.5, 0.05), (0.02, 0.05), (0.3, 0.9), (1.0, 0.2)])
def test_markov_keeps_its_stationary_p_in_every_round(p: float, activation: float) -> None:
    present = matrix(Markov(probabilities=p, activation=activation).process(World(6, 20_000)), 60)
    for round in (0, 1, 2, 20, 59):
        assert_binomial(int(present[round].sum()), 20_000, p)


def test_markov_below_a_over_one_plus_a_never_stays_two_rounds_and_keeps_p() -> None:
    assert 0.02 < 0.05 / 1.05
    present = matrix(Markov(probabilities=0.02, activation=0.05).process(World(7, N)), R)
    assert not (present[1:] & present[:-1]).any()
    away = int((~present[:-1]).sum())
    assert_binomial(int((~present[:-1] & present[1:]).sum()), away, 0.02 / 0.98)


def test_markov_moves_between_its_states_at_its_two_rates() -> None:
    present = matrix(Markov(probabilities=0.25, activation=0.1).process(World(8, N)), R)
    rise, fall = 0.1, 0.1 * 3
    assert_binomial(int((present[:-1] & ~present[1:]).sum()), int(present[:-1].sum()), fall)
    assert_binomial(int((~present[:-1] & present[1:]).sum()), int((~present[:-1]).sum()), rise)


def test_markov_run_lengths_are_geometric() -> None:
    present = matrix(Markov(probabilities=0.4, activation=0.2).process(World(9, N)), R)
    rise, fall, last = 0.2, 0.3, R - 25
    for state, leave in ((present, fall), (~present, rise)):
        begins = ~state[: last - 1] & state[1:last]
        going = begins.copy()
        for length in range(2, 20):  # runs of at least this length
            going &= state[length : last - 1 + length]
            assert_binomial(int(going.sum()), int(begins.sum()), (1 - leave) ** (length - 1))


def test_markov_gaps_follow_their_closed_form() -> None:
    present = matrix(Markov(probabilities=0.4, activation=0.2).process(World(10, N)), R)
    assert_gaps(present, [0.7] + [0.3 * 0.8 ** (g - 2) * 0.2 for g in range(2, 20)])


@pytest.mark.parametrize(("p", "activation"), [(0.5, 0.05), (0.3, 0.9)])
def test_markov_autocorrelation_is_a_power_of_one_minus_both_rates(p: float, activation: float) -> None:
    clients = 50_000
    process = Markov(probabilities=p, activation=activation)
    rise, fall = (float(rate[0]) for rate in process.rates(np.array([p])))
    present = matrix(process.process(World(11, clients)), 12)
    for lag in (1, 2, 3, 7):
        together = p * (p + (1 - p) * (1 - rise - fall) ** lag)
        assert_binomial(int((present[4] & present[4 + lag]).sum()), clients, together)


def test_cyclic_repeats_with_one_stretch_of_exact_length_in_each_period() -> None:
    p = tuple(np.linspace(0.004, 1.0, 500))
    process = Cyclic(probabilities=p, period=20).process(World(12, 500))
    present = matrix(process, 60)
    on = np.maximum(1, np.rint(20 * np.array(p))).astype(int)
    assert (present[:20] == present[20:40]).all()
    assert (present[:20].sum(axis=0) == on).all()
    begins = present[20:40] & ~present[19:39]
    assert (begins.sum(axis=0) == (on < 20)).all()
    assert process.probabilities.tolist() == (on / 20).tolist()


def test_cyclic_phases_are_uniform() -> None:
    present = matrix(Cyclic(probabilities=0.2, period=10).process(World(13, 20_000)), 11)
    begins = present[1:] & ~present[:-1]
    for round in range(10):
        assert_binomial(int(begins[round].sum()), 20_000, 0.1)


def test_cyclic_inactive_phases_are_uniform_before_the_empty_last_round() -> None:
    present = matrix(Cyclic(probabilities=0.2, period=10, phase="inactive").process(World(14, 20_000)), 30)
    begins = np.concatenate([present[:1], present[1:10] & ~present[:9]])
    for round in range(8):
        assert_binomial(int(begins[round].sum()), 20_000, 1 / 8)
    assert present[9::10].sum() == 0


def test_cyclic_with_phase_inactive_has_the_empty_last_round_of_each_period() -> None:
    process = Cyclic(probabilities=0.1, period=100, phase="inactive").process(World(15, 5000))
    assert [process.cohort(r).size for r in (100, 200, 300)] == [0, 0, 0]
    assert process.cohort(50).size > 0


def test_cyclic_groups_take_turns() -> None:
    begins = set()
    for seed in range(20):
        process = Cyclic(probabilities=0.2, period=20, phase="turns").process(World(seed=seed, num_clients=11))
        present = np.array([np.isin(np.arange(11), process.cohort(r)) for r in range(1, 41)])
        assert (present[:20] == present[20:]).all()
        assert (present[:20].sum(axis=0) == 4).all()
        order = [tuple(np.flatnonzero(row)) for row in present[:20]]
        first = next(r for r in range(1, 20) if order[r] != order[r - 1])
        begins.add(first)
        rolled = order[first:] + order[:first]
        assert rolled == [group for group in ((3, 4), (5, 6), (7, 8), (9, 10), (0, 1, 2)) for _ in range(4)]
    assert begins == {1, 2, 3, 4}


def test_cyclic_clients_with_a_whole_period_are_always_there() -> None:
    for phase in ("uniform", "inactive"):
        process = Cyclic(probabilities=(0.999, 0.5), period=10, phase=phase).process(World(16, 2))
        assert all(0 in process.cohort(r) for r in range(1, 25))


def test_outage_keeps_each_client_with_its_closed_form_probability() -> None:
    config = Outage(rate=0.1, duration=5, share=0.4)
    there = sum(config.process(World(seed, 1)).cohort(3).size for seed in range(3000))
    assert_binomial(there, 3000, 0.96**5)


def test_outage_takes_clients_together() -> None:
    config = Outage(rate=0.1, duration=5, share=0.4)
    both = sum(config.process(World(seed, 2)).cohort(1).size == 2 for seed in range(3000))
    assert_binomial(both, 3000, (1 - 0.1 * (1 - 0.6**2)) ** 5)


def test_outage_absences_last_at_least_the_duration() -> None:
    present = matrix(Outage(rate=0.05, duration=7, share=0.3).process(World(17, 200)), R)
    begins = present[:-8] & ~present[1:-7]
    for step in range(1, 8):
        assert not (begins & present[step : R - 8 + step]).any()
    assert begins.any()


def test_all_of_multiplies_the_probabilities_of_its_parts() -> None:
    config = AllOf(processes=(Bernoulli(probabilities=0.5), Bernoulli(probabilities=0.5), Uniform(size=N // 2)))
    process = config.process(World(18, N))
    assert process.probabilities is not None
    assert process.probabilities.tolist() == [0.125] * N
    assert_binomial(int(matrix(process, R).sum()), N * R, 0.125)


@pytest.mark.parametrize(
    "config",
    [
        Full(),
        Uniform(size=60),
        Bernoulli(probabilities=0.3),
        Markov(probabilities=0.3, activation=0.5),
        Cyclic(probabilities=0.3, period=10),
        Groups(groups=(Group(share=0.5, process=Full()), Group(share=0.5, process=Bernoulli(probabilities=0.1)))),
    ],
    ids=lambda config: config.kind,
)
def test_realised_rates_are_the_probabilities_that_a_process_says_it_has(config: Participation) -> None:
    process = config.process(World(19, 200))
    assert process.probabilities is not None
    rates = matrix(process, 3000).mean(axis=0)
    # Markov rounds are correlated: 3,000 of them count as 3,000 (1 - rho) / (1 + rho) with rho = -0.67 here.
    assert np.abs(rates - process.probabilities).max() <= 5 * np.sqrt(0.25 / 3000)
