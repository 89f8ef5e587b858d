"""Damaged checkpoints are passed over or refused, never trusted; so is a changed scenario; what is finished stays."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pytest

import fedsim
from fedsim.api import read
from fedsim.cli import main
from fedsim.core import NoCheckpointError, ScenarioError
from fedsim.engine.run.run import Run, execute, resume
from fedsim.store.database import Store
from fedsim.study.verify import verify
from tests.faults.scenes import assert_as_undisturbed, scene, undisturbed

pytestmark = pytest.mark.faults


class Cut(BaseException):
    """Stands for whatever ends a process."""


def cut_short(folder: Path, strategy: str = "fedstale", *, after: int = 8, **changes: Any) -> Path:
    """Leave a run as a process leaves it that dies after a round: checkpoints of rounds 3 and 6."""

    def at(point: str, round: int) -> None:
        if (point, round) == ("choose", after + 1):
            raise Cut

    with pytest.raises(Cut):
        execute(read(scene(strategy, **changes), {}), out=folder, at=at)
    (folder / "summary.json").unlink()
    return folder


def copied(folder: Path, place: Path) -> Path:
    """Copy a run's folder and the store beside it."""
    return Path(shutil.copytree(folder.parent, place / "copy")) / folder.name


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def empty(file: Path) -> None:
    file.write_bytes(b"")


def flip(place: float) -> Callable[[Path], None]:
    def flip(file: Path) -> None:
        content = bytearray(file.read_bytes())
        content[int(place * (len(content) - 1))] ^= 4
        file.write_bytes(content)

    return flip


def edit(key: str, value: object) -> Callable[[Path], None]:
    def edit(file: Path) -> None:
        file.write_text(json.dumps({**json.loads(file.read_text()), key: value}))

    return edit


DAMAGES: dict[str, tuple[str, Callable[[Path], None], str]] = {
    "truncated state": ("state.npz", truncate, "bytes instead of"),
    "truncated memories": ("node-1.rows.npy", truncate, "bytes instead of"),
    "empty memories": ("node-2.ids.npy", empty, "has 0 bytes"),
    "missing memories": ("node-3.rows.npy", Path.unlink, "is missing"),
    "missing manifest": ("manifest.json", Path.unlink, "manifest cannot be read"),
    "truncated manifest": ("manifest.json", truncate, "manifest cannot be read"),
    "another run": ("manifest.json", edit("run", "0123456789abcdef"), "belongs to run 0123456789abcdef"),
    "another scenario": ("manifest.json", edit("scenario_hash", "0" * 64), "belongs to another scenario"),
    "an older format": ("manifest.json", edit("format", 0), "format 0, this version reads format 1"),
    "no number for a round": ("manifest.json", edit("round", "x"), "manifest cannot be read"),
    "no digests in the manifest": ("manifest.json", edit("files", {"state.npz": 3}), "manifest cannot be read"),
    "no state in the manifest": ("manifest.json", edit("files", {}), "does not describe it"),
    **{
        f"a flipped bit at {place}": ("state.npz", flip(place), "sha256 of state.npz") for place in (0.0, 0.3, 0.7, 1.0)
    },
    **{
        f"a flipped bit in a memory at {place}": ("node-0.rows.npy", flip(place), "sha256") for place in (0.0, 0.5, 1.0)
    },
}


@pytest.fixture(scope="module")
def dead(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder whose process died after round 8."""
    return cut_short(tmp_path_factory.mktemp("dead") / "run")


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(damage: str, dead: Path, tmp_path: Path) -> None:
    folder = copied(dead, tmp_path)
    name, do, text = DAMAGES[damage]
    do(folder / "checkpoints" / "round-00000006" / name)
    run = resume(folder)
    assert_as_undisturbed(run, undisturbed("fedstale"))
    told = [notice for notice in notices(run) if notice["kind"] == "checkpoint"]
    assert len(told) == 1
    assert told[0]["text"].startswith("checkpoint round-00000006 rejected: ")
    assert text in told[0]["text"]


def test_a_missing_checkpoint_is_no_obstacle(dead: Path, tmp_path: Path) -> None:
    folder = copied(dead, tmp_path)
    shutil.rmtree(folder / "checkpoints" / "round-00000006")
    assert_as_undisturbed(resume(folder), undisturbed("fedstale"))


def test_without_a_good_checkpoint_nothing_is_done(
    dead: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = copied(dead, tmp_path)
    for file in folder.glob("checkpoints/*/state.npz"):
        truncate(file)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert main(["resume", str(folder), "--quiet"]) == NoCheckpointError.exit_code == 7
    assert "no good checkpoint is left" in capsys.readouterr().err
    after = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert {path for path in before if after.get(path) != before[path]} == set()


def test_a_run_whose_checkpoints_are_all_gone_does_not_silently_start_anew(
    dead: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = copied(dead, tmp_path)
    shutil.rmtree(folder / "checkpoints")
    rows = (folder / "rounds.csv").read_bytes()
    assert main(["resume", str(folder), "--quiet"]) == 7
    assert "its checkpoints are gone" in capsys.readouterr().err
    assert (folder / "rounds.csv").read_bytes() == rows


@pytest.mark.parametrize("strategy", ["fedstale", "gossip"])
@pytest.mark.parametrize("kind", ["memory://{}/kept", "local://{}/kept", "file://{}/kept", "{}/kept"])
def test_checkpoints_may_be_kept_anywhere(kind: str, strategy: str, tmp_path: Path) -> None:
    place = kind.format(tmp_path)
    folder = cut_short(tmp_path / "run", strategy, checkpoint={"every": 3, "keep": 2, "path": place})
    assert not (folder / "checkpoints").exists()
    store, root = fsspec.core.url_to_fs(place)
    (kept,) = store.ls(root, detail=False)
    newest = sorted(store.ls(kept, detail=False))[-1]
    assert [path.rpartition("/")[2] for path in sorted(store.ls(kept, detail=False))] == [
        "round-00000003",
        "round-00000006",
    ]
    store.rm_file(f"{newest}/manifest.json")  # as if the process had died while it wrote there
    run = resume(folder)
    assert_as_undisturbed(run, undisturbed(strategy))
    assert [path.rpartition("/")[2] for path in sorted(store.ls(kept, detail=False))] == [
        "round-00000009",
        "round-00000012",
    ]
    assert verify(folder, 12).differences == ()


def test_a_damaged_checkpoint_at_a_url_is_passed_over(tmp_path: Path) -> None:
    place = f"local://{tmp_path}/kept"
    folder = cut_short(tmp_path / "run", checkpoint={"every": 3, "path": place})
    (file,) = (tmp_path / "kept").glob("*/round-00000006/node-1.rows.npy")
    flip(0.5)(file)
    assert_as_undisturbed(resume(folder), undisturbed("fedstale"))


def test_a_url_of_an_unknown_kind_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"checkpoint\.path: ghost:// is no kind of place"):
        fedsim.run(scene("fedavg", checkpoint={"every": 3, "path": "ghost://a"}), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_an_edited_scenario_is_refused_with_what_differs(dead: Path, tmp_path: Path) -> None:
    folder = copied(dead, tmp_path)
    file = folder / "scenario.yaml"
    file.write_text(file.read_text().replace("beta: 0.5", "beta: 0.25").replace("seed: 4", "seed: 5"))
    with pytest.raises(ScenarioError) as refused:
        resume(folder)
    text = str(refused.value)
    assert "strategy.beta: was 0.5, now 0.25" in text
    assert "seed: was 4, now 5" in text
    assert refused.value.exit_code == 2


def test_rounds_may_be_added_and_never_taken_away(tmp_path: Path) -> None:
    short = fedsim.run(scene("fedstale", rounds=7), out=tmp_path / "run")
    with pytest.raises(ScenarioError, match="rounds can be added, not taken away"):
        resume(short.folder, rounds=6)
    assert_as_undisturbed(resume(short.folder, rounds=12), undisturbed("fedstale"))


def test_other_software_is_told_of_and_refused_when_asked(dead: Path, tmp_path: Path) -> None:
    folder = copied(dead, tmp_path)
    for manifest in folder.glob("checkpoints/*/manifest.json"):
        content = json.loads(manifest.read_text())
        edit("versions", {**content["versions"], "torch": "1.0", "threads": "2"})(manifest)
    with pytest.raises(ScenarioError, match="threads was 2, is 1; the bits may differ, and --strict was said"):
        resume(folder, strict=True)
    run = resume(folder)
    texts = [notice["text"] for notice in notices(run) if notice["kind"] == "checkpoint"]
    assert len(texts) == 2
    assert texts[1].startswith("torch was 1.0, is ")


@pytest.mark.parametrize("strategy", ["fedstale", "gossip"])
def test_resuming_a_finished_run_changes_nothing_and_says_so(
    strategy: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = copied(undisturbed(strategy).folder, tmp_path)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert main(["resume", str(folder)]) == 0
    assert capsys.readouterr().out == f"{folder}: completed after 12 rounds; nothing is left to do\n"
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("strategy", ["fedstale", "gossip"])
@pytest.mark.parametrize("rounds", [None, 12])
def test_a_run_is_verified_without_touching_it(
    strategy: str, rounds: int | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = copied(undisturbed(strategy).folder, tmp_path)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert main(["verify", str(folder), *([] if rounds is None else ["--rounds", str(rounds)])]) == 0
    assert f"{rounds or 3} rounds from " in capsys.readouterr().out
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_a_verification_names_what_differs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = copied(undisturbed("fedstale").folder, tmp_path)
    rows = (folder / "rounds.csv").read_text().splitlines(keepends=True)
    place = rows[0].split(",").index("train_loss")
    cells = rows[11].split(",")
    (folder / "rounds.csv").write_text(
        "".join([*rows[:11], ",".join([*cells[:place], "9", *cells[place + 1 :]]), rows[12]])
    )
    edit("params_sha256", "f" * 64)(folder / "summary.json")
    assert len(verify(folder).differences) == 4  # two files that are not as they were, and what differs in them
    assert main(["verify", str(folder)]) == 1
    told = capsys.readouterr().out
    assert "params_sha256: was ffff" in told
    assert "round 11, train_loss: was 9, is " in told


def notices(run: Run) -> list[dict[str, object]]:
    with Store(run.store, create=False) as store:
        return store.notices(run.id)
