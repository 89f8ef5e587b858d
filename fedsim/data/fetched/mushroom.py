"""The dataset `mushroom`, once it is fetched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from fedsim.data.fetched.tables import FetchedTable


@dataclass(frozen=True, kw_only=True)
class Mushroom(FetchedTable):
    """Mushrooms: 22 words about each, as features that are 0 or 1; 5,644 rows, edible or poisonous; from KEEL.

    Schlimmer, "Mushroom", UCI 1981; KEEL leaves out the rows in which a word is missing.
    """

    dataset: Literal["mushroom"] = "mushroom"
    rows: ClassVar[int] = 5_644
