"""Local work of the user's own by reference: the example, its bits, its identity, and its mistakes at the door."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fedsim
from fedsim.core import ClientError, ScenarioError
from fedsim.engine.run.run import Run, resume
from fedsim.scenario import from_dict

EXAMPLE = Path(__file__).parents[2] / "examples" / "scaffold_by_hand"
TRACE = [0.81, 2.35615, 2.59727625, 2.80163859, 2.87871285]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(EXAMPLE, tmp_path / "example", ignore=shutil.ignore_patterns("__pycache__", "runs"))
    return tmp_path / "example"


def run(folder: Path, out: str, **options: Any) -> Run:
    return fedsim.run(folder / "scenario.yaml", out=folder / out, **options)


def series(done: Run, metric: str) -> list[float]:
    rounds = done.rounds
    found: list[float] = rounds[rounds["metric"] == metric]["value"].tolist()
    return found


def test_scaffold_by_hand_has_the_trace_worked_out_by_hand(folder: Path) -> None:
    assert series(run(folder, "run"), "params_norm") == pytest.approx(TRACE, abs=1e-6)


def test_scaffold_by_hand_is_the_built_in_one(folder: Path) -> None:
    built_in = run(folder, "in", client__work="sgd", strategy={"name": "scaffold"})
    assert series(run(folder, "by"), "params_norm") == pytest.approx(series(built_in, "params_norm"), abs=1e-6)


def test_it_reaches_the_optimum_under_chance_where_fedavg_does_not(folder: Path) -> None:
    chance = {"rounds": 400, "participation": {"kind": "bernoulli", "probabilities": 0.5}, "evaluate__every": 400}
    assert run(folder, "run", **chance).final["distance"] < 1e-5
    fedavg = run(folder, "fedavg", **chance, client__work="sgd", strategy={"name": "fedavg"})
    assert fedavg.final["distance"] > 0.05


def test_a_resumed_run_has_the_same_bits_and_a_changed_file_is_named(folder: Path) -> None:
    whole = run(folder, "whole")
    run(folder, "half", rounds=2, checkpoint={"every": 2})
    half = resume(folder / "half", rounds=5)
    assert half.summary["params_sha256"] == whole.summary["params_sha256"]
    (folder / "scaffold.py").write_text((folder / "scaffold.py").read_text() + "# another\n")
    with pytest.raises(ScenarioError, match=r"client.work.*scaffold.py"):
        resume(folder / "half", rounds=6)


@pytest.mark.ray
def test_on_two_hosts_it_has_the_bits_of_one_process(folder: Path) -> None:
    hosts = run(folder, "hosts", engine={"kind": "ray", "hosts": 2})
    assert hosts.summary["params_sha256"] == run(folder, "here").summary["params_sha256"]


def test_options_stand_beside_the_name_and_reach_the_class(tmp_path: Path) -> None:
    (tmp_path / "work.py").write_text(
        "import numpy as np\n"
        "from fedsim import Work\n"
        "class Fixed:\n"
        "    def __init__(self, by: float = 1.0):\n"
        "        self.by = by\n"
        "    def train(self, module, batches, start, round, rng, state):\n"
        "        return Work(np.full(len(start), self.by), {'by': self.by}, state)\n"
    )
    base = {
        "name": "x",
        "rounds": 2,
        "data": {"dataset": "quadratic", "centers": [[0.0], [2.0]]},
        "model": {"name": "point", "init": [0.0]},
    }
    scenario = from_dict({**base, "client": {"work": {"name": "./work.py:Fixed", "by": 0.25}}}, folder=str(tmp_path))
    done = fedsim.run(scenario, out=tmp_path / "run")
    assert series(done, "params_norm") == [0.25, 0.5]
    assert series(done, "client.by") == [0.25, 0.25]
    with pytest.raises(ScenarioError, match=r"client.work.bye: unknown key; did you mean 'by'\?"):
        from_dict({**base, "client": {"work": {"name": "./work.py:Fixed", "bye": 1.0}}}, folder=str(tmp_path))


WRONG = {
    "no such name": ("./work.py:Fixt", "did you mean 'Fixed'?"),
    "no train": ("./work.py:Nothing", "the class Nothing is not"),
    "signature": ("./work.py:Short", "has train(self, module); it is called with (module, batches, start, round, rng"),
    "no file": ("./wrk.py:Fixed", "did you mean 'work.py'?"),
}


@pytest.mark.parametrize(("word", "text"), WRONG.values(), ids=WRONG)
def test_a_wrong_reference_is_refused_with_its_place(tmp_path: Path, word: str, text: str) -> None:
    (tmp_path / "work.py").write_text(
        "class Nothing: ...\n"
        "class Fixed:\n    def train(self, module, batches, start, round, rng, state): ...\n"
        "class Short:\n    def train(self, module): ...\n"
    )
    (tmp_path / "s.yaml").write_text(
        "name: x\nrounds: 1\ndata: {dataset: quadratic, centers: [[0.0]]}\n"
        f"model: {{name: point, init: [0.0]}}\nclient:\n  work: {word}\n"
    )
    with pytest.raises(ScenarioError) as caught:
        fedsim.run(tmp_path / "s.yaml", out=tmp_path / "run")
    (line,) = str(caught.value).splitlines()
    assert line.startswith(f"{tmp_path / 's.yaml'}:6:9: client.work")
    assert text in line


def test_what_is_raised_stops_the_run_in_one_line_and_is_dropped_where_that_is_said(folder: Path) -> None:
    text = (folder / "scaffold.py").read_text()
    (folder / "scaffold.py").write_text(
        text.replace("        server =", "        assert round < 2, 'tired'\n        server =")
    )
    with pytest.raises(ClientError) as caught:
        run(folder, "run")
    (line,) = str(caught.value).splitlines()
    number = next(k for k, row in enumerate((folder / "scaffold.py").read_text().splitlines(), 1) if "tired" in row)
    assert f"scaffold.py:{number}: AssertionError: tired" in line
    done = run(folder, "dropped", on_client_error="drop")
    assert series(done, "num_crashed") == [0, 1, 2, 1, 2]
    assert np.isfinite(done.final["distance"])


def test_a_correction_of_gradients_and_gossip_are_refused(folder: Path) -> None:
    with pytest.raises(ScenarioError, match=r"strategy: corrects the clients' gradients, and client.work makes these"):
        run(folder, "run", strategy={"name": "scaffold"})
    with pytest.raises(ScenarioError, match=r"client.momentum: client.work trains"):
        run(folder, "run", client__momentum=0.5)
