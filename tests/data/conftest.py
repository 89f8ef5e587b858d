"""Writers of tiny files in the formats that datasets come in."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest


def idx_bytes(array: np.ndarray[Any, Any]) -> bytes:
    """An IDX file of unsigned bytes."""
    sizes = np.array([0x800 | array.ndim, *array.shape], dtype=">u4").tobytes()
    return sizes + array.astype(np.uint8).tobytes()


def cifar_bytes(images: np.ndarray[Any, Any], labels: np.ndarray[Any, Any]) -> bytes:
    """Records of label bytes (n, 1 or 2) and pixels (n, 3, 32, 32)."""
    return np.concatenate([labels, images.reshape(len(images), -1)], axis=1).astype(np.uint8).tobytes()


@pytest.fixture
def idx_folder(tmp_path: Path) -> Path:
    """40 training and 10 test images, 4 x 5, of 5 labels; the training images gzipped."""
    draw = np.random.default_rng(0)
    for stem, count in (("train", 40), ("t10k", 10)):
        images, labels = draw.integers(0, 256, (count, 4, 5)), np.arange(count) % 5
        (tmp_path / f"{stem}-images-idx3-ubyte").write_bytes(idx_bytes(images))
        (tmp_path / f"{stem}-labels-idx1-ubyte").write_bytes(idx_bytes(labels))
    plain = tmp_path / "train-images-idx3-ubyte"
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(plain.read_bytes()))
    plain.unlink()
    return tmp_path


@pytest.fixture
def cifar_folder(tmp_path: Path) -> Path:
    """CIFAR-10 with 4 images a file, and CIFAR-100 with 6: pixel values name the image's number and the channel."""
    for place, name in enumerate([*(f"data_batch_{k}.bin" for k in range(1, 6)), "test_batch.bin"]):
        numbers = np.arange(4 * place, 4 * place + 4)
        (tmp_path / name).write_bytes(cifar_bytes(numbered(numbers), (numbers % 10)[:, None]))
    for name, start in (("train.bin", 0), ("test.bin", 6)):
        numbers = np.arange(start, start + 6)
        (tmp_path / name).write_bytes(cifar_bytes(numbered(numbers), np.stack([numbers % 3, 99 - numbers], axis=1)))
    return tmp_path


def numbered(numbers: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Images whose every pixel is 3 * number + channel."""
    return np.broadcast_to((3 * numbers[:, None] + np.arange(3))[:, :, None, None], (len(numbers), 3, 32, 32))


@pytest.fixture
def npz_file(tmp_path: Path) -> Callable[..., str]:
    """A function that saves arrays and returns the file's path."""

    def save(**arrays: Any) -> str:
        path = tmp_path / "own.npz"
        np.savez(path, **arrays)
        return str(path)

    return save
