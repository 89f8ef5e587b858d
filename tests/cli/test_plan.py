"""fedsim plan: sources of values, cohorts, memory, time, and a refusal with numbers."""

from pathlib import Path

import pytest

from fedsim.cli import main
from fedsim.core import CapacityError
from fedsim.scenario import load
from fedsim.study import plan as planning
from fedsim.study.plan import plan

BASE = """
rounds: 200
client: {local_steps: 1, lr: 0.1}
"""
TOY = """
extends: base.yaml
name: planned
data: {dataset: quadratic, centers: [[0.0, 1.0], [2.0, 0.0], [6.0, 1.0], [1.0, 1.0]]}
model: {name: point, init: [4.0, 0.0]}
participation: {kind: bernoulli, probabilities: 0.5}
strategy: {name: mifa}
evaluate: {every: 10}
"""


@pytest.fixture
def scenario(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "base.yaml").write_text(BASE)
    path = tmp_path / "s.yaml"
    path.write_text(TOY)
    return path


def line(text: str, key: str) -> list[str]:
    return next(row.split() for row in text.splitlines() if row.split()[:1] == [key])


def test_every_value_is_shown_with_its_source(scenario: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", str(scenario), "--probe-rounds", "0", "--set", "seed=7"]) == 0
    out = capsys.readouterr().out
    assert line(out, "seed") == ["seed", "7", "--set"]
    assert line(out, "rounds") == ["rounds", "200", f"{scenario.parent}/base.yaml:2"]
    assert line(out, "strategy.name") == ["strategy.name", "mifa", f"{scenario}:7"]
    assert line(out, "client.batch_size") == ["client.batch_size", "32", "default"]
    assert "time    not estimated: no rounds were run" in out


def test_nothing_is_left_behind(scenario: Path) -> None:
    before = sorted(scenario.parent.iterdir())
    assert main(["plan", str(scenario)]) == 0
    assert sorted(scenario.parent.iterdir()) == before


def test_cohorts_are_those_of_the_process(scenario: Path) -> None:
    found = plan(load(scenario), probe_rounds=0).cohorts
    assert found.expected == 2.0
    assert found.empty == pytest.approx(1 / 16)
    assert found.exact
    assert (found.smallest, found.largest, found.rounds) == (0, 4, 200)


def test_a_schedule_that_knows_no_probability_is_counted(scenario: Path) -> None:
    loaded = load(scenario, ["participation={kind: schedule, cohorts: [[0, 1, 2], [], [3], []]}"])
    found = plan(loaded, probe_rounds=0).cohorts
    assert (found.expected, found.empty, found.exact) == (1.0, 0.5, False)


def test_memory_is_told_by_what_takes_it(scenario: Path) -> None:
    found = plan(load(scenario, ["checkpoint={every: 5, keep: 2}"]), probe_rounds=0)
    needs = {need.name: need for need in found.needs}
    assert needs["server state"].count == 2 * 8 + 4  # H in float64, and who has been seen
    assert needs["client memories"].count == 4 * 2 * 4  # four clients, two float32
    assert needs["sums of a round"].count == 2 * 8 * 2 * 4  # fresh and stale sums of four nodes
    assert needs["checkpoints"].count == 3 * (8 + 32)
    assert found.needed("disk") > 0


def test_memories_on_disk_are_counted_there(scenario: Path) -> None:
    ram, disk = (plan(load(scenario, [f"memory.tier={tier}"]), probe_rounds=0) for tier in ("ram", "disk"))
    assert ram.needed("ram") - disk.needed("ram") == disk.needed("disk") - ram.needed("disk") == 32


def test_a_probe_estimates_the_whole(scenario: Path) -> None:
    found = plan(load(scenario), probe_rounds=4)
    assert found.speed is not None
    assert found.total_s is not None
    assert found.speed.rounds == 4
    assert 0 < found.speed.fastest_s <= found.speed.slowest_s
    assert found.evaluations == 21
    assert found.total_s >= found.speed.startup_s + 200 * found.speed.round_s


def test_what_cannot_fit_is_refused_with_numbers_and_not_probed(
    scenario: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(planning, "free_ram", lambda: 100)
    monkeypatch.setattr(planning, "probe", lambda *_: pytest.fail("it was probed"))
    assert main(["plan", str(scenario)]) == CapacityError.exit_code == 4
    captured = capsys.readouterr()
    assert "of 0.1 kB free" in captured.out
    assert "ram: 0.2 kB needed, 0.1 kB free; most is for sums of a round: 0.1 kB" in captured.err
    assert "`memory: {tier: disk}`" in captured.err


def test_a_wrong_scenario_is_refused_as_a_run_would(scenario: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", str(scenario), "--set", "strategy.name=fedstall"]) == 2
    assert "did you mean 'fedstale'" in capsys.readouterr().err.lower().replace("fedstale?", "'fedstale'?")
