"""What is said when foreign code fails: one line with the user's own file and line, whoever raised in the end."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import wraps
from typing import Any

from fedsim.core.errors import FedsimError
from fedsim.core.foreign.chance import keyed, no_unseeded
from fedsim.core.foreign.files import is_library


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
    if isinstance(error, SyntaxError) and error.filename and not is_library(error.filename):
        return f"{error.filename}:{error.lineno or 1}"
    seen = [f for f in traceback.extract_tb(error.__traceback__) if not is_library(f.filename)]
    return f"{seen[-1].filename}:{seen[-1].lineno}" if seen else ""


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
def blamed(what: str, *key: int) -> Iterator[None]:
    """Turn whatever foreign code raises into a ForeignError that begins with `what`; errors of ours go through.

    What takes chance from the system is refused in there; with a `key` the global generators are set to it.
    """
    try:
        with no_unseeded(), keyed(*key) if key else nullcontext():
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
