"""Malformed files, one kind of mistake each; expected.txt lists every problem that each must give, and no other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fedsim.core import ScenarioError
from fedsim.scenario import load

CORPUS = Path(__file__).parent / "corpus"


def expected() -> dict[str, list[str]]:
    blocks = re.split(r"^(?=\S)", (CORPUS / "expected.txt").read_text(), flags=re.MULTILINE)
    lines = [block.splitlines() for block in blocks if block]
    return {file: [line.strip() for line in problems] for file, *problems in lines}


def test_every_file_of_the_corpus_is_listed() -> None:
    assert sorted(expected()) == sorted(path.name for path in CORPUS.glob("*.yaml"))
    assert len(expected()) >= 60


@pytest.mark.parametrize("file", expected())
def test_every_mistake_is_reported_at_its_place(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(CORPUS)
    with pytest.raises(ScenarioError) as error:
        load(file)
    assert error.value.exit_code == 2
    given = str(error.value).splitlines()
    wanted = [text if text.startswith("wrong_base.yml:") else f"{file}:{text}" for text in expected()[file]]
    assert [line[: len(start)] for line, start in zip(given, wanted, strict=True)] == wanted
