"""The dataset `magic`, once it is fetched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from fedsim.data.fetched.tables import FetchedTable


@dataclass(frozen=True, kw_only=True)
class Magic(FetchedTable):
    """MAGIC gamma telescope: 10 numbers about a shower of light, 19,020 rows, gamma or hadron; from KEEL.

    Bock et al., "Methods for multidimensional event classification", Nuclear Instruments and Methods A 516, 2004.
    """

    dataset: Literal["magic"] = "magic"
    rows: ClassVar[int] = 19_020
