"""The clients of the data themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from fedsim.data.partitions.config import Partition
from fedsim.data.partitions.dealing import Ints


@dataclass(frozen=True, kw_only=True)
class Natural(Partition):
    """The clients of the data themselves: one for each distinct value of a column of the file.

    Clients are numbered by their sorted values: the smallest is client 0.
    """

    kind: Literal["natural"] = "natural"
    column: str = "client"
    """The array of the file that says whose each example is."""

    def number(self, values: npt.NDArray[Any]) -> Ints:
        """Return the client of each example, shape (n,), from the column's values."""
        return np.unique(values, return_inverse=True)[1].reshape(-1).astype(np.int64)
