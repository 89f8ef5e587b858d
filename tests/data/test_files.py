"""IDX and CIFAR folders: what they hold arrives as it is, and what is wrong with them is named."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from fedsim.core import ScenarioError
from fedsim.data.cifar import Cifar
from fedsim.data.idx import Idx, read_idx


def test_idx_images_are_scaled_to_one_with_a_channel(idx_folder: Path) -> None:
    data = Idx(path=str(idx_folder), clients=4).load(seed=1)
    assert data.input_shape == (1, 4, 5)
    assert data.num_classes == 5
    assert data.num_examples.tolist() == [10] * 4
    assert len(data.test) == 10
    raw = np.frombuffer((idx_folder / "t10k-images-idx3-ubyte").read_bytes()[16:], np.uint8).reshape(10, 1, 4, 5)
    np.testing.assert_array_equal(data.test.x, raw.astype(np.float32) / np.float32(255))
    assert data.x.dtype == np.uint8
    assert not data.x.flags.writeable


def test_idx_rows_are_whole_images_with_their_label(idx_folder: Path) -> None:
    data = Idx(path=str(idx_folder), clients=4).load(seed=1)
    content = gzip.decompress((idx_folder / "train-images-idx3-ubyte.gz").read_bytes())
    raw = np.frombuffer(content[16:], np.uint8).reshape(40, 4, 5)
    rows = data.rows(np.array([2]), np.array([[3]]))
    (match,) = np.flatnonzero((np.rint(rows.x[0, 0] * 255) == raw).all(axis=(1, 2)))
    assert rows.y[0, 0] == match % 5


def test_idx_paths_start_at_the_scenarios_folder(idx_folder: Path) -> None:
    config = Idx(path=idx_folder.name, clients=4)
    assert config.load(seed=1, folder=str(idx_folder.parent)).num_clients == 4
    assert not list(config.problems_in(str(idx_folder.parent)))


def test_idx_files_may_have_other_stems_and_a_dot(idx_folder: Path) -> None:
    for file in list(idx_folder.iterdir()):
        file.rename(idx_folder / file.name.replace("train-", "emnist-letters-train-").replace("-idx", ".idx"))
    data = Idx(path=str(idx_folder), clients=2, train="emnist-letters-train").load(seed=1)
    assert len(data.y) == 40


def test_a_missing_idx_file_is_named_with_its_folder(idx_folder: Path) -> None:
    (idx_folder / "t10k-labels-idx1-ubyte").unlink()
    (idx_folder / "train-images-idx3-ubyte.gz").unlink()
    config = Idx(path=str(idx_folder), clients=2)
    found = [message for _, message in config.problems_in(".")]
    assert len(found) == 2
    assert f"train images not found in {idx_folder}: expected train-images-idx3-ubyte or" in found[0]
    with pytest.raises(ScenarioError, match=r"data\.path: t10k labels not found .* expected t10k-labels-idx1-ubyte"):
        config.load(seed=1)


def test_a_missing_folder_is_one_problem_that_lists_what_it_should_hold(tmp_path: Path) -> None:
    for config in (Idx(path="nowhere", clients=2), Cifar(path="nowhere", clients=2)):
        ((key, message),) = config.problems_in(str(tmp_path))
        assert key == "path"
        assert f"{tmp_path}/nowhere is not there; expected a folder with" in message


def test_a_file_in_the_place_of_the_folder_is_called_a_file(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"")
    ((_, message),) = Idx(path="data", clients=2).problems_in(str(tmp_path))
    assert "is a file, not a folder" in message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "has 0 bytes, too few for an IDX header of 16"),
        (b"\x00\x00\x08\x01" + bytes(12), "begins with 0x00000801, an IDX file of this kind with 0x00000803"),
        (
            b"\x00\x00\x08\x03" + bytes([0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 2]) + bytes(7),
            "promises 2 x 2 x 2 bytes, it holds 7",
        ),
        (
            b"\x00\x00\x08\x03" + bytes([0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 2]) + bytes(5),
            "promises 1 x 2 x 2 bytes, it holds 5",
        ),
        (b"\x00\x00\x08\x03" + b"\xff" * 12 + bytes(5), "promises 4294967295 x 4294967295 x 4294967295 bytes"),
        (b"\x00\x00\x08\x03" + bytes(12), "is empty: its header promises 0 x 0 x 0"),
    ],
    ids=["empty", "labels", "truncated", "too-long", "absurd", "no-images"],
)
def test_a_malformed_idx_file_says_what_is_wrong(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(content)
    with pytest.raises(ScenarioError) as error:
        read_idx(path, 0x803)
    assert message in str(error.value)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("content", [b"not gzip", gzip.compress(bytes(1000))[:-20], b""], ids=["text", "cut", "empty"])
def test_a_damaged_gz_file_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(content)
    with pytest.raises(ScenarioError, match=r"cannot be read, or is damaged|too few for an IDX header"):
        read_idx(path, 0x803)


def test_images_and_labels_must_be_as_many(idx_folder: Path) -> None:
    (idx_folder / "train-labels-idx1-ubyte").write_bytes(b"\x00\x00\x08\x01\x00\x00\x00\x03abc")
    with pytest.raises(ScenarioError, match=r"holds 40 images, .* 3 labels"):
        Idx(path=str(idx_folder), clients=2).load(seed=1)


def test_training_and_test_images_must_have_one_size(idx_folder: Path) -> None:
    (idx_folder / "t10k-images-idx3-ubyte").write_bytes(
        b"\x00\x00\x08\x03" + bytes([0, 0, 0, 10, 0, 0, 0, 1, 0, 0, 0, 1]) + bytes(10)
    )
    with pytest.raises(ScenarioError, match=r"training images are \(4, 5\), test images \(1, 1\)"):
        Idx(path=str(idx_folder), clients=2).load(seed=1)


def test_cifar_images_come_channels_first_in_file_order(cifar_folder: Path) -> None:
    data = Cifar(path=str(cifar_folder), clients=2).load(seed=1)
    assert data.x.shape == (20, 3, 32, 32)
    np.testing.assert_array_equal(data.x[:, :, 31, 0], 3 * np.arange(20)[:, None] + np.arange(3))
    np.testing.assert_array_equal(data.y, np.arange(20) % 10)
    assert data.test.y.tolist() == [0, 1, 2, 3]
    assert data.test.x[0, 2, 0, 0] == np.float32(62) / np.float32(255)


def test_cifar_100_uses_the_fine_labels(cifar_folder: Path) -> None:
    data = Cifar(path=str(cifar_folder), clients=2, classes=100).load(seed=1)
    assert data.num_classes == 100
    assert data.y.tolist() == [99, 98, 97, 96, 95, 94]
    np.testing.assert_array_equal(data.x[:, 1, 0, 0], 3 * np.arange(6) + 1)


def test_cifar_is_found_inside_the_unpacked_archive(cifar_folder: Path) -> None:
    inner = cifar_folder / "cifar-10-batches-bin"
    inner.mkdir()
    for file in cifar_folder.glob("*_batch*.bin"):
        file.rename(inner / file.name)
    assert len(Cifar(path=str(cifar_folder), clients=2).load(seed=1).y) == 20


def test_missing_cifar_files_are_all_named(cifar_folder: Path) -> None:
    (cifar_folder / "data_batch_3.bin").unlink()
    (cifar_folder / "test_batch.bin").unlink()
    with pytest.raises(ScenarioError) as error:
        Cifar(path=str(cifar_folder), clients=2).load(seed=1)
    assert "data_batch_3.bin of CIFAR-10 (binary version) not found in" in str(error.value)
    assert "test_batch.bin" in str(error.value)


@pytest.mark.parametrize("size", [0, 3072, 4 * 3073 - 1])
def test_a_truncated_cifar_file_is_refused(cifar_folder: Path, size: int) -> None:
    (cifar_folder / "data_batch_2.bin").write_bytes(bytes(size))
    with pytest.raises(
        ScenarioError, match=rf"data_batch_2.bin has {size} bytes, not a whole number of CIFAR-10 records of 3073"
    ):
        Cifar(path=str(cifar_folder), clients=2).load(seed=1)


def test_a_cifar_label_out_of_range_is_refused(cifar_folder: Path) -> None:
    (cifar_folder / "test_batch.bin").write_bytes(bytes([10]) + bytes(3072))
    with pytest.raises(ScenarioError, match=r"test_batch.bin holds the label 10, CIFAR-10 has 0\.\.9"):
        Cifar(path=str(cifar_folder), clients=2).load(seed=1)
