"""The example of a strategy of one's own: from its file, as an object, and under the laws."""

from __future__ import annotations

from pathlib import Path

import pytest

import fedsim
from fedsim.core.foreign.reference import find
from fedsim.study.checking import check

FOLDER = Path(__file__).parents[2] / "examples" / "my_strategy"

pytestmark = pytest.mark.slow


def test_the_file_and_the_object_end_at_the_same_bits(tmp_path: Path) -> None:
    named = fedsim.run(FOLDER / "scenario.yaml", out=tmp_path / "file")
    rule = find("./rule.py:Fading", str(FOLDER), "fedsim.strategies").target(fade=0.05)
    given = fedsim.run(FOLDER / "scenario.yaml", strategy=rule, out=tmp_path / "object")
    assert named.summary["params_sha256"] == given.summary["params_sha256"]
    assert named.final["test_accuracy"] > 0.7


def test_it_keeps_every_law_that_applies() -> None:
    found = check("./rule.py:Fading:fade=0.05", str(FOLDER))
    assert [row.outcome for row in found.rows].count("holds") > 5
    assert found.failed == ()
