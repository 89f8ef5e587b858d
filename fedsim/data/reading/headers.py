"""What the arrays of an .npz file are, read from their headers: a check of gigabytes that reads some hundred bytes."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

# zipfile raises NotImplementedError for a compression that it does not know, RuntimeError for an encrypted member
UNREADABLE = (
    OSError,
    ValueError,
    EOFError,
    KeyError,
    NotImplementedError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
)


@dataclass(frozen=True)
class Header:
    """The type and shape of an array that has not been read."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    @property
    def ndim(self) -> int:
        """How many dimensions."""
        return len(self.shape)


def headers(path: Path) -> dict[str, Header]:
    """Return the header of every array in an .npz file; raises one of `UNREADABLE` for a damaged file."""
    with zipfile.ZipFile(path) as archive:
        return dict(_headers(archive))


def _headers(archive: zipfile.ZipFile) -> Iterator[tuple[str, Header]]:
    for name in archive.namelist():
        if name.endswith(".npy"):
            with archive.open(name) as member:
                version = np.lib.format.read_magic(member)
                read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
                shape, _, dtype = read(member)
            yield name.removesuffix(".npy"), Header(dtype, shape)
