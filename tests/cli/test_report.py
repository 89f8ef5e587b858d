"""fedsim report: from runs to a file."""

from pathlib import Path
from typing import Any

import pytest

from fedsim.cli import main
from fedsim.metrics import Evaluated, RunStarted
from fedsim.store.database import Store


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "runs" / "one"
    folder.mkdir(parents=True)
    with Store("runs/fedsim.db") as store:
        for seed in (1, 2):
            about: dict[str, Any] = {
                "name": "toy",
                "strategy": "fedavg",
                "num_clients": 1,
                "rounds": 1,
                "folder": str(folder),
            }
            store.write([RunStarted(run=f"a{seed}", seed=seed, **about)])
            store.write([Evaluated(run=f"a{seed}", round=r, values={"test_loss": 1.0 / (r + seed)}) for r in (0, 1)])
    return tmp_path


@pytest.mark.parametrize(
    ("file", "start"),
    [
        ("r.html", b"<!doctype html>"),
        ("r.png", b"\x89PNG"),
        ("R.PNG", b"\x89PNG"),
        ("r.pdf", b"%PDF"),
        ("r.svg", b"<?xml"),
    ],
)
def test_a_report_is_written(home: Path, capsys: pytest.CaptureFixture[str], file: str, start: bytes) -> None:
    assert main(["report", "a1", "a2", "--out", file, "--title", "My runs"]) == 0
    assert (home / file).read_bytes().startswith(start)
    assert capsys.readouterr().out == f"{file}: 2 runs in 1 group\n"


def test_a_run_folder_finds_its_store(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home / "runs")
    assert main(["report", "one", "--out", "r.html"]) == 0
    assert "toy" in (home / "runs" / "r.html").read_text()


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["a1", "--out", "r.jpg"], "ends in .html, .png, .pdf or .svg"),
        (["zzz", "--out", "r.html"], "no run of this id, name or folder"),
        (["a1", "--out", "r.html", "--store", "none.db"], "there is no store here"),
        (["a", "--out", "r.html"], "several runs begin so"),
    ],
)
def test_a_wrong_report_is_refused_and_writes_nothing(
    home: Path, capsys: pytest.CaptureFixture[str], args: list[str], words: str
) -> None:
    assert main(["report", *args]) == 2
    assert words in capsys.readouterr().err
    assert sorted(path.name for path in home.iterdir()) == ["runs"]
