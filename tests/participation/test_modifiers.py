"""Presence that is modulated and selected from, and separation: closed forms, exact enumeration, refusals."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from math import pi, sin
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from fedsim.core import Process, ScenarioError, World
from fedsim.participation.config import Participation
from fedsim.participation.modulations.config import Modulation
from fedsim.participation.modulations.interleaved import Interleaved
from fedsim.participation.modulations.sine import Sine
from fedsim.participation.modulations.staircase import Staircase
from fedsim.participation.processes.bernoulli import Bernoulli
from fedsim.participation.processes.cyclic import Cyclic
from fedsim.participation.processes.full import Full
from fedsim.participation.processes.groups import Group, Groups
from fedsim.participation.processes.markov import Markov
from fedsim.participation.processes.schedule import Schedule
from fedsim.participation.processes.separation import Separation
from fedsim.participation.processes.uniform import Uniform
from fedsim.participation.redraw import coins, independent, redraws
from fedsim.participation.select import Select
from fedsim.scenario import from_dict, load, scenario_hash

Matrix = npt.NDArray[np.bool_]


def matrix(process: Process, rounds: int) -> Matrix:
    """Return rounds x clients."""
    present = np.zeros((rounds, process.num_clients), bool)
    for round in range(1, rounds + 1):
        present[round - 1, process.cohort(round)] = True
    return present


def sine(t: int) -> float:
    return 0.3 * sin(2 * pi * t / 20) + 0.7


def stairs(t: int) -> float:
    return 1.0 if (t - 1) % 10 < 5 else 0.4


def interleaved(t: int) -> float:
    return sine(t) if 0.2 * sine(t) >= 0.1 else 0.0


@pytest.mark.parametrize(
    ("modulation", "law", "mean"),
    [
        (Sine(period=20, amplitude=0.3), sine, 0.7),
        (Staircase(period=10, low=0.4), stairs, 0.7),
        (Interleaved(period=20, amplitude=0.3, cutoff=0.1), interleaved, None),
    ],
    ids=lambda value: getattr(value, "kind", None),
)
@pytest.mark.parametrize(
    "process", [Bernoulli(probabilities=0.2), Markov(probabilities=0.2), Cyclic(probabilities=0.2, period=10)]
)
def test_probabilities_follow_the_closed_form(
    process: Participation, modulation: Modulation, law: Callable[[int], float], mean: float | None
) -> None:
    n, rounds = 3000, 40
    found = replace(process, modulate=modulation).process(World(3, n))
    exact = np.array([0.2 * law(t) for t in range(1, rounds + 1)])
    came = matrix(found, rounds).mean(axis=1)
    assert np.abs(came - exact).max() <= 5 * np.sqrt(0.2 * 0.8 / n)
    assert (came[exact == 0] == 0).all()
    assert found.probabilities is not None
    expected = exact[:20].mean() if mean is None else 0.2 * mean
    np.testing.assert_allclose(found.probabilities, expected, rtol=1e-13)


def test_factors_are_exact_and_never_above_one() -> None:
    one = Sine(period=20, amplitude=0.3)
    np.testing.assert_allclose([one.factor(t) for t in range(1, 61)], [sine(t) for t in range(1, 61)], rtol=1e-14)
    assert all(0 <= Sine(period=p, amplitude=0.5).factor(t) <= 1 for p in range(3, 40) for t in range(1, 80))
    assert [Staircase(period=5, low=0.1).factor(t) for t in range(1, 6)] == [1, 1, 1, 0.1, 0.1]


def test_modulated_coins_of_clients_are_independent() -> None:
    config = Bernoulli(probabilities=0.5, modulate=Staircase(period=4, low=0.5))
    present = np.stack([matrix(config.process(World(seed, 2)), 3)[2] for seed in range(4000)])
    assert present.all(axis=1).mean() == pytest.approx(0.25**2, abs=5 * np.sqrt(0.06 / 4000))


def test_interleaved_needs_the_probabilities_and_leaves_nobody_out_for_ever() -> None:
    cut = Interleaved(cutoff=0.1)
    with pytest.raises(ScenarioError, match=r"modulate.kind: interleaved compares .* does not know its p_i"):
        Schedule(cohorts=((0,),), modulate=cut).process(World(1, 2))
    with pytest.raises(ScenarioError, match=r"client 1 \(p = 0.05\) stays below it .* 1 of 2 clients could never come"):
        Bernoulli(probabilities=(0.5, 0.05), modulate=cut).process(World(1, 2))


@pytest.mark.parametrize(
    "config",
    [
        Bernoulli(probabilities=0.3, select=Select(size=5)),
        Full(select=Select(size=5)),
        Markov(probabilities=0.2, select=Select(size=5)),
        Cyclic(probabilities=0.2, period=10, phase="turns", select=Select(size=5)),
        Groups(
            groups=(Group(share=0.5, process=Full(select=Select(size=2))), Group(process=Bernoulli(probabilities=0.2))),
            select=Select(size=5),
        ),
        Bernoulli(probabilities=0.3, modulate=Sine(), select=Select(size=5)),
        Separation(rounds=4, size=9, select=Select(size=5)),
    ],
    ids=lambda c: f"{c.kind}-{'m' if c.modulate else ''}",
)
def test_select_takes_what_it_may_of_those_available(config: Participation) -> None:
    process, available = config.process(World(7, 40)), replace(config, select=None).process(World(7, 40))
    for round in range(1, 101):
        found, there = process.cohort(round), available.cohort(round)
        assert set(found.tolist()) <= set(there.tolist())
        assert len(found) == min(5, len(there))
        assert found.dtype == np.int64
        assert (np.diff(found) > 0).all()


def test_every_subset_of_the_available_is_equally_likely() -> None:
    cohort = (0, 2, 3, 5, 6)
    process = Schedule(cohorts=(cohort,), select=Select(size=2)).process(World(1, 8))
    subsets = dict.fromkeys(combinations(cohort, 2), 0)
    rounds = 8000
    for round in range(1, rounds + 1):
        subsets[tuple(process.cohort(round).tolist())] += 1
    expected = rounds / len(subsets)
    chi_square = sum((n - expected) ** 2 / expected for n in subsets.values())
    assert chi_square < 27.9  # the 0.999 quantile with 9 degrees of freedom


def test_selected_clients_nest_and_depend_on_the_available_alone() -> None:
    small, large = (Bernoulli(probabilities=0.5, select=Select(size=n)).process(World(1, 60)) for n in (5, 9))
    for round in range(1, 50):
        assert set(small.cohort(round).tolist()) <= set(large.cohort(round).tolist())


def test_select_knows_the_probabilities_where_no_chance_decides_who_else_is_there() -> None:
    world = World(1, 250)
    in_turn = Cyclic(probabilities=0.2, period=20, phase="turns", select=Select(size=10)).process(world)
    np.testing.assert_allclose(in_turn.probabilities, 10 / 250, rtol=1e-12)
    np.testing.assert_allclose(Full(select=Select(size=10)).process(world).probabilities, 0.04)
    np.testing.assert_allclose(Uniform(size=50, select=Select(size=10)).process(world).probabilities, 0.04)
    uneven = Cyclic(probabilities=0.3, period=7, select=Select(size=20)).process(World(1, 100))
    came = np.mean([matrix(uneven, 7 * k)[-7:].mean(axis=0) for k in range(1, 120)], axis=0)
    assert uneven.probabilities is not None
    assert np.abs(came - uneven.probabilities).max() < 5 * np.sqrt(0.25 / (7 * 119))
    assert uneven.probabilities.sum() == pytest.approx(came.sum())
    assert Bernoulli(probabilities=0.3, select=Select(size=10)).process(world).probabilities is None


@pytest.mark.parametrize(("n", "rounds", "size"), [(60, 6, 5), (10, 6, 5), (10, 4, 3), (30, 6, 5), (7, 1, 3)])
def test_separation_keeps_visits_apart_and_has_its_frequencies(n: int, rounds: int, size: int) -> None:
    process = Separation(rounds=rounds, size=size).process(World(2, n))
    present = matrix(process, 6000)
    for client in range(n):
        visits = np.flatnonzero(present[:, client])
        assert np.diff(visits).min() >= rounds
    assert present.sum(axis=1).max() <= size
    assert process.probabilities is not None
    came = present.mean(axis=0)
    assert came.mean() == pytest.approx(process.probabilities[0], rel=1e-3)
    # visits keep apart, so counts vary less than those of coins
    assert np.abs(came - process.probabilities).max() <= 5 * np.sqrt(0.25 * process.probabilities[0] * 4 / 6000)


def test_separation_within_a_process_estimates_its_frequencies() -> None:
    config = Separation(rounds=4, size=5, of=Bernoulli(probabilities=(0.1,) * 10 + (0.6,) * 20))
    process = config.process(World(2, 30))
    came = matrix(process, 12_000).mean(axis=0)
    assert process.probabilities is not None
    assert np.abs(came - process.probabilities).max() < 0.025
    assert came[:10].mean() < came[10:].mean()
    assert process.cohort(3).tolist() == config.process(World(2, 30)).cohort(3).tolist()


def test_modified_clients_toss_no_stationary_coins_and_are_drawn_again_as_they_are() -> None:
    world = World(1, 200)
    config = Markov(probabilities=0.5, modulate=Staircase(period=4, low=0.1), select=Select(size=30))
    assert not coins(config)
    assert independent(config, world) is None
    assert coins(Bernoulli(probabilities=0.5))
    assert not coins(Groups(groups=(Group(process=Bernoulli(probabilities=0.5, modulate=Sine())),)))
    drawn = redraws(config, world)
    assert max(len(drawn(1, k)) for k in range(20)) == 30
    assert np.mean([len(drawn(3, k)) for k in range(200)]) == pytest.approx(10, abs=1)


WORLD = {
    "name": "m",
    "rounds": 3,
    "data": {"dataset": "digits", "clients": 10},
    "model": {"name": "linear"},
    "client": {"local_steps": 1, "batch_size": 8, "lr": 0.1},
    "strategy": {"name": "fedavg"},
}


@pytest.mark.parametrize(
    ("participation", "told"),
    [
        ({"kind": "full", "select": {"size": 11}}, "participation.select.size: must not exceed the number of clients"),
        ({"kind": "full", "select": {"size": 0}}, "participation.select.size"),
        ({"kind": "full", "select": {"size": 3, "how": "luck"}}, "participation.select.how"),
        ({"kind": "full", "select": {"sise": 3}}, "did you mean '?size"),
        ({"kind": "full", "modulate": {"kind": "sin"}}, "did you mean 'sine'"),
        ({"kind": "full", "modulate": {"kind": "sine", "amplitude": 0.6}}, "participation.modulate.amplitude"),
        ({"kind": "full", "modulate": {"kind": "sine", "period": 2}}, "participation.modulate.period"),
        ({"kind": "full", "modulate": {"kind": "staircase", "low": 0}}, "participation.modulate.low"),
        (
            {"kind": "schedule", "cohorts": [[1]], "modulate": {"kind": "interleaved"}},
            "participation.modulate.kind: interleaved compares",
        ),
        (
            {"kind": "bernoulli", "probabilities": 0.05, "modulate": {"kind": "interleaved"}},
            "participation.modulate.cutoff: client 0 .* 10 of 10 clients could never come",
        ),
        ({"kind": "separation", "rounds": 6, "size": 11}, "participation.size: must not exceed"),
        (
            {"kind": "separation", "rounds": 6, "size": 5, "of": {"kind": "uniform", "size": 11}},
            "participation.of.size",
        ),
        (
            {
                "kind": "groups",
                "groups": [
                    {"size": 4, "process": {"kind": "full", "select": {"size": 5}}},
                    {"process": {"kind": "full"}},
                ],
            },
            r"participation.groups.0.process.select.size: must not exceed the number of clients \(4\)",
        ),
        ({"kind": "all_of", "processes": [{"kind": "full", "select": {"size": 11}}]}, "processes.0.select.size"),
    ],
)
def test_wrong_modifiers_are_told_at_their_key(participation: dict[str, object], told: str, tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(json.dumps(WORLD | {"participation": participation}))
    with pytest.raises(ScenarioError, match=told):
        load(str(tmp_path / "m.yaml"))


def test_a_scenario_without_modifiers_keeps_its_hash_and_one_with_them_has_another() -> None:
    plain = from_dict(WORLD | {"participation": {"kind": "bernoulli", "probabilities": 0.5}})
    none = {"kind": "bernoulli", "probabilities": 0.5, "select": None, "modulate": None}
    assert scenario_hash(from_dict(WORLD | {"participation": none})) == scenario_hash(plain)
    some = {"kind": "bernoulli", "probabilities": 0.5, "select": {"size": 2}}
    assert scenario_hash(from_dict(WORLD | {"participation": some})) != scenario_hash(plain)
