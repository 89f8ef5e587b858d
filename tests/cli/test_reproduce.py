"""`fedsim reproduce`: a verdict on every claim, and what a card may not say."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedsim.cli import main
from fedsim.data.sources import catalogue as sources
from fedsim.study.reproduce import read_about, read_card, shelf

pytestmark = pytest.mark.slow

CARD = """\
name: tiny
seed: 1
rounds: 6
data: {dataset: digits, clients: 6}
model: {name: linear}
client: {local_steps: 3, batch_size: 16, lr: 0.1}
participation: {kind: bernoulli, probabilities: 0.5}
compare:
  - {name: fedavg}
  - {name: slow, strategy: {name: fedavg, server_lr: 0.01}}
evaluate: {every: 2}
card:
  title: A step of nearly nothing learns nearly nothing
  source: {paper: none}
  seeds: 3
  target: {metric: test_accuracy, value: 0.3}
  claims:
    - {says: whole steps learn, of: fedavg, above: slow, by: 0.02}
    - {says: tiny steps learn more, of: fedavg, below: slow}
    - {says: "half of three seeds, by chance", of: fedavg, above: 0.35}
    - {says: whole steps are sooner, metric: rounds_to_target, of: fedavg, below: slow}
  published:
    - {of: fedavg, value: 0.9, spread: 0.01, where: nowhere}
  hours: {full: 0.01, quick: 0.01}
  quick: {rounds: 2, card.seeds: 1}
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("card")
    (folder / "tiny.yaml").write_text(CARD)
    assert main(["reproduce", str(folder / "tiny.yaml"), "--quiet", "--out", str(folder / "out")]) == 0
    return folder


def _found(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "card.json").read_text())
    return found


def test_every_claim_gets_a_verdict_and_a_false_one_fails(ran: Path) -> None:
    claims = _found(ran / "out")["claims"]
    assert [one["verdict"] for one in claims[:3]] == ["holds", "fails", "undecided at this power"]
    assert claims[0]["checked"] == "test_accuracy of fedavg above slow by 0.02"
    assert claims[1]["difference"]["low"] > 0
    assert "never reached the target; log-rank test" in claims[3]["note"]


def test_what_the_verdicts_rest_on_is_kept(ran: Path) -> None:
    found = _found(ran / "out")
    assert sorted(found["data"]) == sorted(found["schedules"]) == ["1", "2", "3"]
    assert len({*found["data"].values(), *found["schedules"].values()}) == 6
    assert found["tables"][0]["rows"][0][:3] == ["fedavg", "test_accuracy", "0.9 ± 0.01"]
    page = (ran / "out" / "report.html").read_text()
    assert "whole steps learn" in page
    assert found["data"]["1"][:16] in page
    assert (ran / "out" / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert b"<svg" in (ran / "out" / "curves.svg").read_bytes()


def test_too_few_seeds_decide_nothing(ran: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["reproduce", str(ran / "tiny.yaml"), "--quick", "--quiet", "--out", str(ran / "quick")]
    assert main(command) == 0
    found = _found(ran / "quick")
    assert {one["verdict"] for one in found["claims"]} == {"undecided at this power"}
    assert (found["form"], found["comparison"]["seeds"]) == ("quick", [1])
    assert "undecided at this power  tiny steps learn more" in capsys.readouterr().out


def test_the_same_command_again_trains_nothing_and_finds_the_same(ran: Path) -> None:
    before = _found(ran / "out")
    assert main(["reproduce", str(ran / "tiny.yaml"), "--quiet", "--out", str(ran / "out")]) == 0
    assert _found(ran / "out") == before


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "says: tiny steps learn more, of: fedavg",
            "says: no, of: fedvag",
            "19:22: card.claims.1.of: 'fedvag' is no line",
        ),
        ("metric: rounds_to_target", "metric: rouns_to_target", "21:46: card.claims.3.metric: 'rouns_to_target' is no"),
        ("seeds: 3", "seeds: 0", "15:10: card.seeds: must be a whole number of at least 1, got 0"),
        ("title:", "tilte:", "13:3: card.tilte: unknown key; did you mean 'title'?"),
        ("{rounds: 2,", "{roundz: 2,", "25:19: roundz: unknown key; did you mean 'rounds'?"),
        ("above: 0.35", "within: 0.35", "20:7: card.claims.2.by: must be above 0: how far from 0.35"),
        ("of: fedavg, value: 0.9", "of: mifa, value: 0.9", "23:12: card.published.0.of: 'mifa' is no line of this"),
        ("card:\n", "cart:\n", "12:1: cart: unknown key; did you mean 'card'?"),
    ],
)
def test_a_mistake_in_a_card_is_told_with_its_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, said: str
) -> None:
    path = tmp_path / "card.yaml"
    assert old in CARD
    path.write_text(CARD.replace(old, new))
    assert main(["reproduce", str(path)]) == 2
    assert f"{path}:{said}" in capsys.readouterr().err


def test_a_scenario_that_is_no_card_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "plain.yaml"
    path.write_text(CARD.partition("card:\n")[0])
    assert main(["reproduce", str(path)]) == 2
    assert ": card: is missing: title, source, claims, hours and quick" in capsys.readouterr().err
    assert main(["reproduce", "tinny"]) == 2
    assert "there is no card 'tinny'" in capsys.readouterr().err
    assert main(["reproduce"]) == 2


def test_a_card_whose_files_are_not_here_says_what_to_bring(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FEDSIM_DATA", "nothing")
    for name, path in shelf().items():
        about, dataset = read_about(path)
        assert about is not None
        if dataset in sources():
            assert main(["reproduce", name, "--quick"]) == 2
            assert f"`fedsim data get {dataset}` fetches it" in capsys.readouterr().err
        if about.files:
            assert main(["reproduce", name, "--quick"]) == 2
            said = capsys.readouterr().err
            assert f"{name}.yaml:" in said
            assert "this card asks for files: " in said


def test_every_card_is_listed_and_those_on_bundled_data_are_sound(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce", "--list"]) == 0
    printed = capsys.readouterr().out
    for name, path in shelf().items():
        about, dataset = read_about(path)
        assert about is not None
        assert f"\n{name}  {about.title}\n" in printed
        assert about.hours.quick * 60 <= 10
        if dataset in ("digits", "synthetic"):
            assert read_card(name).name == read_card(name, quick=True).name == name


def _images(folder: Path) -> None:
    """Write MNIST's four IDX files, with few images of noise."""
    draw = np.random.default_rng(0)
    folder.mkdir(parents=True)
    for stem, count in (("train", 1500), ("t10k", 60)):
        for part, shape in (("images-idx3", (count, 28, 28)), ("labels-idx1", (count,))):
            sizes = np.array([0x800 | len(shape), *shape], dtype=">u4").tobytes()
            values = draw.integers(0, 256 if len(shape) > 1 else 10, shape, np.uint8).tobytes()
            (folder / f"{stem}-{part}-ubyte").write_bytes(sizes + values)


def _colours(folder: Path) -> None:
    """Write CIFAR-10's six binary files, with few images of noise."""
    draw = np.random.default_rng(0)
    folder.mkdir(parents=True)
    for name in [*(f"data_batch_{k}.bin" for k in range(1, 6)), "test_batch.bin"]:
        pixels = draw.integers(0, 256, (200, 3072), np.uint8)
        labels = draw.integers(0, 10, (200, 1)).astype(np.uint8)
        (folder / name).write_bytes(np.concatenate([labels, pixels], axis=1).tobytes())


def _roles(folder: Path) -> None:
    """Write plays of eight roles in all."""
    folder.mkdir(parents=True)
    lines = "\n\n".join(f"Role {word}.\n" + f"{word} to be or not to be " * 60 for word in "abcdefgh")
    for place, name in enumerate(sources()["shakespeare"].files):
        (folder / name).write_text("ACT I.\n\n" + (lines if place == 0 else ""))


@pytest.mark.parametrize(
    "name",
    ["crawshaw2024-fig2", "rodio2024-mnist", "jhunjhunwala2022-cifar10", "jhunjhunwala2022-shakespeare"],
)
def test_a_card_on_files_runs_where_they_are(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FEDSIM_DATA", "fetched")
    _images(Path("fetched/mnist"))
    _images(Path("fetched/fashion-mnist"))
    for path in Path("fetched/fashion-mnist").iterdir():
        Path(f"{path}.gz").write_bytes(gzip.compress(path.read_bytes()))
    _colours(Path("data/cifar-10-batches-bin"))
    _roles(Path("fetched/shakespeare"))
    options = ["--set", "rounds=2", "--seeds", "1", "--quiet", "--parallel", "1"]
    assert main(["reproduce", name, "--quick", *options]) == 0
    found = _found(Path(f"runs/cards/{name}-quick"))
    assert {one["verdict"] for one in found["claims"]} == {"undecided at this power"}
    assert {run["status"] for line in found["comparison"]["strategies"] for run in line["runs"]} == {"completed"}
