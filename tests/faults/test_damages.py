"""What happens to a run's files from outside is told: a damage after its end, a removal while it goes on."""

from __future__ import annotations

import logging
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import fedsim
from benchmarks.damage import SCENARIO, damaged
from fedsim.api import read
from fedsim.cli import main
from fedsim.core import DiskError, LockedError, ScenarioError
from fedsim.engine.run.run import execute
from fedsim.engine.run.seals import broken
from fedsim.store.database import Store

pytestmark = pytest.mark.faults

Damage = Callable[[Path], object]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a finished run; its store lies beside it."""
    return fedsim.run(SCENARIO, out=tmp_path_factory.mktemp("whole") / "run").folder


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    """Return a copy of it, to be damaged."""
    return shutil.copytree(whole, tmp_path / "run")


def meddling(folder: Path, damage: Damage) -> Callable[[str, int], None]:
    """Return what damages a run's surroundings before its third round."""

    def at(point: str, round: int) -> None:
        if (point, round) == ("record", 2):
            damage(folder)

    return at


def test_a_whole_folder_is_verified(folder: Path) -> None:
    assert main(["verify", str(folder)]) == 0


def test_no_random_damage_is_silent(whole: Path, tmp_path: Path) -> None:
    source = random.Random(11)
    silent = []
    for number in range(60):
        copy, kind, file = damaged(whole, tmp_path / str(number), source)
        silent += [] if broken(copy) else [(kind, file)]
    assert silent == []


@pytest.mark.parametrize("name", [".run.json", "scenario.yaml", "rounds.csv", "params.npz", "summary.json"])
def test_a_verification_names_the_file_that_is_gone(
    folder: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / name).unlink()
    assert main(["verify", str(folder)]) == 1
    assert f"{name}: is missing" in capsys.readouterr().out


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[]", b'{"rounds": "x"}', b"[" * 100_000])
def test_a_resume_refuses_a_damaged_summary_in_plain_words(
    folder: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "summary.json").write_bytes(content)
    assert main(["resume", str(folder)]) == 2
    assert "it is damaged" in capsys.readouterr().err


def test_rows_that_are_gone_are_missed_and_nothing_good_is_overwritten(folder: Path) -> None:
    (folder / "rounds.csv").unlink()
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert main(["resume", str(folder), "--rounds", "8"]) == 7
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("word", ["Infinity", "1e400", "[" * 100_000, '"x"'])
def test_a_forged_manifest_is_passed_over(folder: Path, word: str) -> None:
    manifest = folder / "checkpoints" / "round-00000004" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"round": 4', f'"round": {word}'))
    assert main(["resume", str(folder), "--rounds", "6", "--quiet"]) == 0


@pytest.mark.parametrize("path", ["a\0b", "x" * 300])
def test_a_checkpoint_path_that_cannot_be_is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(ScenarioError, match=r"checkpoint\.path: .* cannot be a folder"):
        execute(read({**SCENARIO, "checkpoint": {"every": 2, "path": path}}, {}), out=tmp_path / "run")


def test_a_store_that_was_removed_is_filled_again_by_a_resume(whole: Path, caplog: pytest.LogCaptureFixture) -> None:
    with Store(whole.parent / "fedsim.db", create=False) as store:
        rows = [row for row in store.values() if row[1] > 0]
    for path in whole.parent.glob("fedsim.db*"):
        path.unlink()
    with caplog.at_level(logging.WARNING):
        assert main(["resume", str(whole)]) == 0
    assert "had lost 4 rounds" in caplog.text
    with Store(whole.parent / "fedsim.db", create=False) as store:
        assert [row for row in store.values() if row[1] > 0] == rows
        assert [(row.status, row.round) for row in store.runs()] == [("completed", 4)]


@pytest.mark.parametrize("names", ["fedsim.db*", "fedsim.db", "fedsim.db-wal"])
def test_a_store_that_is_removed_meanwhile_holds_every_round_at_the_end(tmp_path: Path, names: str) -> None:
    folder = tmp_path / "run"

    def damage(_: Path) -> None:
        for path in tmp_path.glob(names):
            path.unlink()

    run = execute(read(SCENARIO, {}), out=folder, at=meddling(folder, damage))
    with Store(run.store, create=False) as store:
        assert {row[1] for row in store.values([run.id], ["cohort_size"])} == {1, 2, 3, 4}
        assert [(row.status, row.round) for row in store.runs()] == [("completed", 4)]


def test_rows_that_are_removed_meanwhile_are_written_again(tmp_path: Path, whole: Path) -> None:
    folder = tmp_path / "run"
    run = execute(read(SCENARIO, {}), out=folder, at=meddling(folder, lambda _: (folder / "rounds.csv").unlink()))
    assert [line.split(",")[0] for line in (folder / "rounds.csv").read_text().splitlines()[1:]] == list("1234")
    with Store(run.store, create=False) as store:
        assert [notice["kind"] for notice in store.notices(run.id)] == ["folder"]


@pytest.mark.parametrize(
    ("damage", "error"), [(lambda f: (f / ".lock").unlink(), LockedError), (shutil.rmtree, DiskError)]
)
def test_a_lock_or_a_folder_that_is_removed_meanwhile_ends_the_run(
    tmp_path: Path, damage: Damage, error: type[Exception]
) -> None:
    folder = tmp_path / "run"
    with pytest.raises(error, match="while the run went on"):
        execute(read({**SCENARIO, "checkpoint": None}, {}), out=folder, at=meddling(folder, damage))


def test_a_resume_says_that_rows_were_altered(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = folder / "rounds.csv"
    lines = rows.read_text().splitlines(keepends=True)
    lines[1] = lines[1].replace(".", ".5", 1)
    rows.write_text("".join(lines))
    assert main(["resume", str(folder), "--rounds", "14"]) == 0
    assert "rounds.csv was altered after the run ended" in "".join(capsys.readouterr())
