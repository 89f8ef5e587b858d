"""YAML text -> a tree with places, and everything that is wrong with the text itself.

The tree is composed from libyaml's events and not by PyYAML's `compose()`: that one returns nothing for a file with a
syntax error, lets duplicate keys pass, and recurses in C, so that a few thousand brackets end the process.
"""

from __future__ import annotations

import re
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import yaml

from fedsim.core import Problem
from fedsim.scenario.messages import show
from fedsim.scenario.tree import Broken, Entry, Items, Keys, Node, Place, Scalar, Source, plain

MAX_BYTES = 16 * 1024 * 1024
MAX_DEPTH = 100
MAX_PROBLEMS = 200
MAX_VALUES = 2_000_000
MAX_REPEATED = 1_000_000
"""How many values aliases may repeat: a few lines of aliases of aliases would otherwise stand for billions."""

_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_PLAIN_TAGS = {"tag:yaml.org,2002:" + kind for kind in ("str", "int", "float", "bool", "null", "map", "seq")}


@dataclass(frozen=True)
class Document:
    """What a text holds. `complete` is False when a syntax error cut it short: later keys may be missing."""

    root: Node | None
    problems: tuple[Problem, ...] = ()
    complete: bool = True


def read(data: bytes, file: str, source: Source = "file") -> Document:
    """Read one YAML document from bytes; never raises for what the bytes hold."""

    def refuse(message: str, line: int = 1, column: int = 1) -> Document:
        return Document(None, (Problem(file, line, column, "", message),), complete=False)

    if len(data) > MAX_BYTES:
        return refuse(f"the file is too large; a scenario may have up to {MAX_BYTES:,} bytes")
    if data.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        return refuse("the file is UTF-16 text; save it as UTF-8")
    data = data.removeprefix(BOM_UTF8)
    if b"\0" in data:
        return refuse("this is not a text file (it has zero bytes)", *_place_of(data, data.index(b"\0")))
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        place = _place_of(data, error.start)
        return refuse(f"this is not UTF-8 text (byte 0x{data[error.start]:02x}); save the file as UTF-8", *place)
    problems = [_forbidden_character(text, found, file) for found in list(_FORBIDDEN.finditer(text))[:20]]
    return _Composer(file, source, problems).compose(_FORBIDDEN.sub("", text) if problems else text)


def _place_of(data: bytes, offset: int) -> tuple[int, int]:
    start = data.rfind(b"\n", 0, offset) + 1
    return data.count(b"\n", 0, offset) + 1, len(data[start:offset].decode("utf-8", "replace")) + 1


def _forbidden_character(text: str, found: re.Match[str], file: str) -> Problem:
    line = text.count("\n", 0, found.start()) + 1
    column = found.start() - text.rfind("\n", 0, found.start())
    return Problem(
        file, line, column, "", f"a control character (0x{ord(found.group()):02x}) is not allowed; remove it"
    )


class _Stop(Exception):  # noqa: N818  (not an error of the caller: the rest of the text is given up)
    """The rest of the text is not read."""


@dataclass
class _Open:
    """A list or mapping that is being read. A mapping collects keys and values in turn."""

    mapping: bool
    place: Place
    anchor: str | None
    nodes: list[Node] = field(default_factory=list)
    size: int = 1
    broken: bool = False


class _Composer:
    def __init__(self, file: str, source: Source, problems: list[Problem]) -> None:
        self.file = file
        self.source = source
        self.problems = problems
        self.open: list[_Open] = []
        self.anchors: dict[str, tuple[Node, int] | None] = {}
        self.root: Node | None = None
        self.count = 0

    def compose(self, text: str) -> Document:
        complete = True
        try:
            self._follow(yaml.parse(text, Loader=yaml.CSafeLoader))
        except yaml.MarkedYAMLError as error:
            self._syntax(error)
            complete = False
        except _Stop:
            complete = False
        if not complete and self.open:
            self.root = self._close(self.open[0])
        return Document(self.root, tuple(self.problems), complete)

    def _follow(self, events: Iterable[Any]) -> None:
        documents = 0
        for event in events:
            if isinstance(event, yaml.ScalarEvent):
                self._add(self._scalar(event), 1, event.anchor)
            elif isinstance(event, yaml.CollectionStartEvent):
                self._start(event)
            elif isinstance(event, yaml.CollectionEndEvent):
                done = self.open.pop()
                self._add(self._close(done), done.size, done.anchor)
            elif isinstance(event, yaml.AliasEvent):
                self._alias(event)
            elif isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self._report(self._at(event), "a second document starts here; a scenario file holds one")
                    return

    def _at(self, event: Any) -> Place:
        return Place(self.file, event.start_mark.line + 1, event.start_mark.column + 1, self.source)

    def _report(self, place: Place, message: str, key: str = "") -> None:
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(Problem(place.file, place.line, place.column, key, message))

    def _stop(self, place: Place, message: str) -> None:
        self._report(place, message)
        raise _Stop

    def _path(self) -> str:
        """Return the dotted key of what is being read."""
        names = []
        for level in self.open:
            last = level.nodes[-1] if level.mapping and len(level.nodes) % 2 else None
            if last is not None or not level.mapping:
                names.append(str(last.value) if isinstance(last, Scalar) else str(len(level.nodes)))
        return ".".join(names)

    def _scalar(self, event: Any) -> Scalar:
        place = self._at(event)
        unquoted = event.style is None or event.style == ""
        if event.tag is None or event.tag == "!":
            return Scalar(resolve(event.value) if unquoted and event.tag is None else event.value, place)
        if not self._is_plain(event):
            return Scalar(Broken(), place)
        if event.tag.endswith(":str"):
            return Scalar(event.value, place)
        value = resolve(event.value)
        return Scalar(float(value) if event.tag.endswith(":float") and isinstance(value, int) else value, place)

    def _is_plain(self, event: Any) -> bool:
        if event.tag in (None, "!") or event.tag in _PLAIN_TAGS:
            return True
        tag = event.tag.replace("tag:yaml.org,2002:", "!!")
        self._report(self._at(event), f"the tag {tag} is not allowed; a scenario holds plain values", self._path())
        return False

    def _start(self, event: Any) -> None:
        place = self._at(event)
        if len(self.open) >= MAX_DEPTH:
            self._stop(place, f"values are nested more than {MAX_DEPTH} deep")
        if event.anchor:
            self.anchors[event.anchor] = None
        mapping = isinstance(event, yaml.MappingStartEvent)
        self.open.append(_Open(mapping, place, event.anchor, broken=not self._is_plain(event)))

    def _alias(self, event: Any) -> None:
        place = self._at(event)
        if event.anchor not in self.anchors:
            self._report(place, f"*{event.anchor} names no anchor; write &{event.anchor} before it", self._path())
            self._add(Scalar(Broken(), place), 1, None)
            return
        found = self.anchors[event.anchor]
        if found is None:
            self._report(place, f"*{event.anchor} would contain itself", self._path())
            self._add(Scalar(Broken(), place), 1, None)
        else:
            self._add(found[0], found[1], None)

    def _add(self, node: Node, size: int, anchor: str | None) -> None:
        self.count += 1
        if self.count > MAX_VALUES:
            self._stop(node.place, f"the file holds more than {MAX_VALUES:,} values")
        if anchor:
            self.anchors[anchor] = (node, size)
        if not self.open:
            self.root = node
            return
        level = self.open[-1]
        level.nodes.append(node)
        level.size += size
        if level.size > self.count + MAX_REPEATED:
            self._stop(level.place, f"aliases repeat more than {MAX_REPEATED:,} values here")

    def _close(self, done: _Open) -> Node:
        if done.broken:
            return Scalar(Broken(), done.place)
        if not done.mapping:
            return Items(tuple(done.nodes), done.place)
        entries: dict[str, Entry] = {}
        merged: list[Node] = []
        # an odd number of nodes is a key whose value never came
        for key, value in zip(done.nodes[::2], done.nodes[1::2], strict=False):
            name = self._name(key)
            if name is None:
                continue
            if name == "<<":
                merged.extend(value.items if isinstance(value, Items) else [value])
            elif name in entries:
                first = entries[name].key
                text = f"this key was given already in line {first.line}; a key may be given once"
                self._report(key.place, text, ".".join(filter(None, [self._path(), name])))
            else:
                entries[name] = Entry(key.place, value)
        for source in merged:
            if isinstance(source, Keys):
                entries = {**source.entries, **entries}
            else:
                self._report(source.place, "`<<` takes a mapping, or a list of mappings", self._path())
        return Keys(entries, done.place)

    def _name(self, key: Node) -> str | None:
        if isinstance(key, Scalar) and isinstance(key.value, str):
            return key.value
        text = show(plain(key))
        self._report(key.place, f"a key must be text, got {text}; quote it if it is meant so", self._path())
        return None

    def _syntax(self, error: yaml.MarkedYAMLError) -> None:
        problem = str(error.problem or error)
        mark, start = error.problem_mark, error.context_mark
        if problem in ("could not find expected ':'", "found unexpected end of stream") and start:
            mark, start = start, None
        place = Place(self.file, mark.line + 1, mark.column + 1) if mark else Place(self.file)
        if "nesting" in problem:  # newer versions of the parser have a limit of their own, read ahead of our count
            self._report(place, f"values are nested more than {MAX_DEPTH} deep")
            return
        opened = f"; it starts in line {start.line + 1}" if start and mark and start.line != mark.line else ""
        self._report(place, f"not valid YAML: {_in_words(problem, error.context)}{opened}")


def _in_words(problem: str, context: Any) -> str:
    for start, words in _SYNTAX.items():
        if problem.startswith(start):
            return words
    return problem if not context else f"{problem} ({context})"


_SYNTAX = {
    "found character that cannot start": "a value cannot start with this character; indent with spaces, not tabs, "
    "and quote text that starts with @, % or `",
    "found a tab character": "indent with spaces, not tabs",
    "mapping values are not allowed": "`:` is not expected here; check the indentation, or quote text that holds `: `",
    "could not find expected ':'": "this line has no `key: value`",
    "found unexpected end of stream": "this quote is never closed",
    "did not find expected key": "a key is expected here; keys of one mapping start in the same column",
    "did not find expected ',' or ']'": "this list needs `,` between its values and `]` at its end",
    "did not find expected ',' or '}'": "this mapping needs `,` between its values and `}` at its end",
    "did not find expected '-' indicator": "`- ` is expected here; items of one list start in the same column",
}

_CONSTANTS: dict[str, bool | float | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((s + w for s in ("", "+") for w in (".inf", ".Inf", ".INF")), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}
_STARTS = frozenset("+-.0123456789~nNtTfF")
"""What a word that is not text starts with."""
_BASED = re.compile(r"0o[0-7]+\Z|0x[0-9a-fA-F]+\Z")
_NUMBER = re.compile(r"[-+]?(?:(?P<whole>[0-9]+)|(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?)\Z")
_MAX_DIGITS = 400
"""Longer integers stay text: nothing here counts that far, and Python refuses to read them beyond 4,300 digits."""


def resolve(text: str) -> str | int | float | bool | None:
    """Return the value of an unquoted word.

    >>> [resolve(word) for word in ("1e-3", "no", "012", "1:30", "0o17", "-.inf", "~", "True", "1_000")]
    [0.001, 'no', 12, '1:30', 15, -inf, None, True, '1_000']
    """
    if text and text[0] not in _STARTS:
        return text
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if len(text) > _MAX_DIGITS:
        return text
    if number := _NUMBER.match(text):
        return int(text) if number["whole"] else float(text)
    return int(text, 0) if _BASED.match(text) else text
