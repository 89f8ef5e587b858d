"""How much JSON a body holds, counted as its bytes come in and before anything is parsed."""

from __future__ import annotations

import re

MOST_EVENTS = 5_000
MOST_PER_EVENT = 40_000
"""Brackets, commas and strings of one event; a round with 2 000 metrics has some 5 000."""
MOST_IN_ALL = 1_000_000
DEEPEST = 40
"""Levels of nesting; a round with vectors has five."""

_TOKEN = re.compile(rb'["\[\]{},]')
_INSIDE = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)


class TooManyError(Exception):
    """The body holds more than a service takes at once. Its text says what."""


class Tally:
    """Counts the tokens of a JSON text that comes in pieces; a string is one token, however long.

    >>> tally = Tally()
    >>> tally.take(b'[{"a": "x,[')
    >>> tally.take(b'y"}, {}]')
    >>> tally.events
    2
    """

    def __init__(self) -> None:
        self.events = 1
        self._depth = 0
        self._in_event = 0
        self._in_all = 0
        self._in_string = False
        self._escaped = False

    def take(self, piece: bytes) -> None:
        """Count a piece. Raises TooManyError as soon as it is too much, ValueError for what is no JSON of ours."""
        if b"\0" in piece:
            raise ValueError("the body is no JSON in UTF-8: it holds a NUL")
        at = 0
        if self._escaped and piece:
            piece = b"_" + piece[1:]
        if self._in_string and piece:
            at = self._string(piece, 0)
        while found := _TOKEN.search(piece, at):
            at = found.end()
            self._count(found[0])
            if found[0] == b'"':
                at = self._string(piece, at)

    def _string(self, piece: bytes, at: int) -> int:
        """Return where a string ends that goes on at `at`; it may go on in the next piece, even after a backslash."""
        found = _INSIDE.match(piece, at)
        assert found is not None, "it matches the empty text too"
        end = found.end()
        self._in_string = not piece.startswith(b'"', end)
        self._escaped = self._in_string and end < len(piece)
        return len(piece) if self._in_string else end + 1

    def _count(self, token: bytes) -> None:
        if token in b"[{":
            self._depth += 1
        elif token in b"]}":
            self._depth -= 1
        elif token == b"," and self._depth == 1:
            self.events += 1
            self._in_event = 0
        self._in_event += 1
        self._in_all += 1
        if self._depth > DEEPEST:
            raise ValueError(f"the body is nested deeper than {DEEPEST} levels")
        if self.events > MOST_EVENTS:
            raise TooManyError(f"at most {MOST_EVENTS} events at once")
        if self._in_event > MOST_PER_EVENT or self._in_all > MOST_IN_ALL:
            raise TooManyError("too many values; send fewer at once")
