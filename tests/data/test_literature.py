"""Data sets of the literature in the forms in which they are distributed, over files made here."""

from __future__ import annotations

import json
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedsim.core import ScenarioError
from fedsim.data.cifar import Cifar
from fedsim.data.femnist import Femnist
from fedsim.data.fetched.letter import Letter
from fedsim.data.fetched.mushroom import Mushroom
from fedsim.data.fetched.shakespeare import Shakespeare
from fedsim.data.reading.roles import speeches
from fedsim.data.sources import catalogue
from fedsim.scenario import from_dict, read_inputs, scenario_hash
from tests.data.conftest import numbered

PLAY = """THE TWO

Ann.
A queen, who says nothing here.

ACT I.

SCENE I. A room.

Ann.
{ann}

[Exit
a servant.]

I say {more}

BOB
{bob}

SCENE II.
Enter Ann and nobody else

Ann.
{ann}

Servant.
Short.
"""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FEDSIM_DATA", str(tmp_path))
    return tmp_path


@pytest.fixture
def plays(cache: Path) -> Path:
    """The play of Ann and Bob under one name, Bob alone under all others."""
    folder = cache / "shakespeare"
    folder.mkdir()
    for place, name in enumerate(catalogue()["shakespeare"].files):
        play = PLAY.format(ann="abc\n" * 50, more="more " * 10, bob="xyz " * 50)
        (folder / name).write_bytes((play if place == 0 else "ACT I.\n").replace("\n", "\r\n").encode())
    return folder


def test_a_role_says_its_speeches_in_their_order() -> None:
    said = speeches(PLAY.format(ann="One.\nTwo.", more="so.", bob="Three."))
    assert said == {"ANN": "One.\nTwo.\nI say so.\nOne.\nTwo.", "BOB": "Three.", "SERVANT": "Short."}


def test_each_role_that_says_enough_is_a_client(plays: Path) -> None:
    data = Shakespeare(window=10).load(seed=1)
    assert data.num_clients == 2
    # Ann says 50 lines of 4 characters, one of 55 and 50 again; the last fifth of them is held out
    characters = [199 + 1 + len("I say " + "more " * 10) - 1 + 1 + 199, 199]
    kept = [count - int(count * 0.2) for count in characters]
    assert data.num_examples.tolist() == [(count - 10 - 1) // 10 + 1 for count in kept]
    assert data.num_classes == len(set("abc\nI say more xyz "))
    np.testing.assert_array_equal(data.x[:, 1:], data.y[:, :-1])
    assert len(Shakespeare(window=10, clients=1).load(seed=1).num_examples) == 1
    assert Shakespeare(window=10, clients=1).load(seed=1).num_classes == data.num_classes
    with pytest.raises(ScenarioError, match=r"data\.clients: 3 given, and 2 roles have at least 120 characters"):
        Shakespeare(window=10, clients=3).load(seed=1)


def test_a_window_that_the_shortest_role_cannot_fill_is_told() -> None:
    assert not [*Shakespeare(window=95).problems()]
    (key, message), *_ = Shakespeare(window=96).problems()
    assert key == "window"
    assert message.startswith("of 120 characters 96 are trained on: fewer than a window of 96 and the character after")


def test_a_table_has_numbers_as_they_are_and_words_as_ones(cache: Path) -> None:
    for name, rows in (("letter", ["1, 2, B", "3, 4, A"] * 20), ("mushroom", ["x, s, e", "y, s, p"] * 20)):
        (cache / name).mkdir()
        (cache / name / f"{name}.dat").write_text("\n".join(rows) + "\n")
    numbers, words = Letter(clients=4).load(seed=1), Mushroom(clients=4).load(seed=1)
    assert {(*x, y) for x, y in zip(numbers.x.tolist(), numbers.y.tolist(), strict=False) for x in [tuple(x)]} == {
        (1, 2, 1),
        (3, 4, 0),
    }
    assert {tuple(x) for x in words.x.tolist()} == {(1, 0, 1), (0, 1, 1)}
    assert (numbers.num_examples.sum(), len(numbers.test), numbers.num_classes) == (32, 8, 2)


@pytest.mark.parametrize("name", ["shakespeare", "letter", "magic", "mushroom"])
def test_what_is_not_here_names_the_command_and_what_is_belongs_to_the_run(name: str, cache: Path) -> None:
    text = name == "shakespeare"
    data = {"dataset": name} if text else {"dataset": name, "clients": 4}
    model = {"name": "embedding-gru"} if text else {"name": "linear"}
    world = {"name": "w", "rounds": 1, "data": data, "model": model, "strategy": {"name": "fedavg"}}
    with pytest.raises(ScenarioError, match=rf"data\.dataset: {name} is not here; `fedsim data get {name}` fetches it"):
        from_dict(world, {})
    (cache / name).mkdir()
    for file in catalogue()[name].files:
        (cache / name / file).write_text("one")
    scenario = from_dict(world, {})
    before = scenario_hash(scenario, read_inputs(scenario))
    (cache / name / next(iter(catalogue()[name].files))).write_text("another")
    assert scenario_hash(scenario, read_inputs(scenario)) != before


def leaf(path: Path, users: dict[str, int], changed: dict[str, Any] | None = None) -> None:
    """Write users with so many images of one grey, their number, and the labels 0, 1, ..."""
    held = {
        name: {"x": [[float(place)] * 784] * count, "y": [*range(count)]}
        for place, (name, count) in enumerate(users.items())
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"users": [*users], "num_samples": [*users.values()], "user_data": held} | (changed or {})
    path.write_text(json.dumps(content))


def test_writers_are_clients_and_some_of_them_will_do(tmp_path: Path) -> None:
    leaf(tmp_path / "all_data_0.json", {"f1": 10, "f2": 5})
    leaf(tmp_path / "all_data_1.json", {"f3": 20, "none": 0})
    data = Femnist(path=str(tmp_path)).load(seed=1)
    assert (data.num_examples.tolist(), len(data.test), data.num_classes) == ([8, 4, 16], 7, 62)
    assert data.x.shape == (35, 1, 28, 28)
    (tmp_path / "all_data_1.json").write_text("never read")
    few = Femnist(path=str(tmp_path), clients=2).load(seed=1)
    assert few.num_examples.tolist() == [8, 4]
    assert set(few.x[few.order[8:], 0, 0, 0].tolist()) == {1.0}


def test_the_test_folder_is_the_test_split(tmp_path: Path) -> None:
    leaf(tmp_path / "train" / "a.json", {"f1": 3, "f2": 4})
    leaf(tmp_path / "test" / "a.json", {"f1": 1, "f2": 2})
    data = Femnist(path=str(tmp_path), clients=2)
    assert [*data.inputs(".")["path"]] == ["train/a.json", "test/a.json"]
    loaded = data.load(seed=1)
    assert (loaded.num_examples.tolist(), loaded.test.y.tolist()) == ([3, 4], [0, 0, 1])
    with pytest.raises(ScenarioError, match=r"data\.clients: 3 given, and .* has 2 writers"):
        Femnist(path=str(tmp_path), clients=3).load(seed=1)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"users": ["f1", "f9"]}, "is no file of LEAF's .*: lacks 'f9'"),
        ({"user_data": {"f1": {"x": ["to be"], "y": ["o"]}}}, "user f1: x and y should be lists of numbers"),
        (
            {"user_data": {"f1": {"x": [[0.0] * 783], "y": [1]}}},
            r"x should be rows of 784 numbers, is of shape \(1, 783",
        ),
        ({"user_data": {"f1": {"x": [[0.0] * 784], "y": [1, 2]}}}, "1 examples, and labels of shape"),
        ({"user_data": {"f1": {"x": [[0.0] * 784], "y": [62]}}}, "labels should be whole numbers from 0 to 61"),
        ({"users": ["f1", "f1"]}, "user f1 is there twice"),
    ],
)
def test_a_file_that_is_not_femnist_is_told(changed: dict[str, Any], message: str, tmp_path: Path) -> None:
    leaf(tmp_path / "a.json", {"f1": 2}, changed)
    with pytest.raises(ScenarioError, match=message):
        Femnist(path=str(tmp_path)).load(seed=1)


def test_a_folder_without_json_is_told(tmp_path: Path) -> None:
    ((_, absent),) = Femnist(path="x").problems_in(str(tmp_path))
    assert absent.endswith("is not there; expected a folder with LEAF's .json files, or with train and test")
    ((_, empty),) = Femnist(path=".").problems_in(str(tmp_path))
    assert empty.endswith("holds no .json file; LEAF's preprocess.sh writes them")


def python_batches(folder: Path, classes: int = 10) -> None:
    """Write the same images and labels as the fixture of the binary version, as Python 3 pickles for Python 2."""
    folder.mkdir(parents=True, exist_ok=True)
    if classes == 10:
        names, label = [*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"], b"labels"
        parts = [(name, np.arange(4 * place, 4 * place + 4)) for place, name in enumerate(names)]
    else:
        parts, label = [("train", np.arange(6)), ("test", np.arange(6, 12))], b"fine_labels"
    for name, numbers in parts:
        data = np.ascontiguousarray(numbered(numbers)).astype(np.uint8).reshape(len(numbers), -1)
        labels = (numbers % 10 if classes == 10 else 99 - numbers).tolist()
        batch = {b"batch_label": b"one", label: labels, b"data": data, b"filenames": [b"a.png"] * len(labels)}
        (folder / name).write_bytes(pickle.dumps(batch, protocol=2))


@pytest.mark.parametrize(("classes", "inner"), [(10, "cifar-10-batches-py"), (100, "cifar-100-python"), (10, ".")])
def test_the_python_version_is_the_binary_one(classes: Any, inner: str, cifar_folder: Path, tmp_path: Path) -> None:
    python_batches(tmp_path / "py" / inner, classes)
    wanted = Cifar(path=str(cifar_folder), clients=2, classes=classes).load(seed=1)
    found = Cifar(path=str(tmp_path / "py"), clients=2, classes=classes).load(seed=1)
    np.testing.assert_array_equal(found.x, wanted.x)
    np.testing.assert_array_equal(found.y, wanted.y)
    np.testing.assert_array_equal(found.test.x, wanted.test.x)


def test_a_pickle_of_python_2_is_read(tmp_path: Path) -> None:
    """Its text is bytes, its array's class in numpy.core: byte for byte as cPickle's protocol 2 writes it."""
    python_batches(tmp_path)
    pixels = bytes(range(256)) * 12

    def text(value: bytes) -> bytes:
        return b"U" + bytes([len(value)]) + value

    array = (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85"
        + text(b"b")
        + b"\x87R(K\x01K\x01M\x00\x0c\x86cnumpy\ndtype\n"
        + text(b"u1")
        + b"K\x00K\x01\x87R(K\x03"
        + text(b"|")
        + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T"
        + struct.pack("<I", len(pixels))
        + pixels
        + b"tb"
    )
    batch = b"\x80\x02}(" + text(b"data") + array + text(b"labels") + b"](K\x07eu."
    (tmp_path / "test_batch").write_bytes(batch)
    data = Cifar(path=str(tmp_path), clients=2).load(seed=1)
    assert data.test.y.tolist() == [7]
    assert (data.test.x.reshape(-1)[:256] * 255).round().tolist() == [*range(256)]


class Evil:
    """Writes a file where it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return open, ("evil", "w")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            pickle.dumps({b"data": Evil()}, protocol=2),
            r"it asks for (io|__builtin__|builtins)\.open, which no array needs",
        ),
        (pickle.dumps([1]), "expected `data`, bytes of shape"),
        (pickle.dumps({b"data": np.zeros((2, 3072), np.uint8), b"labels": [1]}), "expected `labels`, a list of 2"),
        (pickle.dumps({b"data": np.zeros((1, 3072), np.uint8), b"labels": [10]}), r"the label 10, CIFAR-10 has 0\.\.9"),
        (pickle.dumps({b"data": np.zeros((1, 3072), np.uint8), b"labels": [-1]}), r"the label -1, CIFAR-10 has 0\.\.9"),
        (b"", "cannot be read as a python batch of CIFAR"),
        (b"no pickle", "cannot be read as a python batch of CIFAR"),
    ],
)
def test_a_pickle_that_is_none_of_cifar_is_refused(
    content: bytes, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    python_batches(tmp_path)
    (tmp_path / "data_batch_3").write_bytes(content)
    with pytest.raises(ScenarioError, match=f"data_batch_3.*{message}"):
        Cifar(path=str(tmp_path), clients=2).load(seed=1)
    assert not (tmp_path / "evil").exists()
