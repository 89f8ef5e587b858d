"""A profile accounts for all of a round's time, of every actor, and draws it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fedsim.api import read
from fedsim.cli import main
from fedsim.study.flame import bars
from fedsim.study.profile import MEANING, PHASES, Profile, profile

SCENARIO: dict[str, Any] = {
    "name": "profiled",
    "rounds": 6,
    "data": {"dataset": "synthetic", "clients": 40, "examples": 8},
    "model": {"name": "linear"},
    "client": {"local_epochs": 1, "batch_size": 4},
    "participation": {"kind": "uniform", "size": 10},
    "strategy": {"name": "mifa"},
    "evaluate": {"every": 2},
    "checkpoint": {"every": 3},
}


def adds_up(found: Profile) -> None:
    for one in found.rounds:
        for phases in one.phases.values():
            assert sum(phases.values()) == pytest.approx(one.wall_s, rel=1e-6, abs=1e-4)
            assert set(phases) <= set(PHASES)


def test_a_serial_profile_is_of_one_actor_whose_phases_add_up_to_the_round(tmp_path: Path) -> None:
    found = profile(read(SCENARIO, {}), tmp_path / "run")
    assert found.actors == ["this process"]
    assert [one.round for one in found.rounds] == [2, 3, 4, 5, 6]
    adds_up(found)
    assert found.mean("this process", "train") > 0
    assert found.mean("this process", "save") > 0
    assert found.typical.phases["this process"].keys() >= {"train", "reduce"}


@pytest.mark.ray
def test_on_ray_the_driver_waits_while_the_hosts_work(cluster: str, tmp_path: Path) -> None:
    engine = {"kind": "ray", "hosts": 2, "address": cluster}
    found = profile(read(SCENARIO | {"engine": engine}, {}), tmp_path / "run")
    assert found.actors == ["driver", "host-0", "host-1"]
    adds_up(found)
    assert found.mean("driver", "train") == 0
    assert found.mean("driver", "idle") > 0
    for host in ("host-0", "host-1"):
        assert found.mean(host, "train") > 0
        assert found.mean(host, "step") == 0


def test_bars_follow_each_other_without_overlap_and_stay_inside_the_round(tmp_path: Path) -> None:
    one = profile(read(SCENARIO, {}), tmp_path / "run").typical
    for laid in bars(one).values():
        ends = [at + length for _, at, length in laid]
        begins = [at for _, at, _ in laid]
        assert all(begin == pytest.approx(end) for begin, end in zip(begins[1:], ends[:-1], strict=True))
        assert ends[-1] <= one.wall_s * (1 + 1e-6) + 1e-6


def test_the_command_prints_a_table_with_the_meaning_of_each_phase(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "s.yaml"
    file.write_text("name: p\nrounds: 1\ndata: {dataset: quadratic, centers: [[0.0], [2.0]]}\n")
    with file.open("a") as more:
        more.write("model: {name: point, init: [4.0]}\nclient: {local_steps: 1}\n")
    assert main(["profile", str(file), "--rounds", "4", "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert "this process" in printed
    assert MEANING["train"] in printed
    assert (tmp_path / "out" / "profile.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "out" / "rounds.csv").is_file()


def test_a_profile_leaves_nothing_where_it_was_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "s.yaml"
    file.write_text("name: p\nrounds: 1\ndata: {dataset: quadratic, centers: [[0.0], [2.0]]}\n")
    with file.open("a") as more:
        more.write("model: {name: point, init: [4.0]}\nclient: {local_steps: 1}\nmetrics: {store: sqlite:///x.db}\n")
    assert main(["profile", str(file), "--rounds", "2"]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["s.yaml"]
