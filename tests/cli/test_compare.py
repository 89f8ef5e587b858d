"""`fedsim compare`: what it prints, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from fedsim.cli import main

pytestmark = pytest.mark.slow

SCENARIO = """\
name: noisy
seed: 3
rounds: 12
data: {dataset: quadratic, centers: [[0.0], [2.0], [6.0]], noise: 1.0}
model: {name: point, init: [4.0]}
client: {local_steps: 1, lr: 0.5}
participation: {kind: bernoulli, probabilities: 0.5}
evaluate: {every: 2}
compare: [{name: fedavg}, {name: mifa}]
"""


@pytest.fixture
def scenario(tmp_path: Path) -> str:
    path = tmp_path / "s.yaml"
    path.write_text(SCENARIO)
    return str(path)


def test_tables_show_means_paired_differences_and_rounds_to_target(
    scenario: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["compare", scenario, "--strategies", "fedavg,fedstale:beta=0.3,mifa", "--seeds", "3"]
    assert main([*command, "--out", str(tmp_path / "all"), "--target", "distance=0.5"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("seed 3  fedavg  completed  loss ")
    assert len([line for line in lines if line.startswith("seed ")]) == 9
    table = lines.index("test loss (last round; lower is better)")
    assert " ".join(lines[table + 1].split()) == "mean ± 95 % difference to fedavg p p (Holm)"
    assert lines[table + 2].split()[0] == "fedavg"
    assert lines[table + 2].endswith("baseline")
    assert lines[table + 3].split()[0] == "fedstale:beta=0.3"
    assert any(line.startswith("rounds until distance is at most 0.5") for line in lines)
    assert any(line.startswith("update variance over the cohort") for line in lines)


def test_the_list_of_the_file_is_the_default(scenario: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", scenario, "--seeds", "1", "--out", str(tmp_path / "all"), "--baseline", "mifa"]) == 0
    assert "difference to mifa" in capsys.readouterr().out


def test_the_same_command_again_repeats_no_run(
    scenario: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["compare", scenario, "--seeds", "3,5", "--out", str(tmp_path / "all")]
    assert main(command) == 0
    first = capsys.readouterr().out
    assert main(command) == 0
    again = capsys.readouterr().out
    assert again.replace(" (finished before)", "") == first
    assert again.count("(finished before)") == 4
    assert main([*command, "--overwrite"]) == 0
    assert "(finished before)" not in capsys.readouterr().out


def test_the_exit_code_is_that_of_the_worst_run(
    scenario: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["compare", scenario, "--strategies", "mifa,fedavg:server_lr=1e30", "--seeds", "1", "--quiet"]
    assert main([*command, "--out", str(tmp_path / "all")]) == 6
    printed = capsys.readouterr()
    assert printed.err.startswith("fedavg:server_lr=1e+30, seed 3: diverged: ")
    assert "mifa" in printed.out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            ["--strategies", "fedavg,fedstale:beta=-2"],
            "--strategies:1:1: compare.1.beta: must be a number of at least 0",
        ),
        (["--strategies", "fedvrap"], "did you mean 'fedvarp'?"),
        (["--seeds", "0"], "--seeds: must be at least 1, got 0"),
        (["--seeds", "many"], "--seeds: give a number of seeds (5) or a list of seeds (1,4,7), got 'many'"),
        (["--seeds", "1,1"], "--seeds: seeds are whole numbers from 0 on, each once; got 1, 1"),
        (["--target", "0.9"], "--target: write it as METRIC=VALUE"),
        (["--target", "distanc=1"], "--target: 'distanc' is no metric; did you mean 'distance'?"),
        (["--baseline", "fedau"], "--baseline: 'fedau' is none of the strategies"),
        (["--set", "rounds=0"], "--set rounds=0: rounds: must be"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_plain_words(
    scenario: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    assert main(["compare", scenario, "--out", str(tmp_path / "all"), *options]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "all").exists()
