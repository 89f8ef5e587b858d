"""The page and the example of one's own data run as they stand."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fedsim
from fedsim.core import ScenarioError

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "own-data.md").read_text()
BASE = {
    "name": "page",
    "rounds": 1,
    "model": {"name": "linear"},
    "client": {"local_steps": 1, "batch_size": 8, "lr": 0.1},
}
HEAD = "name: page\nrounds: 1\nmodel: {name: linear}\nclient: {local_steps: 1, batch_size: 8, lr: 0.1}\n"


@pytest.mark.slow
def test_every_form_of_the_page_runs(tmp_path: Path) -> None:
    first, *others = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    (yaml,) = re.findall(r"^```yml\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    (tmp_path / "scenario.yaml").write_text(yaml)
    (tmp_path / "data.py").write_text(first)
    found = fedsim.run(tmp_path / "scenario.yaml", out=tmp_path / "run")
    assert found.final["test_accuracy"] > 0.5
    (tmp_path / "data.py").write_text("\n\n".join(others))
    sections = [one for one in re.findall(r"`data: (\{.*?\})`", PAGE, re.DOTALL) if "hub" not in one]
    assert len(sections) == len(others) == 4
    for number, section in enumerate(sections):
        file = tmp_path / f"s{number}.yaml"
        task = "task: {loss: mse}\n" if "price" in section else ""
        file.write_text(f"{HEAD}{task}data: {section}\n")
        assert fedsim.run(file, out=tmp_path / f"r{number}").summary["rounds"] == 1


def test_a_path_starts_at_the_scenarios_folder_and_its_content_is_part_of_the_run(tmp_path: Path) -> None:
    (tmp_path / "data.py").write_text(
        "from pathlib import Path\n\nimport numpy as np\n\n\ndef load(file: Path):\n"
        "    x = np.loadtxt(file, dtype='float32')\n    return x, np.arange(len(x)) % 2\n"
    )
    np.savetxt(tmp_path / "x.txt", np.arange(80.0).reshape(40, 2) / 80)

    def run(out: str) -> Any:
        data = {"dataset": f"{tmp_path}/data.py:load", "file": str(tmp_path / "x.txt"), "clients": 4}
        return fedsim.run({**BASE, "data": data}, out=tmp_path / out).summary["scenario_hash"]

    (tmp_path / "s.yaml").write_text(f"{HEAD}data: {{dataset: ./data.py:load, file: x.txt, clients: 4}}\n")
    relative = fedsim.run(tmp_path / "s.yaml", out=tmp_path / "a").summary
    assert relative["rounds"] == 1
    before = run("b")
    np.savetxt(tmp_path / "x.txt", np.ones((40, 2)))
    assert run("c") != before
    with pytest.raises(ScenarioError, match=r"data.file: .*x.txt: sha256 was"):
        fedsim.resume(tmp_path / "a", rounds=2)


@pytest.mark.slow
def test_the_example_runs_in_its_three_ways(tmp_path: Path) -> None:
    folder = shutil.copytree(ROOT / "examples" / "my_data", tmp_path / "my_data")
    scenario = folder / "scenario.yaml"
    first = fedsim.run(scenario, out=tmp_path / "a")
    assert first.final["test_accuracy"] > 0.6
    second = fedsim.run(scenario, out=tmp_path / "b", data__dataset="./data.py:Points")
    assert second.summary["params_sha256"] == first.summary["params_sha256"]
    third = fedsim.run(scenario, out=tmp_path / "c", data={"dataset": "./data.py:by_client"})
    assert third.final["test_accuracy"] > 0.6


@pytest.mark.ray
def test_two_hosts_come_to_the_bits_of_one_process_with_a_list_given_as_an_object(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    data = [(draw.normal(size=(20, 3)).astype(np.float32), np.arange(20) % 2) for _ in range(4)]
    one = fedsim.run(BASE, data=data, out=tmp_path / "one").summary
    two = fedsim.run(BASE, data=data, engine={"kind": "ray", "hosts": 2}, out=tmp_path / "two").summary
    assert one["params_sha256"] == two["params_sha256"]
    assert one["scenario_hash"] == two["scenario_hash"]
