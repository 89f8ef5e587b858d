"""The dataset `letter`, once it is fetched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from fedsim.data.fetched.tables import FetchedTable


@dataclass(frozen=True, kw_only=True)
class Letter(FetchedTable):
    """Letter recognition: 16 whole numbers about the image of a capital, 20,000 rows, 26 classes; from KEEL.

    Frey and Slate, "Letter recognition using Holland-style adaptive classifiers", Machine Learning 6, 1991.
    """

    dataset: Literal["letter"] = "letter"
    rows: ClassVar[int] = 20_000
