"""The Python face, as a notebook uses it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import fedsim
from fedsim.core import ScenarioError

TOY: dict[str, Any] = {
    "name": "toy",
    "seed": 4,
    "rounds": 6,
    "data": {"dataset": "quadratic", "centers": [[0.0], [2.0], [6.0]]},
    "model": {"name": "point", "init": [4.0]},
    "client": {"local_steps": 1, "lr": 0.5},
    "participation": {"kind": "bernoulli", "probabilities": 0.7},
    "strategy": {"name": "fedavg"},
}


def test_a_run_of_a_mapping_returns_its_numbers_as_a_tidy_frame(tmp_path: Path) -> None:
    run = fedsim.run(TOY, out=tmp_path / "run")
    assert run.status == "completed"
    assert run.folder == tmp_path / "run"
    assert run.final["test_loss"] == run.summary["final"]["test_loss"]
    frame = run.rounds
    assert {"run", "strategy", "seed", "round", "metric", "value"} <= set(frame.columns)
    assert set(frame["strategy"]) == {"fedavg"}
    assert set(frame["seed"]) == {4}
    losses = frame.query("metric == 'train_loss'")
    assert losses["round"].is_monotonic_increasing
    assert not frame.duplicated(["run", "round", "metric"]).any()


def test_keywords_override_dotted_keys(tmp_path: Path) -> None:
    run = fedsim.run(TOY, out=tmp_path / "run", seed=9, strategy__server_lr=0.5, participation__probabilities=1.0)
    text = (run.folder / "scenario.yaml").read_text()
    assert "server_lr: 0.5" in text
    assert run.summary["seed"] == 9


def test_a_strategy_may_be_given_whole(tmp_path: Path) -> None:
    run = fedsim.run(TOY, out=tmp_path / "run", strategy={"name": "fedstale", "beta": 0.25})
    assert run.summary["strategy"] == "fedstale"


def test_the_same_numbers_are_loaded_from_the_store(tmp_path: Path) -> None:
    runs = [fedsim.run(TOY, out=tmp_path / str(seed), seed=seed) for seed in (1, 2)]
    everything = fedsim.load(tmp_path)
    assert set(everything["run"]) == {run.id for run in runs}
    mine = everything[everything["run"] == runs[0].id].reset_index(drop=True)
    assert mine.equals(runs[0].rounds.reset_index(drop=True))


def test_every_problem_of_a_mapping_is_told_at_once() -> None:
    with pytest.raises(ScenarioError) as caught:
        fedsim.run(TOY | {"rounds": 0, "sead": 1}, strategy__name="fedavrg")
    told = str(caught.value)
    assert len(told.splitlines()) == 3
    assert "did you mean 'seed'" in told
    assert "did you mean 'fedavg'" in told


def test_importing_fedsim_loads_neither_torch_nor_ray_nor_flower() -> None:
    script = "import sys, fedsim; print([name for name in ('torch', 'ray', 'flwr', 'pandas') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_readme_example_runs_and_prints_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    readme = Path("README.md").read_text()
    example = re.search(r"```python\n(.*?)```", readme, re.DOTALL)
    assert example is not None
    quickstart = Path("scenarios/quickstart.yaml").resolve()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "scenarios" / "quickstart.yaml").symlink_to(quickstart)
    script = example.group(1)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    expected = [line.partition("# ")[2] for line in script.splitlines() if line.lstrip().startswith("print(")]
    assert done.stdout.splitlines() == expected
