"""Around foreign code: the process is afterwards as it was before."""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import numpy as np

from fedsim.core.foreign.failures import ForeignError

PLAIN = (bool, int, float, complex, str, bytes, list, tuple, dict, set, frozenset, type(None), np.ndarray, np.generic)
"""Types of module variables that are watched."""
LARGEST = 1 << 20
"""Variables that are larger than this are not looked at."""


@contextmanager
def unchanged(owner: Any, where: str) -> Iterator[None]:
    """Refuse that the code inside this block changes what others depend on; what can be put back is.

    Watched are the attributes of `owner`, the plain variables of its module, and of the process: the working folder,
    numpy's handling of errors, torch's defaults (dtype, device, gradients, threads, determinism).

    Raises
    ------
    ForeignError : something is not as it was.
    """
    before = {name: (get(), put) for name, (get, put) in _process().items()}
    attributes, variables = _pickled(_attributes(owner)), _pickled(_variables(owner))
    changed: list[str] = []
    try:
        yield
    finally:
        for name, (value, put) in before.items():
            if _process()[name][0]() != value:
                put(value)
                changed.append(name)
    changed += [f"self.{name}" for name in _differing(attributes, _pickled(_attributes(owner)))]
    changed += [f"the module's {name}" for name in _differing(variables, _pickled(_variables(owner)))]
    if changed:
        raise ForeignError(
            f"{where}: changed {', '.join(changed)}; what lasts goes into the client's state, for in another process "
            "such a change would not be seen"
        )


def _process() -> dict[str, tuple[Callable[[], Any], Callable[[Any], None]]]:
    """Return what is watched of the process by name: how it is read, and how it is put back."""
    import torch

    return {
        "the working folder": (os.getcwd, os.chdir),
        "numpy's error state": (np.geterr, lambda kept: void(np.seterr(**kept))),
        "torch's default dtype": (torch.get_default_dtype, torch.set_default_dtype),
        "torch's default device": (lambda: str(torch.get_default_device()), torch.set_default_device),
        "whether torch keeps gradients": (torch.is_grad_enabled, lambda kept: void(torch.set_grad_enabled(kept))),
        "torch's number of threads": (torch.get_num_threads, torch.set_num_threads),
        "torch's deterministic algorithms": (
            torch.are_deterministic_algorithms_enabled,
            torch.use_deterministic_algorithms,
        ),
    }


def void(_: object) -> None:
    """Return nothing."""


def _attributes(owner: Any) -> Mapping[str, Any]:
    shared = {name: value for name, value in vars(type(owner)).items() if isinstance(value, PLAIN)}
    return {name: value for name, value in shared.items() if not name.startswith("__")} | getattr(owner, "__dict__", {})


def _variables(owner: Any) -> Mapping[str, Any]:
    module: ModuleType | None = sys.modules.get(type(owner).__module__)
    names = {} if module is None or not getattr(module, "__file__", None) else vars(module)
    return {name: value for name, value in names.items() if isinstance(value, PLAIN) and not name.startswith("__")}


def _pickled(values: Mapping[str, Any]) -> dict[str, bytes]:
    """Return the values that can be pickled, and are not large, as bytes."""
    found = {}
    for name, value in values.items():
        if getattr(value, "nbytes", 0) > LARGEST or (hasattr(value, "__len__") and len(value) > LARGEST):
            continue
        try:
            found[name] = pickle.dumps(value)
        except Exception:  # it is not watched
            continue
    return found


def _differing(before: Mapping[str, bytes], after: Mapping[str, bytes]) -> list[str]:
    return [name for name, value in after.items() if before.get(name) != value]
