"""Groups: who belongs where, joining and leaving, nesting, refusals."""

import numpy as np
import pytest

from fedsim.core import ScenarioError, World
from fedsim.participation.laws import LabelDirichlet
from fedsim.participation.processes.all_of import AllOf
from fedsim.participation.processes.bernoulli import Bernoulli
from fedsim.participation.processes.full import Full
from fedsim.participation.processes.groups import Group, Groups
from fedsim.participation.processes.schedule import Schedule
from fedsim.participation.processes.uniform import Uniform


def test_half_always_and_half_seldom_as_in_the_runs_of_fedstale() -> None:
    seldom = Bernoulli(probabilities=0.1)
    process = Groups(groups=(Group(share=0.5, process=Full()), Group(share=0.5, process=seldom))).process(World(1, 10))
    assert process.probabilities is not None
    assert process.probabilities.tolist() == [1.0] * 5 + [0.1] * 5
    assert all(set(range(5)) <= set(process.cohort(r).tolist()) for r in range(1, 20))


def test_a_group_is_there_from_joins_at_until_before_leaves_at() -> None:
    config = Groups(groups=(Group(size=1, process=Full()), Group(size=2, process=Full(), joins_at=3, leaves_at=5)))
    process = config.process(World(1, 3))
    assert [process.cohort(r).tolist() for r in range(1, 7)] == [[0], [0], [0, 1, 2], [0, 1, 2], [0], [0]]
    assert process.probabilities is None


def test_the_processes_of_groups_number_their_own_clients() -> None:
    inner = Schedule(cohorts=((0,), (1,)))
    process = Groups(groups=(Group(size=3, process=inner), Group(process=inner))).process(World(1, 5))
    assert [process.cohort(r).tolist() for r in (1, 2)] == [[0, 3], [1, 4]]


def test_a_group_that_joins_late_runs_on_the_clock_of_the_whole() -> None:
    inner = Schedule(cohorts=((0,), (1,), ()))
    process = Groups(groups=(Group(process=inner, joins_at=2),)).process(World(1, 2))
    assert [process.cohort(r).tolist() for r in (1, 2, 3, 4)] == [[], [1], [], [0]]


def test_the_rest_goes_to_the_group_without_share_or_size() -> None:
    groups = (Group(share=0.25, process=Full()), Group(process=Full()), Group(share=0.1, process=Full()))
    assert Groups(groups=groups).starts(20) == (0, 5, 18, 20)


def test_labels_of_a_group_are_those_of_its_clients() -> None:
    labels = np.array([[9, 0], [9, 0], [0, 9], [0, 9]])
    law = Bernoulli(probabilities=LabelDirichlet(alpha=1.0, mean=0.4, min=0.01))
    process = Groups(groups=(Group(size=2, process=law), Group(size=2, process=Full()))).process(
        World(1, 4, lambda: labels)
    )
    assert process.probabilities is not None
    assert process.probabilities[0] == process.probabilities[1]


def test_groups_may_hold_groups() -> None:
    inner = Groups(groups=(Group(size=1, process=Schedule(cohorts=((),))), Group(process=Full())))
    process = Groups(groups=(Group(size=3, process=inner), Group(process=Full()))).process(World(1, 4))
    assert process.cohort(1).tolist() == [1, 2, 3]


F = Full()


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (Groups(groups=()), "groups: needs at least one group"),
        (Groups(groups=(Group(share=0.5, process=F), Group(share=0.4, process=F))), "add up to 0.9 instead of 1"),
        (Groups(groups=(Group(share=0.8, process=F), Group(share=0.4, process=F))), "add up to 1.2 instead of 1"),
        (Groups(groups=(Group(share=0.5, process=F), Group(size=4, process=F))), "shares or sizes, not both"),
        (Groups(groups=(Group(size=4, process=F), Group(size=4, process=F))), "add up to 8, but there are 10 clients"),
        (Groups(groups=(Group(size=14, process=F), Group(process=F))), "add up to 14, but there are 10 clients"),
        (Groups(groups=(Group(size=10, process=F), Group(process=F))), "groups.1: no client of 10 is left"),
        (Groups(groups=(Group(process=F), Group(process=F))), "groups.1: only one group may leave out"),
        (Groups(groups=(Group(process=F, joins_at=5, leaves_at=5),)), "groups.0.leaves_at: must come after joins_at"),
        (Groups(groups=(Group(process=Uniform(size=11)),)), "groups.0.process.size: must not exceed"),
        (AllOf(processes=(F, Bernoulli(probabilities=2.0))), "processes.1.probabilities: must lie in (0, 1]"),
        (AllOf(processes=(F, Uniform(size=11))), "processes.1.size: must not exceed"),
        (AllOf(processes=()), "processes: needs at least one process"),
    ],
)
def test_what_does_not_fit_is_refused_by_its_key(config: Groups | AllOf, said: str) -> None:
    with pytest.raises(ScenarioError) as error:
        config.process(World(1, 10))
    assert "participation." in str(error.value)
    assert said in str(error.value)
