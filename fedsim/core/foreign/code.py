"""Importing a user's files: under names of our own, so that nothing of theirs collides and `sys.path` stays as it is.

A file `net.py` in a folder becomes the module `fedsim_code.<folder>.net`. What it imports from its own folder is found
there first, as if it were a script; everything else is imported as ever. Its functions may be pickled by reference:
another machine that has been given the same sources knows the same names.
"""

from __future__ import annotations

import ast
import builtins
import importlib
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, spec_from_loader
from types import CodeType, ModuleType
from typing import Any

from fedsim.core.foreign.chance import no_unseeded

PACKAGE = "fedsim_code"
"""The package under which all of a user's files are imported."""


@dataclass(frozen=True)
class Source:
    """The text of one module, and where it was read."""

    path: str
    text: bytes
    package: bool = False


Sources = Mapping[str, Source]
"""Sources by the full names of their modules."""


class _Loader:
    """Executes a source; what it imports goes through its folder first."""

    def __init__(self, name: str, source: Source) -> None:
        self._name, self._source = name, source

    def create_module(self, spec: ModuleSpec) -> None:
        """Leave the making of the module to Python."""

    def exec_module(self, module: ModuleType) -> None:
        """Execute the source in a module."""
        module.__file__ = self._source.path or None
        root = ".".join(self._name.split(".")[:2])
        if self._name.startswith(f"{PACKAGE}.") and self._name != root:
            module.__dict__["__builtins__"] = {**vars(builtins), "__import__": _importer(root)}
        exec(self.get_code(self._name), module.__dict__)

    def get_code(self, name: str) -> CodeType:
        """Return the compiled source."""
        return compile(self._source.text, self._source.path or f"<{name}>", "exec", dont_inherit=True)

    def get_source(self, name: str) -> str:
        """Return the text, for tracebacks on machines that have no such file."""
        return self._source.text.decode("utf-8", "replace")

    def is_package(self, name: str) -> bool:
        """Return whether the module may hold others."""
        return self._source.package


class _Finder:
    """Finds what stands under `fedsim_code`, and what another machine was given."""

    def __init__(self) -> None:
        self.given: dict[str, Source] = {}
        self.roots: dict[str, Folder] = {}

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: object = None) -> ModuleSpec | None:
        """Return how to load a module, None when it is not ours."""
        source = self._source(name)
        if source is None:
            return None
        loader: Any = _Loader(name, source)
        return spec_from_loader(name, loader, origin=source.path or None, is_package=source.package)

    def _source(self, name: str) -> Source | None:
        if name in self.given:
            return self.given[name]
        package, _, rest = name.partition(".")
        if package != PACKAGE:
            return None
        root, _, inside = rest.partition(".")
        if not inside:
            return Source("", b"", package=True)
        return self.roots[root].read(inside) if root in self.roots else None


_finder = _Finder()


def _importer(root: str) -> Any:
    """Return what stands for `__import__` in the modules of a folder: names of its own come first."""

    def importing(
        name: str,
        globals: Mapping[str, Any] | None = None,
        locals: Mapping[str, Any] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        first = name.partition(".")[0]
        if level == 0 and _own(root, first):
            module = builtins.__import__(f"{root}.{name}", globals, locals, fromlist or ("__name__",), 0)
            return module if fromlist else sys.modules[f"{root}.{first}"]
        return builtins.__import__(name, globals, locals, fromlist or (), level)

    return importing


def _own(root: str, first: str) -> bool:
    folder = _finder.roots.get(root.rpartition(".")[2])
    return folder.has(first) if folder is not None else f"{root}.{first}" in _finder.given


class Folder:
    """A folder from which modules are imported. `prefix` is what stands before their names, empty for plain ones."""

    def __init__(self, path: str, prefix: str = "") -> None:
        self.path, self.prefix = path, prefix
        self.loaded: dict[str, Source] = {}

    def named(self, dotted: str) -> str:
        """Return the full name of a module of this folder."""
        return f"{self.prefix}.{dotted}" if self.prefix else dotted

    def has(self, first: str) -> bool:
        """Return whether a top-level name is one of this folder's; a folder without `__init__.py` comes last."""
        if first == "fedsim":
            return False
        base = os.path.join(self.path, first)
        if os.path.isfile(f"{base}.py") or os.path.isfile(os.path.join(base, "__init__.py")):
            return True
        return os.path.isdir(base) and any(n.endswith(".py") for n in os.listdir(base)) and not _elsewhere(first)

    def file(self, dotted: str) -> str | None:
        """Return the file of a module: `a.b` is a/b.py or a/b/__init__.py; a bare folder has none."""
        base = os.path.join(self.path, *dotted.split("."))
        return next((f for f in (os.path.join(base, "__init__.py"), f"{base}.py") if os.path.isfile(f)), None)

    def read(self, dotted: str) -> Source | None:
        """Read a module's source and keep what was read; None when there is none."""
        file = self.file(dotted)
        if file is None:
            base = os.path.join(self.path, *dotted.split("."))
            return Source("", b"", package=True) if os.path.isdir(base) else None
        with open(file, "rb") as stream:
            source = Source(file, stream.read(), os.path.basename(file) == "__init__.py")
        self.loaded[dotted] = source
        return source

    def changed(self) -> bool:
        """Return whether a file that was imported holds something else by now."""
        return bool(self.others())

    def others(self) -> list[str]:
        """Return the files that hold something else by now than when they were imported."""
        return [source.path for source in self.loaded.values() if not _holds(source)]

    def closure(self, dotted: str) -> dict[str, Source]:
        """Return the sources of a module, and of all it imports from this folder, also inside functions, by name.

        The imports are read from the text: nothing is executed.
        """
        found: dict[str, Source] = {}
        waiting = [*_above(dotted)]
        while waiting:
            name = waiting.pop()
            if name in found or (file := self.file(name)) is None:
                continue
            with open(file, "rb") as stream:
                found[name] = source = Source(file, stream.read(), os.path.basename(file) == "__init__.py")
            waiting += [part for used in _imports(source, name) for part in _above(used) if self._follows(part)]
        return dict(sorted(found.items()))

    def _follows(self, dotted: str) -> bool:
        return self.has(dotted.partition(".")[0])


def _elsewhere(first: str) -> bool:
    try:
        return find_spec(first) is not None
    except (ImportError, ValueError):
        return False


def _holds(source: Source) -> bool:
    try:
        with open(source.path, "rb") as stream:
            return stream.read() == source.text
    except OSError:
        return False


def _above(dotted: str) -> list[str]:
    """Return a module and the packages it is in: importing it executes all of them."""
    parts = dotted.split(".")
    return [".".join(parts[: k + 1]) for k in range(len(parts))]


def _imports(source: Source, dotted: str) -> Iterator[str]:
    """Yield the dotted names that a text imports, as seen from its folder; a text that is no Python imports nothing."""
    try:
        tree = ast.parse(source.text)
    except (SyntaxError, ValueError):
        return
    here = dotted if source.package else dotted.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = node.module or ""
            if node.level:
                up = here.split(".")[: len(here.split(".")) - node.level + 1] if here else []
                start = ".".join([*up, *([node.module] if node.module else [])])
            yield from ([start] if start else [])
            yield from (f"{start}.{alias.name}".lstrip(".") for alias in node.names)


def folder_of(file: str) -> tuple[str, str]:
    """Return the folder in which a file is a module, and its dotted name there: packages are left by their top."""
    folder, name = os.path.split(file)
    parts = [name.removesuffix(".py")]
    if parts == ["__init__"]:
        folder, name = os.path.split(folder)
        parts = [name]
    while os.path.isfile(os.path.join(folder, "__init__.py")) and os.path.dirname(folder) != folder:
        folder, name = os.path.split(folder)
        parts.insert(0, name)
    return folder, ".".join(parts)


_generations: dict[str, int] = {}
_current: dict[str, Folder] = {}


def opened(path: str) -> Folder:
    """Return a folder of a user's files; one of which a file has changed since it was imported begins anew."""
    path = os.path.abspath(path)
    folder = _current.get(path)
    if folder is None or folder.changed():
        _listen()
        number = _generations[path] = _generations.get(path, 0) + 1
        words = re.sub(r"\W", "_", os.path.basename(path)) or "root"
        root = f"{words}_{sha256(path.encode()).hexdigest()[:8]}" + (f"_{number}" if number > 1 else "")
        folder = _current[path] = _finder.roots[root] = Folder(path, f"{PACKAGE}.{root}")
    return folder


def imported(folder: Folder, dotted: str) -> ModuleType:
    """Import a module of a folder, once; its errors go through, and it may not ask the system for chance."""
    with no_unseeded():
        return importlib.import_module(folder.named(dotted))


def received(sources: Sources) -> None:
    """Make sources that another process sent importable here; a module that can be found anyway is left alone."""
    _listen()
    for name, source in sources.items():
        if name in _finder.given or whereabouts(name) is not None:
            continue
        if name.partition(".")[0] == PACKAGE or not _elsewhere(name.partition(".")[0]):
            _finder.given |= {
                above: Source("", b"", package=True) for above in _above(name)[:-1] if above not in sources
            }
            _finder.given[name] = source


def _listen() -> None:
    if _finder not in sys.meta_path:
        sys.meta_path.append(_finder)


def whereabouts(module: str) -> tuple[Folder, str] | None:
    """Return the folder and the dotted name of a module that was imported from a user's files, else None."""
    package, _, rest = module.partition(".")
    root, _, dotted = rest.partition(".")
    folder = _finder.roots.get(root) if package == PACKAGE else None
    return None if folder is None or not dotted else (folder, dotted)
