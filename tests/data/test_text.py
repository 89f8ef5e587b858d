"""A text is cut into windows whose targets are the same tokens one later; clients hold parts that follow each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedsim.core import ScenarioError, Targets
from fedsim.data.text import Text


def test_windows_and_their_targets(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("abcdefghij" * 4)
    data = Text(path="t.txt", window=3, clients=2, test_fraction=0.25).load(0, str(tmp_path))
    assert Targets.of(data) == Targets((3,), 10, integers=True)
    assert data.num_examples.tolist() == [
        4,
        4,
    ]  # 15 of 20 tokens: windows from 0, 3, 6, 9; from 12 one would lack a token
    rows = data.rows(np.array([0]), np.arange(4)[None])
    assert rows.x[0].tolist() == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 0, 1]]
    assert rows.y[0].tolist() == [[1, 2, 3], [4, 5, 6], [7, 8, 9], [0, 1, 2]]
    assert data.test is not None
    assert data.test.x.tolist() == [[5, 6, 7]] * 2


def test_a_stride_below_the_window_lets_windows_overlap(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("abcdefghij" * 2)
    data = Text(path="t.txt", window=4, stride=1, clients=1, test_fraction=0.5).load(0, str(tmp_path))
    assert data.x.tolist() == [[k, k + 1, k + 2, k + 3] for k in range(6)]


def test_a_separator_divides_the_text_by_clients(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("aaaaaaaaaa\n---\nbbbbbbbbbbbbbbbbbbbb\n---\ncccccccccc\n", encoding="utf-8")
    data = Text(path="t.txt", window=3, client="\n---\n").load(0, str(tmp_path))
    assert data.num_clients == 3
    assert data.num_classes == 3
    assert [set(data.rows(np.array([k]), np.array([[0, 1]])).x.ravel().tolist()) for k in range(3)] == [{0}, {1}, {2}]


def test_token_ids_come_from_npy(tmp_path: Path) -> None:
    np.save(tmp_path / "ids.npy", np.arange(100, dtype=np.int32) % 7)
    data = Text(path="ids.npy", window=5, clients=2).load(0, str(tmp_path))
    assert (data.num_classes, data.x.dtype) == (7, np.int64)


@pytest.mark.parametrize(
    ("content", "options", "told"),
    [
        ("abc" * 5, {"clients": 5}, "data.window: client 0 has 3 tokens"),
        ("abc" * 20, {"clients": 4, "test_fraction": 0.05}, "leaves none that holds a window of 8 tokens"),
        ("", {"clients": 1}, "is empty"),
        (b"\xff\xfe\x00", {"clients": 1}, "cannot be read as UTF-8"),
        ("abcdefghijk|" * 3, {"clients": 2, "client": "|"}, "data.clients: 2 given, but"),
        (np.zeros(9), {"clients": 1, "path": "ids.npy"}, "whole numbers of shape \\(n,\\), got float64"),
        (np.array([3, -1]), {"clients": 1, "path": "ids.npy"}, "token ids start at 0, the least here is -1"),
    ],
)
def test_what_cannot_be_cut_is_told(tmp_path: Path, content: Any, options: dict[str, Any], told: str) -> None:
    path = tmp_path / options.get("path", "t.txt")
    if isinstance(content, np.ndarray):
        np.save(path, content)
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ScenarioError, match=told):
        Text(**({"path": "t.txt", "window": 8} | options)).load(0, str(tmp_path))


def test_options_that_exclude_each_other_are_told() -> None:
    assert {key for key, _ in Text(path="a.txt").problems()} == {"clients"}
    assert {key for key, _ in Text(path="a.npy", client="x").problems()} == {"client"}
