"""Partitioners of flwr-datasets by reference; the package, whose bounds are not ours, from a folder of its own."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from fedsim.core import ScenarioError
from fedsim.core.foreign.failures import ForeignError
from fedsim.scenario import load

SCENARIO = """
name: w
rounds: 1
data: {{dataset: digits, clients: 10, partition: {partition}}}
model: {{name: linear}}
strategy: {{name: fedavg}}
"""


THEIRS = ["flwr-datasets==0.6.1", "datasets==3.6.0", "dill==0.4.1", "multiprocess==0.70.19", "xxhash==4.1.0"]
THEIRS += ["huggingface-hub==0.36.0", "tqdm==4.70.1", "seaborn==0.13.2"]


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return a folder with flwr-datasets and what it needs beyond our own packages."""
    folder = tmp_path_factory.mktemp("theirs")
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(folder), *THEIRS]
    subprocess.run(pip, check=True)
    return str(folder)


@pytest.mark.full
@pytest.mark.filterwarnings("default")  # theirs are not ours to mend
@pytest.mark.parametrize(
    "partition",
    [
        '{kind: "flwr_datasets.partitioner:DirichletPartitioner", alpha: 0.5}',
        '{kind: "flwr_datasets.partitioner:IidPartitioner"}',
        '{kind: "flwr_datasets.partitioner:PathologicalPartitioner", partition_by: label, num_classes_per_partition: 2,'
        " class_assignment_mode: first-deterministic}",
        '{kind: label_swap, share: 0.5, of: {kind: "flwr_datasets.partitioner:IidPartitioner"}}',
    ],
)
def test_a_partitioner_deals_by_the_runs_seed(
    tmp_path: Path, theirs: str, partition: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path, theirs])
    importlib.invalidate_caches()
    (tmp_path / "w.yaml").write_text(SCENARIO.format(partition=partition))
    data = load(str(tmp_path / "w.yaml")).data
    one, again = data.load(1), data.load(1)
    np.testing.assert_array_equal(one.order, again.order)
    assert one.num_clients == 10
    assert len(set(one.order.tolist())) == len(one.order) > 1000
    if "Pathological" in partition:
        assert ((one.label_counts() > 0).sum(axis=1) <= 2).all()
    if "Dirichlet" in partition:
        assert not np.array_equal(one.order, data.load(2).order)


LIKE_THEIRS = """
import numpy as np


class Every:
    def __init__(self, num_partitions: int, partition_by: str, extra: int = 0, seed: int | None = 42) -> None:
        self._parts, self.by, self.extra, self.seed = num_partitions, partition_by, extra, seed
        self.dataset = None

    @property
    def num_partitions(self) -> int:
        return self._parts + self.extra

    def load_partition(self, partition_id):
        rows = np.random.default_rng(self.seed).permutation(len(self.dataset[self.by]))
        return {"row": self.dataset["row"][rows[partition_id::20]]}
"""


def test_a_class_like_theirs_deals_with_the_clients_the_labels_and_the_seed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in = SimpleNamespace(Dataset=SimpleNamespace(from_dict=lambda columns: columns))
    monkeypatch.setitem(sys.modules, "datasets", stand_in)
    (tmp_path / "theirs.py").write_text(LIKE_THEIRS)
    file = tmp_path / "w.yaml"
    file.write_text(SCENARIO.format(partition="{kind: ./theirs.py:Every}"))
    data = load(str(file)).data
    one, again, other = data.load(1), data.load(1), data.load(2)
    assert one.num_examples.sum() == sum(len(range(k, 1438, 20)) for k in range(10))  # half is left out
    np.testing.assert_array_equal(one.order, again.order)
    assert not np.array_equal(one.order, other.order)
    file.write_text(SCENARIO.format(partition="{kind: ./theirs.py:Every, extra: 1}"))
    with pytest.raises(ForeignError, match="gives 11 partitions, and there are 10 clients"):
        load(str(file)).data.load(1)
    file.write_text(SCENARIO.format(partition="{kind: ./theirs.py:Every, extr: 1}"))
    with pytest.raises(ScenarioError, match="did you mean"):
        load(str(file))
