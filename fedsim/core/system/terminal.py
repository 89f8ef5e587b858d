"""The rim of the console: text that strangers named cannot steer a terminal."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any, TextIO

_STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Control characters but for tab and end of line, and marks that turn the direction of writing."""


def visible(text: str) -> str:
    r"""Return text with every character that steers a terminal written out.

    >>> print(visible("\x1b[2Jgone"))
    \x1b[2Jgone
    """
    return _STEERING.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


class Rim:
    """Stands before standard output or error and writes out what would steer the terminal.

    Attributes
    ----------
    rich_proxied_file : where rich writes instead; it makes escapes of its own and is given names made visible.
    """

    def __init__(self, stream: TextIO) -> None:
        self.rich_proxied_file = stream

    def __getattr__(self, name: str) -> Any:
        if name == "buffer":  # where click writes past this rim, when a terminal's encoding is not to its liking
            raise AttributeError(name)
        return getattr(self.rich_proxied_file, name)

    def write(self, text: str) -> int:
        """Write text, made visible."""
        self.rich_proxied_file.write(visible(text))
        return len(text)


@contextmanager
def as_written() -> Iterator[None]:
    """Let a program of the user's own write past the rim: it may colour what it says."""
    out, err = (stream.rich_proxied_file if isinstance(stream, Rim) else stream for stream in (sys.stdout, sys.stderr))
    with redirect_stdout(out), redirect_stderr(err):
        yield
