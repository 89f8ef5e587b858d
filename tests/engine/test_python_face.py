"""The Python face, as a notebook uses it."""

from __future__ import annotations

import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fedsim
from fedsim.api import read
from fedsim.core import ScenarioError
from fedsim.scenario import from_dict, to_mapping
from fedsim.strategies.fedavg import FedAvg
from fedsim.strategies.fedstale import FedStale

pytestmark = pytest.mark.slow

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


class Level(Enum):
    """A value that carries another."""

    FULL = 1.0


@pytest.mark.parametrize(
    ("key", "value", "plain"),
    [
        ("rounds", np.int64(2), 2),
        ("client__lr", np.float32(0.25), 0.25),
        ("participation__probabilities", np.array([0.5, 0.5, 1.0]), (0.5, 0.5, 1.0)),
        ("participation__probabilities", Level.FULL, 1.0),
        ("model__init", (np.float64(1.0),), (1.0,)),
        ("folder", Path("/tmp"), "/tmp"),
        ("name", "\N{GRINNING FACE} {[#: \x85\x00", "\N{GRINNING FACE} {[#: \x85\x00"),
        ("name", np.str_("1e3"), "1e3"),
        ("strategy", FedStale(beta=0.25), FedStale(beta=0.25)),
        ("compare", [FedAvg(), {"name": "fedstale", "beta": np.float64(0.5)}], (FedAvg(), FedStale(beta=0.5))),
    ],
)
def test_overrides_are_values_of_python(key: str, value: Any, plain: Any) -> None:
    found: Any = read(TOY, {key: value})
    for name in key.split("__"):
        found = getattr(found, name)
    assert found == plain
    assert from_dict(to_mapping(read(TOY, {key: value}))) == read(TOY, {key: value})


@pytest.mark.parametrize("flags", [[], ["-O"]], ids=["plain", "optimised"])
def test_a_scenario_that_was_read_before_takes_overrides_also_without_asserts(tmp_path: Path, flags: list[str]) -> None:
    script = (
        "import fedsim, sys\nfrom fedsim.scenario import from_dict\n"
        f"print(fedsim.run(from_dict({TOY!r}), out={str(tmp_path / 'run')!r}, rounds=4).summary['rounds'])"
    )
    done = subprocess.run([sys.executable, *flags, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "4\n"


def test_wrong_overrides_of_a_scenario_are_told_as_of_a_file() -> None:
    with pytest.raises(ScenarioError, match="rounds: must be a whole number of at least 1"):
        fedsim.run(from_dict(TOY), rounds=-4)


@pytest.mark.parametrize("value", [{1, 2}, b"fedavg", object(), dict])
def test_what_is_no_strategy_is_refused_by_its_type(value: Any) -> None:
    with pytest.raises(ScenarioError, match=r"strategy\.name: must be a strategy: .* is not"):
        fedsim.run(TOY, strategy=value)
    with pytest.raises(ScenarioError, match=r"must be a strategy: .* is not"):
        fedsim.compare(TOY, [value])


@pytest.mark.parametrize("strategies", [FedStale(beta=0.5), {"name": "fedstale", "beta": np.float32(0.5)}])
def test_one_strategy_is_compared_as_a_list_of_one_is(tmp_path: Path, strategies: Any) -> None:
    found = fedsim.compare(TOY, strategies, seeds=np.array([3]), out=tmp_path / "all", rounds=np.int32(2))
    assert (found.labels, found.seeds) == (["fedstale"], (3,))


@pytest.mark.parametrize("seeds", [1.5, "1,2", [0.5], None])
def test_seeds_that_are_no_whole_numbers_are_refused(seeds: Any) -> None:
    with pytest.raises(ScenarioError, match="--seeds: give a number of seeds or a list of whole numbers"):
        fedsim.compare(TOY, seeds=seeds)


def test_a_time_limit_outside_the_main_thread_is_refused_and_no_client_is_blamed() -> None:
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(fedsim.run, TOY, client__timeout_s=5.0, engine__kind="serial")
        with pytest.raises(ScenarioError, match=r"client\.timeout_s: only the main thread can be interrupted"):
            run.result()


def test_as_many_probabilities_as_clients_are_asked_for_where_only_the_file_counts_them(tmp_path: Path) -> None:
    np.savez(tmp_path / "own.npz", x=np.ones((40, 2)), y=np.arange(40) % 2, client=np.arange(40) % 4)
    data = {"dataset": "npz", "path": "own.npz", "partition": {"kind": "natural", "column": "client"}}
    sections = {"data": data, "model": {"name": "linear"}, "strategy": {"name": "fedstale", "probabilities": [0.5]}}
    with pytest.raises(ScenarioError, match="has 1 entries for 4 clients"):
        fedsim.run(TOY | sections, folder=tmp_path, out=tmp_path / "run")


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
