"""Every kind of examples that foreign code may give is the same client data; what it may not give is told in a line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import torch
from torch.utils.data import Dataset, IterableDataset, TensorDataset

import fedsim
from fedsim.core import ScenarioError
from fedsim.core.foreign.content import digest_of
from fedsim.core.foreign.reference import Object
from fedsim.data.foreign import DOOR, takes
from fedsim.data.partitioned import Partitioned

DRAW = np.random.default_rng(3)
X: npt.NDArray[np.float32] = DRAW.normal(size=(30, 3)).astype(np.float32)
Y: npt.NDArray[np.int64] = np.arange(30) % 3
X_TEST, Y_TEST = X[:6] + 1, Y[:6]
WORDS = np.array(["ant", "bee", "cat"])
IMAGES = DRAW.integers(0, 255, (30, 5, 6, 3)).astype(np.uint8)


class Pairs(Dataset[Any]):
    def __init__(self, x: Any = X, y: Any = Y) -> None:
        self.x, self.y = x, y

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, place: int) -> Any:
        return torch.from_numpy(self.x[place]), int(self.y[place])


class Streamed(IterableDataset[Any]):
    def __iter__(self) -> Any:
        return iter([(X[0], 0)])


def frame(x: Any = X, y: Any = Y) -> pd.DataFrame:
    return pd.DataFrame({"a": x[:, 0], "kind": WORDS[y], "b": x[:, 1], "c": x[:, 2]})


def load(found: Any, **keys: Any) -> Partitioned:
    made = DOOR.choose(Object(found), ".")
    data: Partitioned = made(**({"clients": 4} | keys)).load(1)
    return data


T = torch.from_numpy
KINDS: dict[str, tuple[Any, dict[str, Any], bool]] = {
    "names": ({"x": X, "y": Y}, {}, False),
    "tensors": ({"x": T(X), "y": T(Y)}, {}, False),
    "tuple": ((X, T(Y)), {}, False),
    "four": ((X, Y, X_TEST, Y_TEST), {}, True),
    "train and test": (((X, Y), (X_TEST, Y_TEST)), {}, True),
    "dataset": (Pairs(), {}, False),
    "tensor dataset": (TensorDataset(T(X), T(Y)), {}, False),
    "datasets": ((Pairs(), Pairs(X_TEST, Y_TEST)), {}, True),
    "named datasets": ({"train": Pairs(), "test": Pairs(X_TEST, Y_TEST)}, {}, True),
    "frame": (frame(), {"label": "kind"}, False),
    "frames": ({"train": frame(), "test": frame(X_TEST, Y_TEST)}, {"label": "kind", "features": ("a", "b", "c")}, True),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_gives_the_examples_of_its_arrays(kind: str) -> None:
    found, keys, apart = KINDS[kind]
    arrays = {"x": X, "y": Y} | ({"x_test": X_TEST, "y_test": Y_TEST} if apart else {})
    data, wanted = load(found, **keys), load(arrays)
    for name in ("x", "y", "order", "offsets"):
        np.testing.assert_array_equal(getattr(data, name), getattr(wanted, name))
    assert data.test is not None
    assert wanted.test is not None
    np.testing.assert_array_equal(data.test.x, wanted.test.x)
    np.testing.assert_array_equal(data.test.y, wanted.test.y)
    assert takes(found)
    assert digest_of(found) != ""


def test_a_list_holds_one_dataset_for_each_client_and_their_own_test_parts() -> None:
    cuts = [slice(0, 4), slice(4, 15), slice(15, 30)]
    data = load([(X[c], Y[c], X_TEST[k : 2 * k], Y_TEST[k : 2 * k]) for k, c in enumerate(cuts)], clients=None)
    assert data.num_examples.tolist() == [4, 11, 15]
    for client, cut in enumerate(cuts):
        rows = data.rows(np.array([client]), np.arange(len(Y[cut]))[None])
        np.testing.assert_array_equal(rows.x[0], X[cut])
    assert data.test is not None
    assert data.own_test is not None
    np.testing.assert_array_equal(data.test.x, X_TEST[1:4], "the global test part is that of all clients")
    assert data.own_test.num_examples.tolist() == [0, 1, 2]
    np.testing.assert_array_equal(data.own_test.rows(np.array([2]), np.array([[0, 1]])).x[0], X_TEST[2:4])
    mixed = load([Pairs(X[:9], Y[:9]), {"x": X[9:], "y": Y[9:]}], clients=None)
    assert mixed.num_clients == 2


def test_client_and_test_may_stand_beside_arrays() -> None:
    owners = np.repeat([7, 9], 15)
    tests = [(X_TEST[:2], Y_TEST[:2]), {"x": X_TEST[2:3], "y": Y_TEST[2:3]}]
    given = {"x": X, "y": Y, "x_test": X_TEST, "y_test": Y_TEST, "client": owners, "test": tests}
    data = load(given, clients=None, normalise="channel")
    assert data.num_examples.tolist() == [15, 15]
    assert data.test is not None
    assert data.own_test is not None
    assert len(data.test) == len(X_TEST), "a test part of its own stays the global one"
    got = data.own_test.rows(np.array([1]), np.array([[0]])).x[0, 0]
    np.testing.assert_allclose(got, (X_TEST[2] - X.mean(0)) / X.std(0), atol=1e-5)
    assert load(frame().assign(who=owners), label="kind", client="who", clients=None).num_clients == 2


@pytest.mark.parametrize(("found", "shape"), [(IMAGES, (3, 5, 6)), (IMAGES[..., 0], (1, 5, 6))])
def test_the_layout_of_images_is_named(found: Any, shape: tuple[int, ...]) -> None:
    data = load({"x": found, "y": Y}, layout="channels_last", divide_by=255.0)
    assert data.input_shape == shape
    assert data.x.dtype == np.uint8
    np.testing.assert_array_equal(data.x[:, 0], IMAGES[..., 0])


@pytest.mark.parametrize(("y", "shape", "classes"), [(X, (3,), 0), (np.stack([Y, Y], 1), (2,), 3), (X[:, 0], (), 0)])
def test_targets_have_any_shape_and_features_may_be_tokens(y: Any, shape: tuple[int, ...], classes: int) -> None:
    data = load({"x": np.stack([Y, Y], 1), "y": T(y)})
    assert (data.target_shape, data.num_classes, data.x.dtype) == (shape, classes, np.int64)


WRONG: dict[str, tuple[Callable[[], Any], dict[str, Any], str]] = {
    "number": (lambda: 3, {}, r"must give arrays by name .* a list of them .*; got int$"),
    "nothing": (lambda: None, {}, "got NoneType$"),
    "names": (lambda: {"x": X, "z": Y}, {}, r"lacks y; it holds x, z$"),
    "lengths": (lambda: (X, Y[:9]), {}, r"30 examples but 9 labels in y$"),
    "three": (lambda: (X, Y, Y), {}, r"a tuple must be \(x, y\).*got \(ndarray, ndarray, ndarray\)$"),
    "ragged": (lambda: {"x": [[1.0], [1.0, 2.0]], "y": Y}, {}, r"x is no array: .*"),
    "NaN": (lambda: (X * np.float32(np.nan), Y), {}, r"x holds NaN or infinite numbers, first in row 0$"),
    "stream": (Streamed, {}, r"got Streamed$"),
    "items": (lambda: Pairs(X, Y[:, None].repeat(2, 1)).x, {}, r"got ndarray$"),
    "triples": (lambda: TensorDataset(T(X), T(Y), T(Y)), {}, r"item 0 .* must be a pair \(x, y\), got tuple of 3$"),
    "frame": (frame, {}, r"a frame needs `label`, the column to learn; it has a, kind, b, c$"),
    "column": (frame, {"label": "kin"}, r"label: there is no column 'kin'; did you mean 'kind'\?$"),
    "no table": (lambda: (X, Y), {"label": "kind"}, r"`label` names columns of a frame .*; leave it out$"),
    "clients": (lambda: [(X, Y), X], {}, r"that of client 1 is ndarray; arrays stand in a tuple \(x, y\) or by name$"),
    "empty": (lambda: [(X, Y), (X[:0], Y[:0])], {}, r"client 1 has no examples; leave it out of the list$"),
    "shapes": (lambda: [(X, Y), (X[:, :2], Y)], {}, r"client 1: an example of its x is \(2,\), of client 0 \(3,\)$"),
    "tests": (
        lambda: {"x": X, "y": Y, "client": Y, "test": [(X, Y)]},
        {"clients": None},
        r"test holds 1 parts, and there are 3 clients$",
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_no_data_is_told_with_its_line(wrong: str) -> None:
    code, keys, expected = WRONG[wrong]
    with pytest.raises(ScenarioError, match=f"^data.dataset: .*test_given.py:[0-9]+.*{expected}") as told:
        load(code, **keys)
    assert "\n" not in str(told.value)


def test_keys_that_do_not_fit_the_examples_are_told() -> None:
    with pytest.raises(ScenarioError, match=r"data.layout: is of images, .* x is of shape \(30, 3\); leave it out"):
        load((X, Y), layout="channels_last")
    with pytest.raises(ScenarioError, match=r"data.partition: .* says whose each example is"):
        load([(X, Y), (X, Y)], clients=None, partition=fedsim.data.partitions.catalogue()["dirichlet"](alpha=1.0))
    with pytest.raises(ScenarioError, match=r"data.features.0: the column 'kind' of the frame holds text, first 'ant'"):
        load(frame(), label="a", features=("kind",))


def test_the_hash_of_examples_follows_their_content() -> None:
    same = digest_of({"x": X, "y": Y})
    assert digest_of({"x": T(X), "y": T(Y)}) == same
    changed = X.copy()
    changed[29, 2] += 1
    for one, other in ((Pairs(), Pairs(changed)), (frame(), frame(changed)), ([(X, Y)], [(changed, Y)])):
        assert len({digest_of(one), digest_of(other), ""}) == 3
    assert digest_of(np.array([object()])) == digest_of({"x": X, "y": len}) == ""


class Hub:
    """What is used of a Dataset of the package `datasets`, which is not needed to be there."""

    __module__ = "datasets.arrow_dataset"

    def __init__(self, **columns: Any) -> None:
        self.columns = columns
        self.column_names, self.features = [*columns], dict.fromkeys(columns)

    def select_columns(self, names: list[str]) -> Hub:
        return Hub(**{name: self.columns[name] for name in names})

    def with_format(self, how: str) -> Hub:
        assert how == "numpy"
        return self

    def __len__(self) -> int:
        return len(self.columns["label"])

    def __getitem__(self, place: Any) -> dict[str, Any]:
        return {name: values[place] for name, values in self.columns.items()}


def test_a_hugging_face_dataset_gives_its_columns() -> None:
    rows = Hub(text=np.array(["a"] * 30), v=X, w=Y * 2, label=WORDS[Y])
    for found in (rows, {"train": rows}):
        data, wanted = load(found, features=("v",)), load((X, Y))
        np.testing.assert_array_equal(data.x, wanted.x)
        np.testing.assert_array_equal(data.y, wanted.y)
        assert takes(found)
    flat = Hub(a=X[:, 0], word=WORDS[Y], b=X[:, 1], label=Y)
    np.testing.assert_array_equal(load(flat).x, X[:, :2])
    with pytest.raises(ScenarioError, match="the column 'v' holds arrays, and stands beside others; name one"):
        load(rows)


SCRIPT = """
import numpy as np
import pandas as pd
import torch
from torch.utils.data import TensorDataset

draw = np.random.default_rng(0)
x = draw.normal(size=(60, 4)).astype("float32")
y = (x[:, 0] > 0).astype("int64")

def load():
    return TensorDataset(torch.from_numpy(x), torch.from_numpy(y))
"""


@pytest.mark.slow
def test_a_reference_and_the_object_are_one_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data.py").write_text(SCRIPT)
    base = {
        "name": "given",
        "rounds": 2,
        "model": {"name": "linear"},
        "client": {"local_steps": 1, "batch_size": 8, "lr": 0.1},
    }
    made = ModuleType("given_script")
    exec(SCRIPT, made.__dict__)

    def run(out: str, found: Any, **keys: Any) -> dict[str, Any]:
        given = {"dataset": found, "clients": 4, **keys}
        return dict(fedsim.run({**base, "data": given}, out=out).summary)

    named = run("a", "./data.py:load")
    table = pd.DataFrame(made.x, columns=[*"abcd"]).assign(y=made.y)
    for out, found, keys in (("b", made.load(), {}), ("c", (made.x, made.y), {}), ("d", table, {"label": "y"})):
        summary = run(out, found, **keys)
        assert summary["params_sha256"] == named["params_sha256"]
        assert "unhashed" not in summary
    assert fedsim.resume("d", rounds=3, data={"dataset": table, "clients": 4, "label": "y"}).summary["rounds"] == 3
    with pytest.raises(ScenarioError, match="has no source"):
        fedsim.resume("b", rounds=3, data={"dataset": TensorDataset(torch.ones(4, 2), torch.ones(4)), "clients": 4})
