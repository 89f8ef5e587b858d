"""A process is a function of (seed, round): of nothing else, in any order, and its parts draw apart."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedsim.core import World
from fedsim.participation import catalogue, schedule_hash
from fedsim.participation.config import Participation
from fedsim.participation.laws import Beta, TwoLevel, UniformLaw
from fedsim.participation.modulations.sine import Sine
from fedsim.participation.modulations.staircase import Staircase
from fedsim.participation.processes.all_of import AllOf
from fedsim.participation.processes.bernoulli import Bernoulli
from fedsim.participation.processes.cyclic import Cyclic
from fedsim.participation.processes.full import Full
from fedsim.participation.processes.groups import Group, Groups
from fedsim.participation.processes.markov import Markov
from fedsim.participation.processes.outage import Outage
from fedsim.participation.processes.schedule import Schedule
from fedsim.participation.processes.separation import Separation
from fedsim.participation.processes.uniform import Uniform
from fedsim.participation.processes.walk import Walk
from fedsim.participation.select import Select
from fedsim.scenario import from_dict

pytestmark = pytest.mark.slow

N = 24
chances = st.floats(0.01, 1.0)
probabilities = st.one_of(
    chances,
    st.lists(chances, min_size=N, max_size=N).map(tuple),
    st.builds(TwoLevel, share=st.floats(0, 1), high=st.just(1.0), low=chances),
    st.just(Beta()),
    st.builds(UniformLaw, low=st.floats(0.01, 0.5)),
)
simple: st.SearchStrategy[Participation] = st.one_of(
    st.just(Full()),
    st.builds(Uniform, size=st.integers(1, N)),
    st.builds(Bernoulli, probabilities=probabilities),
    st.builds(Markov, probabilities=probabilities, activation=chances),
    st.builds(
        Cyclic,
        probabilities=probabilities,
        period=st.integers(1, 12),
        phase=st.sampled_from(["uniform", "inactive"]),
    ),
    st.builds(Walk, alpha=st.floats(0, 50), tokens=st.integers(1, 3), gamma=st.floats(0.51, 1.0)),
    st.builds(Cyclic, probabilities=chances, period=st.integers(1, 12), phase=st.just("turns")),
    st.builds(Separation, rounds=st.integers(1, 9), size=st.integers(1, N)),
    st.builds(Separation, rounds=st.integers(1, 9), size=st.integers(1, 9), of=st.just(Bernoulli(probabilities=0.4))),
    st.builds(Outage, rate=st.floats(0.01, 0.9), duration=st.integers(1, 9), share=st.floats(0.1, 0.9)),
    st.builds(
        Schedule,
        cohorts=st.lists(st.sets(st.integers(0, N - 1)).map(tuple), min_size=1, max_size=5).map(tuple),
    ),
)


def groups_of(process: Participation, late: int, stay: int) -> Participation:
    half = Bernoulli(probabilities=0.5)
    return AllOf(
        processes=(
            process,
            Groups(groups=(Group(share=0.5, process=half, joins_at=late, leaves_at=late + stay), Group(process=half))),
        )
    )


modifiers = st.fixed_dictionaries(
    {
        "modulate": st.sampled_from([None, Sine(period=5), Staircase(period=4)]),
        "select": st.one_of(st.none(), st.builds(Select, size=st.integers(1, N))),
    }
)
modified = st.builds(lambda config, how: replace(config, **how), simple, modifiers)
processes = st.one_of(simple, modified, st.builds(groups_of, modified, st.integers(1, 9), st.integers(1, 20)))
seeds = st.integers(0, 2**63 - 1)


@given(processes, seeds, st.permutations(list(range(1, 16))))
@settings(max_examples=150, deadline=None)
def test_any_order_of_asking_gives_the_same_cohorts(config: Participation, seed: int, order: list[int]) -> None:
    world = World(seed, N)
    whole = config.process(world)
    in_order = [whole.cohort(round).tolist() for round in range(1, 16)]
    shuffled = config.process(world)
    for round in order:
        assert shuffled.cohort(round).tolist() == in_order[round - 1]
        assert config.process(world).cohort(round).tolist() == in_order[round - 1]  # alone, as the first question


@given(processes, seeds, st.integers(1, 5000))
@settings(max_examples=150, deadline=None)
def test_cohorts_are_ascending_distinct_int64_ids(config: Participation, seed: int, round: int) -> None:
    cohort = config.process(World(seed, N)).cohort(round)
    assert cohort.dtype == np.int64
    assert (np.diff(cohort) > 0).all()
    assert cohort.size == 0 or (cohort[0] >= 0 and cohort[-1] < N)


@given(processes, seeds)
@settings(max_examples=100, deadline=None)
def test_probabilities_are_none_or_one_number_in_range_for_each_client(config: Participation, seed: int) -> None:
    known = config.process(World(seed, N)).probabilities
    assert known is None or (known.shape == (N,) and bool(((known > 0) & (known <= 1)).all()))


@given(processes, seeds)
@settings(max_examples=50, deadline=None)
def test_no_process_reads_or_moves_the_global_generator(config: Participation, seed: int) -> None:
    np.random.seed(0)  # noqa: NPY002
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    first = schedule_hash(config.process(World(seed, N)), 5)
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002
    np.random.seed(1)  # noqa: NPY002
    assert schedule_hash(config.process(World(seed, N)), 5) == first


@given(seeds, st.integers(1, 40), st.integers(1, 20), chances, chances, st.integers(1, 300))
@settings(max_examples=100, deadline=None)
def test_new_clients_change_no_other_clients_draw(
    seed: int, clients: int, more: int, p: float, activation: float, round: int
) -> None:
    configs = (
        Bernoulli(probabilities=p),
        Markov(probabilities=p, activation=activation),
        Outage(),
        Bernoulli(probabilities=Beta()),
    )
    for config in configs:
        few, many = (config.process(World(seed, n)).cohort(round) for n in (clients, clients + more))
        assert few.tolist() == many[many < clients].tolist()


@given(seeds, chances, chances, st.integers(1, 50))
@settings(max_examples=50, deadline=None)
def test_a_larger_probability_only_adds_rounds(seed: int, p: float, q: float, round: int) -> None:
    low, high = (Bernoulli(probabilities=x).process(World(seed, N)).cohort(round) for x in sorted((p, q)))
    assert set(low.tolist()) <= set(high.tolist())


@given(simple, simple, seeds)
@settings(max_examples=50, deadline=None)
def test_a_group_does_not_notice_what_the_other_groups_do(one: Participation, other: Participation, seed: int) -> None:
    def late(process: Participation) -> list[list[int]]:
        groups = Groups(groups=(Group(size=N, process=process), Group(size=N, process=Bernoulli(probabilities=0.5))))
        whole = groups.process(World(seed, 2 * N))
        return [c[c >= N].tolist() for c in map(whole.cohort, range(1, 6))]

    assert late(one) == late(other)


def test_parts_of_the_same_kind_draw_apart() -> None:
    half = Bernoulli(probabilities=0.5)
    world = World(1, 4000)
    groups = Groups(groups=(Group(size=2000, process=half), Group(size=2000, process=half))).process(world).cohort(1)
    first, second = groups[groups < 2000], groups[groups >= 2000] - 2000
    alone = half.process(World(1, 2000)).cohort(1)
    for a, b in ((first, second), (first, alone), (second, alone)):
        assert abs(np.intersect1d(a, b).size - 500) < 5 * np.sqrt(2000 * 0.25 * 0.75)
    both = AllOf(processes=(half, half)).process(world).cohort(1)
    assert abs(both.size - 1000) < 5 * np.sqrt(4000 * 0.25 * 0.75)


def test_seeds_give_different_schedules() -> None:
    for config in (Uniform(size=5), Bernoulli(probabilities=0.3), Markov(probabilities=0.3), Cyclic(probabilities=0.3)):
        assert len({schedule_hash(config.process(World(seed, N)), 20) for seed in range(20)}) == 20


BASE: dict[str, Any] = {
    "name": "independence",
    "rounds": 5,
    "data": {"dataset": "quadratic", "centers": [[float(c)] for c in range(N)]},
    "model": {"name": "point", "init": [0.0]},
    "client": {"local_steps": 1},
}


@given(
    st.sampled_from(["bernoulli", "markov", "cyclic"]),
    st.sampled_from([{"name": "fedavg"}, {"name": "fedstale", "beta": 0.2}, {"name": "fedau"}, {"name": "mifa"}]),
    st.sampled_from([{"kind": "serial"}, {"kind": "serial", "nodes": 3}, {"kind": "ray", "nodes": 4, "hosts": 2}]),
    st.integers(1, 9),
    st.integers(1, 9),
)
@settings(max_examples=30, deadline=None)
def test_the_schedule_does_not_depend_on_strategy_engine_evaluation_or_local_work(
    kind: str, strategy: dict[str, Any], engine: dict[str, Any], every: int, steps: int
) -> None:
    def of(extra: dict[str, Any]) -> str:
        scenario = from_dict(BASE | {"seed": 3, "participation": {"kind": kind, "probabilities": 0.3}} | extra)
        return schedule_hash(scenario.participation.process(World(scenario.seed, N)), 40)

    varied = {"strategy": strategy, "engine": engine, "evaluate": {"every": every}, "client": {"local_steps": steps}}
    assert of({}) == of(varied)


def test_catalogue_words_are_kinds_and_file_names() -> None:
    for word, cls in catalogue().items():
        assert cls.__dataclass_fields__["kind"].default == word
        assert cls.__module__ == f"fedsim.participation.processes.{word}"
        assert cls.__doc__
