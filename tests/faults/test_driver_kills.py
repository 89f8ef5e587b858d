"""SIGKILL of the driver at every boundary of a round and within a checkpoint; again while it recovers."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fedsim.engine.run.run import Run
from fedsim.metrics.summary import read_summary
from tests.faults.scenes import assert_as_undisturbed, scene, undisturbed

pytestmark = pytest.mark.faults

PHASES = ("choose", "send", "collect", "step", "record", "save")
WRITING = ("checkpoint.open", "checkpoint.nodes", "checkpoint.manifest", "checkpoint.rename", "checkpoint.prune")
Killed = Callable[[dict[str, Any], Path, list[tuple[str, int]]], Run]


@pytest.fixture(scope="module")
def killed() -> Iterator[Killed]:
    """A process that runs scenarios and dies where it is told; returns the run that was resumed to its end."""
    command = [sys.executable, str(Path(__file__).with_name("victim.py"))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def run(scenario: dict[str, Any], folder: Path, kills: list[tuple[str, int]]) -> Run:
            job = {"scenario": scenario, "folder": str(folder), "kills": kills}
            process.stdin.write(json.dumps(job) + "\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline()) == [-9] * len(kills) + [0]
            summary = read_summary(folder)
            return Run(summary["run"], folder, summary["store"], summary)

        yield run
        process.stdin.close()


@pytest.mark.parametrize(
    ("strategy", "point"),
    [
        *(("fedstale", point) for point in (*PHASES, *WRITING)),
        *(("gossip", point) for point in ("collect", "record", "checkpoint.nodes", "checkpoint.rename")),
    ],
)
def test_a_run_killed_at_a_boundary_and_again_while_it_recovers_ends_with_the_same_bits_and_rows(
    strategy: str, point: str, killed: Killed, tmp_path: Path
) -> None:
    kills = [(point, 6), (point, 6 if point in PHASES else 9)]
    run = killed(scene(strategy), tmp_path / "run", kills)
    assert_as_undisturbed(run, undisturbed(strategy))


def test_a_run_killed_before_its_first_checkpoint_starts_anew(killed: Killed, tmp_path: Path) -> None:
    run = killed(scene("fedstale"), tmp_path / "run", [(point, 1 + place % 3) for place, point in enumerate(PHASES)])
    assert_as_undisturbed(run, undisturbed("fedstale"))


def test_twelve_kills_in_a_row_one_a_round_lose_nothing(killed: Killed, tmp_path: Path) -> None:
    scenario = scene("fedstale", checkpoint={"every": 1, "keep": 1})
    kills = [((*PHASES, *WRITING)[round % 11], round) for round in range(1, 13)]
    run = killed(scenario, tmp_path / "run", kills)
    assert_as_undisturbed(run, undisturbed("fedstale"))
