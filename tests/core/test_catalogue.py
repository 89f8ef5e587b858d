"""A new strategy, process, dataset, partition, model, metric or sink is one file: no list is edited."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import fedsim
from fedsim import data, models, strategies
from fedsim.analysis.frames import load_run
from fedsim.core import ScenarioError
from fedsim.data import partitions
from fedsim.metrics import METRICS, config, measured, registry, sinks
from fedsim.participation import processes
from fedsim.scenario import from_dict, schema_text

STRATEGY = """
from dataclasses import dataclass
from typing import Literal
import numpy as np
from fedsim.core import LinearSum, Rule

@dataclass(frozen=True, kw_only=True)
class Halved(Rule):
    \"""Half of what the participants' mean would be.\"""

    name: Literal["halved"] = "halved"

    def start(self, params, population):
        return ()

    def ask(self, state, cohort):
        return {"update": LinearSum(np.full(len(cohort), 0.5 / max(1, len(cohort))))}

    def step(self, state, cohort, sums):
        return state, sums["update"]
"""
PROCESS = """
from dataclasses import dataclass
from typing import Literal
import numpy as np
from fedsim.participation import Participation

@dataclass(frozen=True)
class EvenProcess:
    num_clients: int
    probabilities = None

    def cohort(self, round):
        return np.arange(0, self.num_clients, 2, dtype=np.int64)

@dataclass(frozen=True, kw_only=True)
class Even(Participation):
    \"""Clients with even ids.\"""

    kind: Literal["even"] = "even"

    def process(self, world):
        return EvenProcess(world.num_clients)
"""
DATASET = """
from dataclasses import dataclass
from typing import Literal
from fedsim.data.digits import Digits

@dataclass(frozen=True, kw_only=True)
class Few(Digits):
    \"""The digits under another word.\"""

    dataset: Literal["few"] = "few"
"""
PARTITION = """
from dataclasses import dataclass
from typing import Literal
import numpy as np
from fedsim.data.partitions.config import Dealing

@dataclass(frozen=True, kw_only=True)
class InTurn(Dealing):
    \"""Examples dealt in turn.\"""

    kind: Literal["in_turn"] = "in_turn"

    def owners(self, labels, clients, seed):
        return np.arange(len(labels), dtype=np.int64) % clients
"""
MODEL = """
from dataclasses import dataclass
from typing import Literal
from fedsim.models.config import Network

@dataclass(frozen=True, kw_only=True)
class Squashed(Network):
    \"""Linear layers with tanh between them.\"""

    name: Literal["squashed"] = "squashed"

    def module(self, input_shape, num_classes):
        from math import prod
        from torch import nn

        return nn.Sequential(nn.Flatten(), nn.Linear(prod(input_shape), 4), nn.Tanh(), nn.Linear(4, num_classes))
"""
SINK = """
from dataclasses import dataclass
from typing import Literal
from fedsim.metrics.sinks.base import Sink

@dataclass(frozen=True, kw_only=True)
class Nothing:
    \"""Reads events and keeps none.\"""

    kind: Literal["nothing"] = "nothing"

    def open(self, run_folder):
        return NoSink()

class NoSink(Sink):
    def write(self, events):
        pass
"""
METRIC = """
import numpy as np
from fedsim.metrics import Metric, Round

def share(round: Round) -> float:
    return round.values["cohort_size"] / round.values["num_invited"]

METRICS = (
    Metric("came_fraction", "1", "clients that took part, of those that were asked", "higher", of=share),
    Metric("largest_weight", "1", "largest parameter", when=("server",), signed=True, of=lambda r: np.max(r.params)),
    Metric("largest_step", "1", "largest entry of the update", when=("server",), of=lambda r: np.max(np.abs(r.update))),
    Metric("messages_per_client", "messages", "messages for each client that came", when=("peers",),
           of=lambda round: round.values["messages"] / len(round.clients)),
)
"""

Add = Callable[[ModuleType, str, str], None]
SCENARIO: dict[str, Any] = {
    "name": "one file",
    "rounds": 2,
    "data": {"dataset": "digits", "clients": 6},
    "model": {"name": "linear"},
    "client": {"local_steps": 1, "batch_size": 8},
}


@pytest.fixture
def add(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Add]:
    """Let a room have one more file, in a folder of its own."""
    catalogues = (strategies.catalogue, processes.catalogue, data.catalogue, partitions.catalogue, models.catalogue)

    def forget() -> None:
        for catalogue in (*catalogues, config.catalogue):
            catalogue.cache_clear()
        registry.collect()
        from fedsim.scenario.types import homes, keys_of, shape

        homes.cache_clear()
        keys_of.cache_clear()
        shape.cache_clear()

    def write(room: ModuleType, name: str, text: str) -> None:
        folder = tmp_path / room.__name__
        folder.mkdir()
        (folder / f"{name}.py").write_text(text)
        monkeypatch.setattr(room, "__path__", [*room.__path__, str(folder)])
        forget()

    yield write
    monkeypatch.undo()
    forget()


@pytest.mark.parametrize(
    ("room", "word", "text", "changes"),
    [
        (strategies, "halved", STRATEGY, {"strategy": {"name": "halved"}}),
        (processes, "even", PROCESS, {"participation": {"kind": "even"}}),
        (data, "few", DATASET, {"data": {"dataset": "few", "clients": 6}}),
        (
            partitions,
            "in_turn",
            PARTITION,
            {"data": {"dataset": "digits", "clients": 6, "partition": {"kind": "in_turn"}}},
        ),
        (models, "squashed", MODEL, {"model": {"name": "squashed"}}),
        (sinks, "nothing", SINK, {"metrics": {"sinks": [{"kind": "nothing"}]}}),
    ],
    ids=lambda value: value if isinstance(value, str) and "\n" not in value else "",
)
def test_one_new_file_is_found_checked_listed_in_the_schema_and_run(
    room: ModuleType, word: str, text: str, changes: dict[str, Any], add: Add, tmp_path: Path
) -> None:
    scenario = {**SCENARIO, **changes}
    with pytest.raises(ScenarioError, match=word):
        from_dict(scenario)
    add(room, word, text)
    assert fedsim.run(scenario, out=tmp_path / "run").status == "completed"
    assert f'"{word}"' in schema_text()
    with pytest.raises(ScenarioError, match="unknown"):
        from_dict({**scenario, "strategy": {**scenario.get("strategy", {"name": "fedavg"}), "unknown": 1}})


def test_a_model_without_convolutions_trains_in_lanes(add: Add, tmp_path: Path) -> None:
    add(models, "squashed", MODEL)
    run = fedsim.run({**SCENARIO, "model": {"name": "squashed"}}, out=tmp_path / "run")
    assert run.status == "completed"
    assert "vmap" in str(run.summary["engine"]["training"])


def _rows(run: fedsim.Run) -> list[dict[str, str]]:
    with (Path(run.folder) / "rounds.csv").open() as file:
        return list(csv.DictReader(file))


def test_a_metric_in_one_file_has_a_column_in_the_runs_it_is_for(add: Add, tmp_path: Path) -> None:
    add(measured, "added", METRIC)
    run = fedsim.run(SCENARIO, out=tmp_path / "server")
    rows = _rows(run)
    assert [*rows[0]][-3:] == ["came_fraction", "largest_weight", "largest_step"]
    assert [row["came_fraction"] for row in rows] == ["1.0", "1.0"]
    with np.load(tmp_path / "server" / "params.npz") as params:
        assert float(rows[-1]["largest_weight"]) == max(float(np.max(params[name])) for name in params)
    assert all(float(row["largest_step"]) > 0 for row in rows)
    peers = fedsim.run({**SCENARIO, "strategy": {"name": "gossip"}}, out=tmp_path / "peers")
    assert [*_rows(peers)[0]][-2:] == ["came_fraction", "messages_per_client"]


def test_a_metric_in_one_file_can_stop_a_run_and_reaches_the_store(add: Add, tmp_path: Path) -> None:
    add(measured, "added", METRIC)
    stop = {"metric": "came_fraction", "target": 0.9}
    run = fedsim.run({**SCENARIO, "stop": stop}, out=tmp_path / "run")
    assert (run.status, len(_rows(run))) == ("stopped", 1)
    frame = load_run(tmp_path / "run")
    assert set(frame[frame["metric"] == "came_fraction"]["value"]) == {1.0}


def test_a_metric_that_is_taken_away_again_is_unknown() -> None:
    assert "came_fraction" not in METRICS
