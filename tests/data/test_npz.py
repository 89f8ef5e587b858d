"""A user's own arrays: accepted forms, the natural partition, and each way in which they can be wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedsim.core import ScenarioError
from fedsim.data.npz import Npz
from fedsim.data.partitions.natural import Natural

X = np.arange(40, dtype=np.float64).reshape(20, 2)
Y = np.arange(20) % 4
Save = Callable[..., str]
NATURAL = Natural(column="client")


def test_labels_are_sorted_and_renumbered(npz_file: Save) -> None:
    data = Npz(path=npz_file(x=X, y=np.array([-5, 100, 7, 100] * 5)), clients=2).load(seed=1)
    assert data.num_classes == 3
    assert data.y[:4].tolist() == [0, 2, 1, 2]


def test_labels_seen_only_in_the_test_split_count(npz_file: Save) -> None:
    path = npz_file(x=X, y=Y, x_test=X[:2], y_test=np.array([9, 0]))
    data = Npz(path=path, clients=2).load(seed=1)
    assert data.num_classes == 5
    assert data.test.y.tolist() == [4, 0]
    assert data.num_examples.sum() == 20


def test_without_a_test_split_a_fraction_is_held_out(npz_file: Save) -> None:
    data = Npz(path=npz_file(x=X, y=Y), clients=2, test_fraction=0.4).load(seed=1)
    assert len(data.test) == 8
    assert np.bincount(data.test.y).tolist() == [2, 2, 2, 2]
    held = [data.rows(np.array([c]), np.arange(n)[None]).x[0] for c, n in enumerate(data.num_examples)]
    everything = np.concatenate([data.test.x, *held])
    np.testing.assert_array_equal(everything[np.argsort(everything[:, 0])], X)


@pytest.mark.parametrize(
    ("shape", "expected"), [((20,), (1,)), ((20, 3), (3,)), ((20, 4, 5), (1, 4, 5)), ((20, 3, 4, 5), (3, 4, 5))]
)
def test_shapes_become_vectors_or_images_with_a_channel(
    npz_file: Save, shape: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    assert Npz(path=npz_file(x=np.ones(shape), y=Y), clients=2).load(seed=1).input_shape == expected


def test_bytes_stay_bytes_until_gathered_and_may_be_divided(npz_file: Save) -> None:
    x = np.full((20, 2), 51, np.uint8)
    data = Npz(path=npz_file(x=x, y=Y), clients=2, divide_by=255).load(seed=1)
    assert data.x.dtype == np.uint8
    assert data.rows(np.array([0]), np.array([[0]])).x[0, 0].tolist() == pytest.approx([0.2, 0.2])


@pytest.mark.parametrize("values", [[30, 7, 12, 7], ["w30", "w07", "w12", "w07"]], ids=["numbers", "text"])
def test_the_natural_partition_numbers_clients_by_sorted_value(npz_file: Save, values: list[Any]) -> None:
    path = npz_file(x=X, y=Y, x_test=X, y_test=Y, client=np.array(values * 5))
    data = Npz(path=path, partition=NATURAL).load(seed=1)
    assert data.num_examples.tolist() == [10, 5, 5]
    assert set(data.rows(np.array([2]), np.arange(5)[None]).x[0, :, 0].tolist()) == {0, 8, 16, 24, 32}


def test_the_natural_partition_holds_out_inside_each_client(npz_file: Save) -> None:
    client = np.array([0] * 10 + [1] * 9 + [2])
    data = Npz(path=npz_file(x=X, y=Y, client=client), partition=NATURAL, test_fraction=0.3).load(seed=1)
    assert data.num_examples.tolist() == [7, 7, 1]
    assert len(data.test) == 5


def test_the_number_of_clients_is_known_only_where_the_file_says_it(npz_file: Save) -> None:
    assert Npz(path="x", clients=3).num_clients == 3
    assert Npz(path="x", partition=NATURAL).num_clients is None
    assert [key for key, _ in Npz(path="x").problems()] == ["clients"]
    assert not list(Npz(path="x", partition=NATURAL).problems())


def test_another_number_of_clients_than_the_column_has_is_refused(npz_file: Save) -> None:
    path = npz_file(x=X, y=Y, client=Y)
    with pytest.raises(ScenarioError, match=r"data.clients: 5 given, but client in .* has 4 distinct values"):
        Npz(path=path, partition=NATURAL, clients=5).load(seed=1)


def with_nan() -> np.ndarray[Any, Any]:
    x = X.copy()
    x[13, 1] = np.nan
    return x


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": X}, "lacks y; it holds x"),
        ({"features": X, "labels": Y}, "lacks x and y; it holds features, labels"),
        ({"x": X, "y": Y, "x_test": X}, "lacks y_test; it holds x, y, x_test"),
        ({"x": X, "y": Y[:19]}, "20 examples but 19 labels in y"),
        ({"x": X, "y": Y, "x_test": X, "y_test": Y[:3]}, "20 examples but 3 labels in y_test"),
        ({"x": X, "y": np.where(Y > 1, 1e300, 0.5)}, "y should be integer labels or numbers that float32 holds, got"),
        ({"x": X, "y": np.full(20, np.nan)}, "y should be integer labels"),
        ({"x": X, "y": np.int64(3)}, "y should be integer labels or numbers, shape (n, ...), got int64 of shape ()"),
        ({"x": X, "y": np.array(["a"] * 20)}, "y should be integer labels"),
        ({"x": with_nan(), "y": Y}, "x holds NaN or infinite numbers, first in row 13"),
        ({"x": np.full((20, 2), 1e300), "y": Y}, "x holds NaN or infinite numbers, first in row 0"),
        ({"x": np.array(["a"] * 20), "y": Y}, "x should be numbers, shape (n, ...), got <U1"),
        ({"x": X.astype(complex), "y": Y}, "x should be numbers"),
        ({"x": np.float64(3), "y": Y}, "x should be numbers, shape (n, ...), got float64 of shape ()"),
        (
            {"x": np.zeros((0, 2)), "y": np.zeros(0, int)},
            "x should be numbers, shape (n, ...), got float64 of shape (0, 2)",
        ),
        ({"x": X, "y": Y, "x_test": X[:, :1], "y_test": Y}, "an example of x is (2,), of x_test (1,)"),
        ({"x": np.array([{"a": 1}] * 20), "y": Y}, "x holds Python objects; save it with .astype(float)"),
    ],
)
def test_arrays_that_do_not_belong_are_named(npz_file: Save, arrays: dict[str, Any], message: str) -> None:
    with pytest.raises(ScenarioError) as error:
        Npz(path=npz_file(**arrays), clients=2).load(seed=1)
    assert message in str(error.value)
    assert str(error.value).startswith("data.path: ")


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ({}, "lacks client; it holds x, y"),
        ({"client": Y[:7]}, "client in .* should be integers or text of shape \\(20,\\), got int64 of shape \\(7,\\)"),
        ({"client": Y / 2}, "client in .* should be integers or text, got 0.5 in row 1"),
        ({"client": np.array(["a", "b"] * 10, object)}, r"client holds Python objects; save it with .astype\(str\)"),
    ],
)
def test_a_wrong_client_column_is_named(npz_file: Save, column: dict[str, Any], message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        Npz(path=npz_file(x=X, y=Y, **column), partition=NATURAL).load(seed=1)


def test_a_missing_file_says_what_is_expected(tmp_path: Path) -> None:
    ((key, message),) = Npz(path="own.npz", clients=2).problems_in(str(tmp_path))
    assert key == "path"
    assert message == f"{tmp_path}/own.npz is not there; expected a .npz file with the arrays x and y"
    with pytest.raises(ScenarioError, match=r"data\.path: .*own\.npz is not there"):
        Npz(path="own.npz", clients=2).load(seed=1, folder=str(tmp_path))


@pytest.mark.parametrize("content", [b"", b"text", b"\x93NUMPY\x01\x00"], ids=["empty", "text", "npy"])
def test_what_is_no_npz_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "own.npz").write_bytes(content)
    with pytest.raises(ScenarioError, match=r"is no \.npz file"):
        Npz(path="own.npz", clients=2).load(seed=1, folder=str(tmp_path))


def test_a_truncated_file_is_refused(npz_file: Save) -> None:
    path = Path(npz_file(x=X, y=Y))
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(ScenarioError, match="it is truncated"):
        Npz(path=str(path), clients=2).load(seed=1)


def test_a_flipped_byte_is_noticed(npz_file: Save) -> None:
    path = Path(npz_file(x=X, y=Y))
    content = bytearray(path.read_bytes())
    content[300] ^= 0xFF
    path.write_bytes(bytes(content))
    with pytest.raises(ScenarioError, match=r"cannot be read: Bad CRC-32"):
        Npz(path=str(path), clients=2).load(seed=1)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_whole_numbers_in_floats_are_labels_and_clients_as_integers_are(npz_file: Save, kind: type) -> None:
    given = Npz(path=npz_file(x=X, y=Y.astype(kind), client=(Y % 3).astype(kind)), partition=NATURAL).load(seed=1)
    whole = Npz(path=npz_file(x=X, y=Y, client=Y % 3), partition=NATURAL).load(seed=1)
    np.testing.assert_array_equal(given.y, whole.y)
    np.testing.assert_array_equal(given.order, whole.order)


def test_everything_that_headers_tell_is_told_before_the_arrays_are_read(npz_file: Save) -> None:
    ward = np.array(["a"] * 20, object)
    path = npz_file(x=X.astype(object), y=Y[:3], client=ward)
    assert list(Npz(path=path, partition=NATURAL).problems_in(".")) == [
        ("path", f"{path}: x holds Python objects; save it with .astype(float)"),
        ("path", f"{path}: 20 examples but 3 labels in y"),
        ("partition.column", f"{path}: client holds Python objects; save it with .astype(str)"),
    ]


def test_bytes_need_to_be_told_what_they_are_divided_by(npz_file: Save) -> None:
    path = npz_file(x=np.full((20, 2), 51, np.uint8), y=Y)
    ((key, message),) = Npz(path=path, clients=2).problems_in(".")
    assert key == "divide_by"
    assert message.startswith(f"{path}: x in bytes (uint8): write `divide_by: 255` to train on numbers in [0, 1]")
    as_they_are = Npz(path=path, clients=2, divide_by=1)
    assert not list(as_they_are.problems_in("."))
    assert as_they_are.load(seed=1).rows(np.array([0]), np.array([[0]])).x[0, 0].tolist() == [51.0, 51.0]


@pytest.mark.parametrize("shape", [(20, 32, 32, 3), (20, 28, 28, 1), (20, 64, 32, 4)])
def test_images_with_channels_last_are_named_with_the_shape_they_should_have(npz_file: Save, shape: Any) -> None:
    path = npz_file(x=np.zeros(shape), y=Y)
    ((key, message),) = Npz(path=path, clients=2).image_problems_in(".")
    wanted = f"(n, {shape[3]}, {shape[1]}, {shape[2]})"
    assert key == "path"
    assert f"x of shape {shape} looks like channels last; give {wanted}" in message


@pytest.mark.parametrize("shape", [(20, 3, 32, 32), (20, 32, 32), (20, 16, 8, 8), (20, 3, 4, 3), (20, 12)])
def test_what_may_be_channels_first_is_taken_as_it_is(npz_file: Save, shape: Any) -> None:
    assert not list(Npz(path=npz_file(x=np.zeros(shape), y=Y), clients=2).image_problems_in("."))
