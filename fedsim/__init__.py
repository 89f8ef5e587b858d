"""fedsim: federated learning in which clients come and go, with the same bits everywhere and the variance measured.

>>> import fedsim
>>> sorted(fedsim.__all__)[:3]
['Run', 'Work', '__version__']
"""

from __future__ import annotations

from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any

from fedsim.renamed import tell_of_new_names

if TYPE_CHECKING:
    from fedsim.analysis.frames import load
    from fedsim.api import compare, resume, run, sweep
    from fedsim.core.client_work import Work
    from fedsim.engine.run.run import Run

tell_of_new_names()
__version__ = metadata.version("fedsim-lab")  # the index has another project called fedsim

_WHERE = {
    "Run": "fedsim.engine.run.run",
    "Work": "fedsim.core.client_work",
    "compare": "fedsim.api",
    "load": "fedsim.analysis.frames",
    "resume": "fedsim.api",
    "run": "fedsim.api",
    "sweep": "fedsim.api",
}

__all__ = ["Run", "Work", "__version__", "compare", "load", "resume", "run", "sweep"]


def __getattr__(name: str) -> Any:
    """Load what a user asks for when it is asked for: importing fedsim loads neither torch nor ray."""
    if name in _WHERE:
        return getattr(import_module(_WHERE[name]), name)
    if name == "flower":
        return import_module("fedsim.flower")
    raise AttributeError(f"module 'fedsim' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
