"""Which software a run used: what its bits may depend on."""

from __future__ import annotations

import platform
from functools import cache
from importlib import metadata

PACKAGES = ("fedsim", "flwr", "ray", "torch", "numpy")


@cache
def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that can change a result."""
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in PACKAGES}}
