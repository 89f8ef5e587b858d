"""Whose a source file is: Python's, a package's, ours, or a user's own."""

from __future__ import annotations

import os
import sysconfig
from functools import lru_cache
from pathlib import Path

OURS = str(Path(__file__).parents[2])
INSTALLED = tuple({sysconfig.get_paths()[key] for key in ("stdlib", "platstdlib", "purelib", "platlib")})


def is_installed(file: str) -> bool:
    """Return whether a file belongs to Python or to an installed package, not to a user's own folder."""
    return file.startswith(INSTALLED) or "/site-packages/" in file or "/dist-packages/" in file


@lru_cache(maxsize=4096)
def is_library(file: str) -> bool:
    """Return whether a file is Python's, an installed package's or ours: not one that a user wrote for a run."""
    whole = os.path.abspath(file)
    return (
        file.startswith("<")
        or file.endswith(".pyx")
        or whole.startswith(OURS + os.sep)
        or is_installed(whole)
        or _editable(file)
    )


def _editable(file: str) -> bool:
    """Return whether a file is one of ours in a checkout, where two of our packages stand beside `fedsim`."""
    there = os.path.realpath(file)
    return there.startswith(tuple(os.path.realpath(os.path.join(OURS, name)) for name in ("strategies", "clients")))
