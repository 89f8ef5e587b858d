"""What is said when foreign code fails: one line with the user's own file and line, whoever raised in the end."""

from __future__ import annotations

import os
import sysconfig
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

from fedsim.core.errors import FedsimError

OURS = str(Path(__file__).parents[2])
INSTALLED = tuple({sysconfig.get_paths()[key] for key in ("stdlib", "platstdlib", "purelib", "platlib")})


def is_installed(file: str) -> bool:
    """Return whether a file belongs to Python or to an installed package, not to a user's own folder."""
    return file.startswith(INSTALLED) or "/site-packages/" in file or "/dist-packages/" in file


class RefusedError(Exception):
    """What a scenario names cannot be used there; the text is for the user, and says where in which file."""


class ForeignError(FedsimError):
    """Foreign code raised while the run went on, or gave what cannot be used. `details` is the whole traceback."""

    exit_code = 3

    def __init__(self, text: str, details: str = "") -> None:
        self.details = details
        super().__init__(text)

    def __reduce__(self) -> tuple[Any, ...]:
        return ForeignError, (str(self), self.details)


def place_of_error(error: BaseException) -> str:
    """Return FILE:LINE of the innermost line of a user's file in an error's traceback, empty when there is none."""
    if isinstance(error, SyntaxError) and error.filename and not _library(error.filename):
        return f"{error.filename}:{error.lineno or 1}"
    seen = [f for f in traceback.extract_tb(error.__traceback__) if not _library(f.filename)]
    return f"{seen[-1].filename}:{seen[-1].lineno}" if seen else ""


def _library(file: str) -> bool:
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


def told(error: BaseException) -> str:
    """Return what an error says: FILE:LINE: Type: text, in one line.

    >>> told(ValueError("no"))
    'ValueError: no'
    """
    place = place_of_error(error)
    text = error.msg if isinstance(error, SyntaxError) else " ".join(str(error).split())
    said = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return f"{place}: {said}" if place else said


@contextmanager
def blamed(what: str) -> Iterator[None]:
    """Turn whatever foreign code raises into a ForeignError that begins with `what`; errors of ours go through."""
    try:
        yield
    except FedsimError:
        raise
    except Exception as error:
        raise failed(what, error) from error


def failed(what: str, error: BaseException) -> ForeignError:
    """Return the error of a run that foreign code has ended."""
    return ForeignError(f"{what}: {told(error)}", "".join(traceback.format_exception(error)))


def guarded(method: Callable[..., Any], what: str) -> Callable[..., Any]:
    """Return a method that blames its own file for what it raises."""

    @wraps(method)
    def calling(*given: Any, **named: Any) -> Any:
        with blamed(what):
            return method(*given, **named)

    return calling
