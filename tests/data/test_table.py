"""A table is a column to learn and columns to learn from; what it lacks is told by key, with the columns it has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fedsim.core import ScenarioError, Targets
from fedsim.data.table import Table

ROWS = pd.DataFrame(
    {
        "age": np.arange(20) + 30,
        "height": np.linspace(1.5, 2.0, 20),
        "town": ["Graz", "Linz"] * 10,
        "smokes": [True, False] * 10,
        "kind": ["b", "a", "c", "a"] * 5,
        "price": np.arange(20) * 1.0,
        "stars": np.arange(20) % 5 + 1,
    }
)


@pytest.fixture
def folder(tmp_path: Path) -> str:
    ROWS.to_csv(tmp_path / "t.csv", index=False)
    ROWS.to_csv(tmp_path / "t.csv.gz", index=False)
    ROWS.to_csv(tmp_path / "t.tsv", index=False, sep="\t")
    ROWS.to_parquet(tmp_path / "t.parquet")
    return str(tmp_path)


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.tsv", "t.parquet"])
def test_every_kind_of_file_gives_the_same_examples(folder: str, name: str) -> None:
    data, wanted = (Table(path=path, label="price", clients=4).load(1, folder) for path in (name, "t.csv"))
    assert data.x.shape == (20, 4)
    np.testing.assert_array_equal(data.x, ROWS[["age", "height", "smokes", "stars"]].to_numpy(np.float32))
    np.testing.assert_array_equal(data.y, wanted.y)
    np.testing.assert_array_equal(data.order, wanted.order)


@pytest.mark.parametrize(("label", "classes"), [("kind", 3), ("smokes", 2), ("stars", 5), ("price", 0), ("height", 0)])
def test_the_label_column_says_what_is_learnt(folder: str, label: str, classes: int) -> None:
    data = Table(path="t.csv", label=label, clients=4).load(1, folder)
    assert Targets.of(data) == Targets((), classes)
    assert data.test is not None
    assert len(data.test) == 4


def test_text_is_numbered_in_its_order(folder: str) -> None:
    data = Table(path="t.csv", label="kind", clients=4).load(1, folder)
    assert data.y[:4].tolist() == [1, 0, 2, 0]


def test_a_column_may_say_whose_each_row_is(folder: str) -> None:
    data = Table(path="t.csv", label="price", client="town", features=("height", "age")).load(1, folder)
    assert (data.num_clients, data.input_shape) == (2, (2,))
    rows = data.rows(np.array([0]), np.arange(8)[None])
    assert set(rows.y[0].tolist()) <= set(ROWS["price"][ROWS["town"] == "Graz"])


def test_the_test_part_is_drawn_by_the_seed(folder: str) -> None:
    table = Table(path="t.csv", label="price", clients=4)
    tests = [table.load(seed, folder).test for seed in (1, 1, 2)]
    parts = [sorted(test.y.tolist()) for test in tests if test is not None]
    assert parts[0] == parts[1] != parts[2]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"label": "prize"}, "label: {path} has no column 'prize'; did you mean 'price'?"),
        ({"label": "zzz"}, "it has age, height, town, smokes, kind, price, stars"),
        ({"features": ("age", "agee")}, "features.1: {path} has no column 'agee'; did you mean 'age'?"),
        ({"client": "citizen"}, "client: {path} has no column 'citizen'"),
        ({"path": "no.csv"}, "path: {folder}/no.csv is not there; expected a CSV or Parquet file"),
        ({"features": ("age", "town")}, "features.1: the column 'town' of {path} holds text, first 'Graz' in line 2"),
    ],
)
def test_what_is_not_there_is_told(folder: str, options: dict[str, Any], told: str) -> None:
    given = {"path": "t.csv", "label": "price", "clients": 4} | options
    with pytest.raises(ScenarioError) as error:
        Table(**given).load(1, folder)
    assert told.format(path=f"{folder}/t.csv", folder=folder) in str(error.value)


def test_missing_values_are_told_by_column_and_line(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("a,b,y\n1,2,0.5\n3,,1.5\n5,6,\n")
    for label, told in (("y", "data.label: the column 'y'"), ("a", "data.path: the column 'b'")):
        with pytest.raises(ScenarioError, match=f"{told} of .* has 1 missing values, the first in line"):
            Table(path="m.csv", label=label, clients=1).load(1, str(tmp_path))


def test_options_that_exclude_each_other_are_told() -> None:
    from fedsim.data.partitions.shards import Shards

    wrong = Table(path="t", label="y", features=("a", "a", "y"), client="c", partition=Shards())
    assert {key for key, _ in wrong.problems()} == {"partition", "features.1", "features.2"}
    assert {key for key, _ in Table(path="t", label="y").problems()} == {"clients"}
