"""`fedsim schedule` and `fedsim participation` on a scenario file."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer import Typer
from typer.testing import CliRunner, Result

from fedsim.cli.scenario.participation import participation
from fedsim.cli.scenario.schedule import schedule
from fedsim.core import ScenarioError

SCENARIO = """
name: toy
seed: 3
rounds: 12
data: {dataset: synthetic, clients: 20, examples: 50}
model: {name: linear}
participation: {kind: bernoulli, probabilities: {law: label_dirichlet, mean: 0.3, min: 0.1}}
"""

app = Typer()
app.command()(schedule)
app.command()(participation)


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    (tmp_path / "s.yaml").write_text(SCENARIO)
    return tmp_path / "s.yaml"


def call(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)


def test_a_schedule_can_be_written_and_replayed_with_the_same_hash(scenario: Path) -> None:
    first, second = scenario.parent / "a.npz", scenario.parent / "b.npz"
    said = call("schedule", scenario, "--out", first).output
    call("schedule", scenario, "--out", second, "--set", "participation={kind: schedule, file: a.npz}")
    with np.load(first) as a, np.load(second) as b:
        assert a["matrix"].shape == (12, 3)
        np.testing.assert_array_equal(a["matrix"], b["matrix"])
        assert str(a["hash"]) == str(b["hash"])
        assert str(a["hash"]) in said


def test_the_number_of_rounds_can_be_given(scenario: Path) -> None:
    out = scenario.parent / "a.npz"
    assert "30 rounds x 20 clients" in call("schedule", scenario, "--out", out, "--rounds", 30).output


def test_a_corrupted_schedule_is_refused_when_the_scenario_is_read(scenario: Path) -> None:
    (scenario.parent / "a.npz").write_bytes(b"PK")
    with pytest.raises(ScenarioError, match=r"participation\.file: .*a\.npz: truncated, corrupted or not"):
        call("schedule", scenario, "--out", "b.npz", "--set", "participation={kind: schedule, file: a.npz}")


def test_participation_prints_a_table_and_writes_pictures_and_numbers(scenario: Path) -> None:
    out = scenario.parent / "pictures"
    said = call("participation", scenario, "--rounds", 40, "--out", out).output
    for word in ("toy: bernoulli, 20 clients, 40 rounds", "cohort size", "empty rounds", "age, worst", "gaps between"):
        assert word in said
    names = {"participation.png", "presence.png", "cohorts.png", "gaps.png", "labels.png"}
    assert {path.name for path in out.iterdir()} == names | {"participation.json"}
    assert all((out / name).read_bytes().startswith(b"\x89PNG") for name in names)
    known = json.loads((out / "participation.json").read_text())
    assert (known["clients"], known["rounds"]) == (20, 40)
    assert len(known["label_correlation"]) == 10


@pytest.mark.parametrize(
    "process",
    [
        "{kind: schedule, cohorts: [[], [3], [], []]}",
        "{kind: groups, groups: [{size: 5, process: {kind: full}}, {process: {kind: full}, joins_at: 9}]}",
    ],
)
def test_processes_without_known_probabilities_or_gaps_can_be_looked_at(scenario: Path, process: str) -> None:
    out = scenario.parent / "pictures"
    said = call("participation", scenario, "--rounds", 4, "--out", out, "--set", f"participation={process}").output
    assert "20 clients, 4 rounds" in said
