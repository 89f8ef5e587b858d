"""The virtual clock by hand, deadlines, over-selection, and the files and lists that give speeds."""

from pathlib import Path

import numpy as np
import pytest

from fedsim.core import ScenarioError, World
from fedsim.participation.clock import Clock
from fedsim.participation.devices import Devices, environment
from fedsim.participation.processes.bernoulli import Bernoulli
from fedsim.participation.processes.full import Full
from fedsim.participation.processes.uniform import Uniform
from fedsim.participation.speeds import LogNormal, TwoSpeeds, UniformSpeeds

WORLD = World(1, 4)
LADDER = Devices(steps_per_s=(1.0, 2.0, 4.0, 8.0), up_bytes_per_s=10.0, down_bytes_per_s=20.0)
ALL = np.arange(4)


def test_completion_adds_download_steps_and_upload() -> None:
    seconds = LADDER.clock(WORLD).completion_s(1, ALL, steps=8, bytes_down=40, bytes_up=30)
    assert seconds.tolist() == [2 + 8 + 3, 2 + 4 + 3, 2 + 2 + 3, 2 + 1 + 3]


def test_work_may_differ_between_clients() -> None:
    seconds = LADDER.clock(WORLD).completion_s(1, np.array([0, 3]), np.array([1, 16]), 0, np.array([10, 20]))
    assert seconds.tolist() == [1 + 1, 2 + 2]


def test_a_round_lasts_as_long_as_its_slowest_client() -> None:
    arrived = LADDER.clock(WORLD).realise(1, np.array([1, 3]), 8, 0, 0)
    assert arrived.kept.tolist() == [1, 3]
    assert arrived.seconds == 4.0
    assert arrived.late.size == arrived.surplus.size == 0


def test_a_deadline_turns_late_clients_into_absences() -> None:
    clock = Devices(steps_per_s=(1.0, 2.0, 4.0, 8.0), up_bytes_per_s=1e9, down_bytes_per_s=1e9, deadline_s=4.0)
    arrived = clock.clock(WORLD).realise(1, ALL, 8, 0, 0)
    assert arrived.kept.tolist() == [1, 2, 3]  # at the deadline is in time
    assert arrived.late.tolist() == [0]
    assert arrived.seconds == 4.0


def test_a_deadline_that_nobody_meets_makes_an_empty_round_of_its_length() -> None:
    arrived = Devices(steps_per_s=1.0, deadline_s=2.0).clock(WORLD).realise(1, ALL, 8, 0, 0)
    assert arrived.kept.size == 0
    assert arrived.late.tolist() == [0, 1, 2, 3]
    assert arrived.seconds == 2.0


def test_a_round_in_which_nobody_is_invited_takes_no_time() -> None:
    arrived = Devices(deadline_s=2.0, invite=1.5).clock(WORLD).realise(1, ALL[:0], 8, 0, 0)
    assert (arrived.kept.size, arrived.seconds) == (0, 0.0)


def test_over_selection_keeps_the_first_replies_and_closes_the_round_with_them() -> None:
    clock = Clock(1, np.array([1.0, 2.0, 4.0, 8.0]), np.ones(4), np.ones(4), invite=2.0)
    arrived = clock.realise(1, ALL, 8, 0, 0)
    assert arrived.kept.tolist() == [2, 3]
    assert arrived.surplus.tolist() == [0, 1]
    assert arrived.seconds == 2.0


def test_ties_in_time_go_to_the_smaller_id() -> None:
    clock = Clock(1, np.ones(4), np.ones(4), np.ones(4), invite=4.0)
    assert clock.realise(1, ALL, 8, 0, 0).kept.tolist() == [0]


def test_a_deadline_and_over_selection_work_together() -> None:
    speeds = np.array([1.0, 2.0, 4.0, 8.0])
    clock = Clock(1, speeds, np.ones(4), np.ones(4), deadline_s=1.5, invite=2.0)
    arrived = clock.realise(1, ALL, 8, 0, 0)
    assert (arrived.kept.tolist(), arrived.late.tolist(), arrived.surplus.tolist()) == ([3], [0, 1, 2], [])
    assert arrived.seconds == 1.5


@pytest.mark.parametrize(("factor", "size"), [(1.3, 10), (1.1, 10), (1.3, 7), (1.5, 1), (1.25, 37), (3.0, 33)])
def test_a_uniform_cohort_invites_more_and_keeps_its_size(factor: float, size: int) -> None:
    process, clock = environment(Uniform(size=size), Devices(invite=factor), World(1, 100))
    invited = process.cohort(1)
    assert clock is not None
    assert invited.size == int(np.ceil(round(factor * size, 9)))
    assert clock.realise(1, invited, 5, 100, 100).kept.size == size


def test_the_invited_contain_the_cohort_without_over_selection() -> None:
    world = World(1, 100)
    more, _ = environment(Uniform(size=20), Devices(invite=1.3), world)
    plain, none = environment(Uniform(size=20), None, world)
    assert none is None
    assert set(plain.cohort(3).tolist()) < set(more.cohort(3).tolist())


def test_other_processes_keep_the_first_part_of_those_present() -> None:
    process, clock = environment(Full(), Devices(invite=2.0), World(1, 10))
    assert clock is not None
    assert clock.realise(1, process.cohort(1), 5, 0, 0).kept.size == 5


def test_over_selection_beyond_the_population_is_refused() -> None:
    with pytest.raises(ScenarioError, match=r"devices\.invite: .* 1\.3 x 80 = 104 clients, but there are 100"):
        environment(Uniform(size=80), Devices(invite=1.3), World(1, 100))


def test_a_clock_that_leaves_clients_out_says_so() -> None:
    assert not Devices().clock(WORLD).selects
    assert Devices(deadline_s=1.0).clock(WORLD).selects
    assert Devices(invite=1.5).clock(WORLD).selects


def test_jitter_depends_on_round_and_client_only() -> None:
    clock = Devices(jitter=0.5).clock(World(1, 5000))
    everyone = clock.completion_s(3, np.arange(5000), 100, 0, 0)
    some = np.array([7, 90, 4000])
    np.testing.assert_array_equal(clock.completion_s(3, some, 100, 0, 0), everyone[some])
    assert (clock.completion_s(4, some, 100, 0, 0) != everyone[some]).all()
    logs = np.log(everyone)
    assert abs(logs.mean()) < 5 * 0.5 / np.sqrt(5000)
    assert logs.std() == pytest.approx(0.5, rel=0.05)


def test_laws_of_speeds_have_their_shapes() -> None:
    devices = Devices(
        steps_per_s=LogNormal(median=50, sigma=0.8),
        up_bytes_per_s=TwoSpeeds(share=0.25, high=100, low=1),
        down_bytes_per_s=UniformSpeeds(low=5, high=6),
    )
    clock = devices.clock(World(2, 20_000))
    assert np.median(clock.steps_per_s) == pytest.approx(50, rel=0.03)
    assert np.log(clock.steps_per_s).std() == pytest.approx(0.8, rel=0.03)
    assert (clock.up_bytes_per_s == 100).sum() == 5000
    assert 5 <= clock.down_bytes_per_s.min() < clock.down_bytes_per_s.max() <= 6


def test_one_more_client_changes_no_other_clients_speed() -> None:
    devices = Devices(steps_per_s=LogNormal(median=1), up_bytes_per_s=UniformSpeeds(low=1, high=2))
    few, more = devices.clock(World(1, 50)), devices.clock(World(1, 51))
    np.testing.assert_array_equal(few.steps_per_s, more.steps_per_s[:50])
    np.testing.assert_array_equal(few.up_bytes_per_s, more.up_bytes_per_s[:50])


HEADER = "client,steps_per_s,up_bytes_per_s,down_bytes_per_s\n"


def test_speeds_come_from_a_file_in_any_order(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text(HEADER + "1,4,5,6\n0,1,2,3\n")
    clock = Devices(file="d.csv").clock(World(1, 2, folder=str(tmp_path)))
    assert clock.steps_per_s.tolist() == [1, 4]
    assert clock.up_bytes_per_s.tolist() == [2, 5]
    assert clock.down_bytes_per_s.tolist() == [3, 6]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("0,1,2,3\n", "d.csv: has no line for client 1 (1 clients are missing)"),
        ("0,1,2,3\n1,1,2,3\n0,1,2,3\n", "d.csv:4:1: client: 0 has a line already"),
        ("0,1,2,3\n1,0,2,3\n", "d.csv:3:1: steps_per_s: must be positive"),
        ("0,1,2,3\n7,1,2,3\n", "d.csv:3:1: client: 7 does not exist"),
        ("0,1,2,3\n1,nan,2,3\n", "d.csv:3:3: steps_per_s: must be a finite number, got 'nan'"),
    ],
)
def test_a_wrong_file_of_speeds_is_refused_by_line(tmp_path: Path, rows: str, said: str) -> None:
    (tmp_path / "d.csv").write_text(HEADER + rows)
    world = World(1, 2, folder=str(tmp_path))
    problems = list(Devices(file="d.csv").problems_in(world))
    assert all(key == "file" for key, _ in problems)
    assert any(said in message for _, message in problems)
    with pytest.raises(ScenarioError):
        Devices(file="d.csv").clock(world)


@pytest.mark.parametrize(
    ("devices", "said"),
    [
        (Devices(steps_per_s=(1.0, 2.0)), "devices.steps_per_s: the list has 2 entries, but there are 4 clients"),
        (Devices(steps_per_s=-1.0), "devices.steps_per_s: must be positive"),
        (Devices(up_bytes_per_s=UniformSpeeds(low=3, high=2)), "devices.up_bytes_per_s.low: must not exceed high"),
        (Devices(file="d.csv", steps_per_s=5.0), "devices.steps_per_s: comes from the file"),
        (Devices(file="d.csv", steps_per_s=100.0), "devices.steps_per_s: comes from the file"),
    ],
)
def test_wrong_options_are_refused_by_key(devices: Devices, said: str) -> None:
    with pytest.raises(ScenarioError) as error:
        devices.clock(WORLD)
    assert said in str(error.value)


def test_the_clock_draws_nothing_that_participation_draws() -> None:
    world = World(1, 100)
    with_devices, _ = environment(Bernoulli(probabilities=0.3), Devices(steps_per_s=LogNormal(median=3)), world)
    without, _ = environment(Bernoulli(probabilities=0.3), None, world)
    assert with_devices.cohort(5).tolist() == without.cohort(5).tolist()
