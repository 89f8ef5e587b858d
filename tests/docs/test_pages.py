"""What the pages say is true: examples run, generated pages are up to date, links lead somewhere."""

from __future__ import annotations

import doctest
import re
import shlex
import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest
import yaml
from sklearn.datasets import load_diabetes

import fedsim
from fedsim import strategies
from fedsim.cli import COMMANDS
from fedsim.metrics import measured, registry
from fedsim.scenario import from_dict
from fedsim.scenario.types import shape

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a language on a page."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


def test_the_written_pages_say_what_the_program_says() -> None:
    spec = spec_from_file_location("reference", ROOT / "docs" / "reference.py")
    assert spec is not None
    assert spec.loader is not None
    reference = module_from_spec(spec)
    spec.loader.exec_module(reference)
    # to write it anew: ./check --write
    for name, text in reference.pages().items():
        assert (reference.FOLDER / name).read_text() == text


def test_the_page_of_the_papers_is_what_the_kept_results_give() -> None:
    spec = spec_from_file_location("papers", ROOT / "docs" / "papers.py")
    assert spec is not None
    assert spec.loader is not None
    papers = module_from_spec(spec)
    spec.loader.exec_module(papers)
    # to write it anew: python docs/papers.py, or with the folders of new results
    assert len(list(papers.KEPT.glob("*.json"))) >= 9
    assert papers.page() == papers.PAGE.read_text()


def test_the_picture_of_the_house_is_what_the_imports_say() -> None:
    spec = spec_from_file_location("architecture", ROOT / "docs" / "architecture.py")
    assert spec is not None
    assert spec.loader is not None
    architecture = module_from_spec(spec)
    spec.loader.exec_module(architecture)
    # to draw it anew: ./check --write
    assert architecture.PICTURE.read_text() == architecture.picture()


@pytest.fixture
def strategy_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder whose modules count as modules of `strategies`."""
    monkeypatch.setattr(strategies, "__path__", [*strategies.__path__, str(tmp_path)])
    remembered = (strategies.catalogue, shape)
    for cached in remembered:
        cached.cache_clear()
    yield tmp_path
    for cached in remembered:
        cached.cache_clear()
    sys.modules.pop("fedsim.strategies.fading", None)


def test_the_strategy_of_the_page_is_found_checked_and_run(strategy_folder: Path) -> None:
    page = ROOT / "docs" / "extending.md"
    (code,), (text,) = blocks(page, "python"), blocks(page, "yaml")
    (strategy_folder / "fading.py").write_text(code)
    assert "fading" in strategies.catalogue()
    assert doctest.testmod(import_module("fedsim.strategies.fading")).failed == 0
    scenario, out = yaml.safe_load(text), strategy_folder / "runs"
    run = fedsim.run(scenario, out=out / "fading")
    unfaded = fedsim.run(scenario, out=out / "unfaded", strategy__fade=0)
    plain = fedsim.run(scenario, out=out / "plain", strategy={"name": "fedavg"})
    assert run.final["test_accuracy"] > 0.5
    assert unfaded.summary["params_sha256"] == plain.summary["params_sha256"] != run.summary["params_sha256"]


def test_the_metric_of_the_page_has_a_column(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = blocks(ROOT / "docs" / "extending.md", "py")
    (tmp_path / "coming.py").write_text(code)
    with monkeypatch.context() as patched:
        patched.setattr(measured, "__path__", [*measured.__path__, str(tmp_path)])
        registry.collect()
        scenario = {
            "name": "page",
            "rounds": 1,
            "data": {"dataset": "digits", "clients": 2},
            "model": {"name": "linear"},
        }
        fedsim.run(scenario, out=tmp_path / "run")
    registry.collect()
    header, row = (tmp_path / "run" / "rounds.csv").read_text().splitlines()
    assert (header.split(",")[-1], row.split(",")[-1]) == ("came_fraction", "1.0")


@pytest.mark.slow
def test_local_training_of_the_page_learns_and_every_key_of_it_counts(tmp_path: Path) -> None:
    (text,) = blocks(ROOT / "docs" / "local-training.md", "yaml")
    scenario = yaml.safe_load(text)
    run = fedsim.run(scenario, out=tmp_path / "run")
    assert run.final["test_accuracy"] > 0.9
    shas = {fedsim.run(scenario, out=tmp_path / "short", rounds=3).summary["params_sha256"]}
    for key in ("optimizer", "clip_norm", "schedule", "drop_last", "carry_batches"):
        client = {name: value for name, value in scenario["client"].items() if name != key}
        other = fedsim.run({**scenario, "client": client}, out=tmp_path / key, rounds=3)
        shas.add(other.summary["params_sha256"])
    assert len(shas) == 6


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_to_a_file_leads_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text())
    missing = [target for target in targets if "://" not in target and not (page.parent / target).exists()]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_whole_scenario_on_a_page_is_valid(page: Path) -> None:
    for text in blocks(page, "yaml"):
        content = yaml.safe_load(text)
        if "rounds" in content and content["strategy"]["name"] in strategies.catalogue():
            from_dict(content)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_on_a_page_exists(page: Path) -> None:
    lines = [line for text in blocks(page, "sh") for line in text.splitlines()]
    used = [words[1] for line in lines if (words := shlex.split(line, comments=True))[:1] == ["fedsim"]]
    assert set(used) <= {*COMMANDS, "--help", "--version"}


def test_the_readme_names_every_strategy_and_every_process() -> None:
    from fedsim import participation

    text = (ROOT / "README.md").read_text()
    assert [name for name in (*strategies.catalogue(), *participation.catalogue()) if f"`{name}`" not in text] == []


def test_the_readme_shows_the_measured_speeds() -> None:
    from benchmarks.report import RESULTS, speed

    assert f"<!-- speed -->\n{speed(RESULTS.read_text())}\n\n" in (ROOT / "README.md").read_text()


@pytest.mark.slow
def test_the_runs_of_the_page_of_tasks_learn(tmp_path: Path) -> None:
    page = ROOT / "docs" / "own-task.md"
    table, own = blocks(page, "python")
    load_diabetes(as_frame=True).frame.to_csv(tmp_path / "diabetes.csv", index=False)
    assert "load_diabetes(as_frame=True).frame.to_csv" in table
    (tmp_path / "own.py").write_text(own)
    (tmp_path / "poem.txt").write_text("the rain in spain stays mainly in the plain. " * 60)
    stream = np.random.default_rng(3)
    x = stream.standard_normal((300, 6))
    np.savez(tmp_path / "labels.npz", x=x, y=(x @ stream.standard_normal((6, 4)) > 0).astype(int))
    final = {}
    for text in blocks(page, "yml"):
        scenario = yaml.safe_load(text) | {"folder": str(tmp_path)}
        short = {"rounds": 2} if scenario["name"] == "poem" else {}
        final[scenario["name"]] = fedsim.run(scenario | short, out=tmp_path / scenario["name"]).final
    assert final["diabetes"]["test_r2"] > 0.3
    assert final["labels"]["test_f1"] > 0.5
    assert final["poem"]["test_perplexity"] < 16
    assert final["quantile"]["test_coverage"] > 0.7
    assert {"test_mae", "test_r2_score"} <= final["quantile"].keys()
