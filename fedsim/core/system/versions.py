"""Which software a run used: what its bits may depend on."""

from __future__ import annotations

import platform
from functools import cache
from importlib import metadata

PACKAGES = {"fedsim": "fedsim-lab", "flwr": "flwr", "ray": "ray", "torch": "torch", "numpy": "numpy"}
"""The packages that can change a result, each with the name that it is installed under."""


@cache
def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that can change a result."""
    return {"python": platform.python_version(), **{name: metadata.version(it) for name, it in PACKAGES.items()}}
