"""How far things go through the house: few files, few calls, in a round and in the reading of a scenario."""

from __future__ import annotations

import pytest

from benchmarks.travel import measured


@pytest.mark.parametrize(
    ("way", "files", "calls"),
    [
        ("one round of fedstale, serial", 49, 600),
        ("a YAML file to a scenario", 28, 510),
        ("a mapping to a scenario", 32, 560),
    ],
)
def test_the_way_through_the_house_is_no_longer_than_this(way: str, files: int, calls: int) -> None:
    counted = measured()[way]
    assert len(counted) <= files, sorted(counted)
    assert sum(counted.values()) <= calls
