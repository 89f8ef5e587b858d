"""A server optimiser and a sink of one's own, by reference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import fedsim
from fedsim.core import ScenarioError

CODE = """
from dataclasses import dataclass
from pathlib import Path
from fedsim.core.server import Transform


@dataclass(frozen=True, kw_only=True)
class Part(Transform):
    by: float = 0.5

    def init(self, params):
        return 0

    def apply(self, state, update, server):
        return state + 1, self.by * update


class Counts:
    def __init__(self, run_folder):
        self.file = Path(run_folder) / "counted.txt"

    def write(self, events):
        with self.file.open("a") as stream:
            stream.writelines("." for _ in events)
"""


@pytest.fixture
def world(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "mine.py").write_text(CODE)
    return {
        "name": "mine",
        "rounds": 3,
        "data": {"dataset": "quadratic", "centers": [[0.0], [4.0]]},
        "model": {"name": "point", "init": [1.0]},
        "client": {"local_steps": 1, "lr": 0.5},
        "folder": str(tmp_path),
    }


def test_a_part_of_the_update_is_a_smaller_rate_and_a_sink_of_ones_own_hears_it(
    world: dict[str, Any], tmp_path: Path
) -> None:
    server = {"name": "fedavg", "server_optimizer": {"kind": "./mine.py:Part", "by": 0.25}}
    part = fedsim.run(world | {"strategy": server, "metrics": {"sinks": ["./mine.py:Counts"]}}, out=tmp_path / "part")
    rate = fedsim.run(world | {"strategy": {"name": "fedavg", "server_lr": 0.25}}, out=tmp_path / "rate")
    assert part.summary["params_sha256"] == rate.summary["params_sha256"]
    assert part.summary["scenario_hash"] != rate.summary["scenario_hash"]
    assert len((tmp_path / "part" / "counted.txt").read_text()) > 3


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"kind": "./mine.py:Part", "bye": 1.0}, r"server_optimizer.bye: unknown key; did you mean 'by'\?"),
        ({"kind": "./mine.py:Counts"}, r"must be a server optimiser: .*: the class Counts is not"),
        ({"kind": "./mine.py:Parts"}, r"did you mean 'Part'\?"),
    ],
)
def test_mistakes_are_told(given: dict[str, Any], told: str, world: dict[str, Any]) -> None:
    with pytest.raises(ScenarioError, match=told):
        fedsim.run(world | {"strategy": {"name": "fedavg", "server_optimizer": given}})
