"""Full, uniform, bernoulli, schedule: exact cohorts, exact sizes."""

import numpy as np
import pytest

from fedsim.core import ScenarioError, World
from fedsim.participation.processes.bernoulli import Bernoulli
from fedsim.participation.processes.full import Full
from fedsim.participation.processes.schedule import Schedule
from fedsim.participation.processes.uniform import Uniform


def test_full_participation_is_everybody_in_every_round() -> None:
    process = Full().process(World(seed=1, num_clients=4))
    assert process.cohort(7).tolist() == [0, 1, 2, 3]
    assert process.probabilities.tolist() == [1.0] * 4


def test_a_uniform_cohort_has_exactly_its_size_without_repeats() -> None:
    process = Uniform(size=7).process(World(seed=1, num_clients=40))
    for round in range(1, 200):
        assert len(set(process.cohort(round).tolist())) == 7
    assert process.probabilities.tolist() == [7 / 40] * 40


def test_uniform_of_everybody_is_everybody() -> None:
    assert Uniform(size=5).process(World(seed=1, num_clients=5)).cohort(3).tolist() == [0, 1, 2, 3, 4]


def test_a_larger_uniform_cohort_holds_the_smaller_one() -> None:
    world = World(seed=3, num_clients=1000)
    for round in range(1, 30):
        small, large = (set(Uniform(size=m).process(world).cohort(round).tolist()) for m in (50, 65))
        assert small < large


def test_certain_clients_always_come() -> None:
    process = Bernoulli(probabilities=(1.0, 0.5, 1.0)).process(World(seed=1, num_clients=3))
    assert all({0, 2} <= set(process.cohort(r).tolist()) for r in range(1, 500))


def test_a_matrix_typed_by_hand_gives_exactly_those_cohorts() -> None:
    matrix = np.array([[1, 1, 0], [1, 0, 1], [0, 0, 0], [0, 1, 0]])
    cohorts = tuple(tuple(np.flatnonzero(row).tolist()) for row in matrix)
    process = Schedule(cohorts=cohorts).process(World(seed=1, num_clients=3))
    for round in range(1, 13):
        assert process.cohort(round).tolist() == np.flatnonzero(matrix[(round - 1) % 4]).tolist()


def test_cohorts_are_returned_ascending_however_they_are_typed() -> None:
    assert Schedule(cohorts=((2, 0),)).process(World(seed=1, num_clients=3)).cohort(1).tolist() == [0, 2]


@pytest.mark.parametrize(
    ("config", "key", "said"),
    [
        (Uniform(size=4), "size", "number of clients (3), got 4"),
        (Bernoulli(probabilities=(0.5, 0.5)), "probabilities", "2 entries, but there are 3 clients"),
        (Bernoulli(probabilities=(0.5, 0.0, 0.5)), "probabilities", "entry 1 is 0"),
        (Bernoulli(probabilities=1.5), "probabilities", "got 1.5"),
        (Schedule(cohorts=((0, 3),)), "cohorts.0", "client 3 does not exist (clients are numbered 0 to 2)"),
        (Schedule(cohorts=((0,), (1, 1))), "cohorts.1", "twice"),
        (Schedule(cohorts=()), "cohorts", "at least one cohort"),
    ],
)
def test_options_that_do_not_fit_the_world_are_refused_by_key(config: Bernoulli, key: str, said: str) -> None:
    with pytest.raises(ScenarioError) as error:
        config.process(World(seed=1, num_clients=3))
    assert f"participation.{key}: " in str(error.value)
    assert said in str(error.value)
