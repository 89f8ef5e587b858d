"""References: `./file.py:Name`, `package.module:Name`, a word that an installed package registered, or an object.

A reference becomes a `Thing`: the class or function that is meant, where it stands, and of which files it is made.
"""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from fedsim.core.config.inputs import place_of
from fedsim.core.foreign.code import Folder, Source, folder_of, imported, opened, received, whereabouts
from fedsim.core.foreign.content import digest_of
from fedsim.core.foreign.failures import RefusedError, told
from fedsim.core.foreign.files import is_installed
from fedsim.core.foreign.words import did_you_mean

OBJECT = "object"
"""How the text of an object without a source begins: `object:Net`."""


class Object:
    """A Python object that stands where a scenario otherwise names something."""

    def __init__(self, target: Any) -> None:
        self.target = target

    def __str__(self) -> str:
        whose = self.target if hasattr(self.target, "__qualname__") else type(self.target)
        return f"the class {whose.__qualname__}" if isinstance(self.target, type) else str(whose.__qualname__)


class ObjectText(str):
    """The text that stands for an object in a scenario. The object comes along as long as nobody writes it down."""

    __slots__ = ("target",)
    target: Any

    @classmethod
    def of(cls, text: str, target: Any) -> ObjectText:
        """Return the text with its object."""
        made = cls(text)
        made.target = target
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        if self.startswith(f"{OBJECT}:"):
            return ObjectText.of, (str(self), self.target)
        return str, (str(self),)


@dataclass(frozen=True, eq=False)
class Thing:
    """What a reference means.

    Attributes
    ----------
    text : as it stands in the scenario. target : the class, function or object.
    files : what identifies it, by a name that holds on every machine (`rule.py:Fading`, `helpers.py`).
    module, name : by what it is imported on another machine; empty when it can only be sent itself.
    given : the keys beside it in the scenario. content : its text names what it holds, as that of arrays does.
    """

    text: str
    target: Any
    files: Mapping[str, Path] = field(default_factory=dict)
    module: str = ""
    name: str = ""
    given: tuple[str, ...] = ()
    home: Folder | None = None
    content: bool = False

    @property
    def hashed(self) -> bool:
        """Whether its source is part of what a run is."""
        return self.content or not self.needed

    @property
    def needed(self) -> bool:
        """Whether nobody can find it by its text: who goes on with the run must give it again."""
        return str(self.text).startswith(f"{OBJECT}:")

    @property
    def place(self) -> str:
        """FILE:LINE where it is defined; its text where nobody knows."""
        return defined(self.target) or str(self.text)

    def beside(self, keys: tuple[str, ...]) -> Thing:
        """Return the same with keys beside it."""
        return replace(self, given=keys)

    def sources(self) -> dict[str, Source]:
        """Return the sources that another machine needs to import it."""
        if self.home is None:
            return {}
        inside = self.module.removeprefix(f"{self.home.prefix}.") if self.home.prefix else self.module
        return {self.home.named(name): source for name, source in self.home.closure(inside).items()}

    def __reduce__(self) -> tuple[Any, ...]:
        if not self.module:
            return Thing, (self.text, self.target, {}, "", "", self.given)
        return _arrived, (self.sources(), str(self.text), self.module, self.name, dict(self.files), self.given)


def _arrived(
    sources: Mapping[str, Source],
    text: str,
    module: str,
    name: str,
    files: Mapping[str, Path],
    given: tuple[str, ...],
) -> Thing:
    received(sources)
    target = _attribute(importlib.import_module(module), name, module)
    return Thing(text, target, files, module, name, given)


class Carried:
    """A value for another machine, with the sources of its own class: it arrives as the value itself."""

    def __init__(self, value: Any, sources: Mapping[str, Source]) -> None:
        self._value, self._sources = value, sources

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpacked, (Sources(self._sources), self._value)


class Sources(dict[str, Source]):
    """Sources that make themselves importable where they are unpickled, before what comes after them."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _made_known, (dict(self),)


def _made_known(sources: Mapping[str, Source]) -> None:
    received(sources)


def _unpacked(_: None, value: Any) -> Any:
    return value


def carried(value: Any) -> Any:
    """Return a value so that it can be sent: with the sources of its class, where that is a user's own."""
    cls = type(value)
    if cls.__module__.partition(".")[0] in ("fedsim", "builtins", "numpy"):
        return value
    sources = of_object(cls).sources()
    return Carried(value, sources) if sources else value


def defined(target: Any) -> str:
    """Return FILE:LINE of a class or function, or of an object's class; empty when it has no source."""
    whose = target if inspect.isclass(target) or inspect.isroutine(target) else type(target)
    try:
        return f"{inspect.getsourcefile(whose)}:{inspect.getsourcelines(whose)[1]}"
    except (OSError, TypeError):
        return ""


def is_reference(word: str) -> bool:
    """Return whether a word is a reference by its form; other words may be entry points.

    >>> [is_reference(word) for word in ("./rule.py:Fading", "pkg.rules:Fading", "rule.py", "fedavg")]
    [True, True, True, False]
    """
    return ":" in word or _is_file(word)


def _is_file(path: str) -> bool:
    return path.endswith(".py") or path.startswith(("./", "../", "/", "~"))


def entry_points(group: str) -> dict[str, metadata.EntryPoint]:
    """Return what installed packages have registered, by its word."""
    return {point.name: point for point in sorted(metadata.entry_points(group=group), key=lambda point: point.name)}


_given: ContextVar[Mapping[str, Any] | None] = ContextVar("objects", default=None)


@contextmanager
def given(objects: Mapping[str, Any]) -> Iterator[None]:
    """Let texts such as `object:Net` mean these objects for a while."""
    token = _given.set({**(_given.get() or {}), **objects})
    try:
        yield
    finally:
        _given.reset(token)


def find(word: str, folder: str, group: str) -> Thing:
    """Return what a word means, with files relative to `folder`; `group` is where packages register such words.

    Raises
    ------
    RefusedError : it is not there, or its module cannot be imported.
    """
    if isinstance(word, ObjectText):
        return of_object(word.target, word)
    known = _given.get() or {}
    if word in known:
        return of_object(known[word], word)
    if not is_reference(word):
        return replace(_of_module(entry_points(group)[word].value, folder), text=word)
    path, _, name = word.rpartition(":")
    if path == OBJECT:
        raise RefusedError(f"{name} was given as a Python object that has no source; give the same object again")
    if not path or not name:
        path, name = (path or name), ""
    if _is_file(path):
        file = os.path.normpath(place_of(path, folder))
        return _in_file(word, path, file, name)
    return _of_module(word, folder)


def _in_file(word: str, path: str, file: str, name: str) -> Thing:
    if not os.path.isfile(file):
        what = "is a folder" if os.path.isdir(file) else "is not there"
        beside = [n for n in _listed(os.path.dirname(file)) if n.endswith(".py")]
        raise RefusedError(f"{file} {what}{did_you_mean(os.path.basename(file), beside)}")
    if not file.endswith(".py"):
        raise RefusedError(f"{file} is no Python file; write file.py:Name")
    where, dotted = folder_of(file)
    if "." in os.path.basename(file).removesuffix(".py"):
        raise RefusedError(f"{file}: a module's name has no dots but that of .py; rename the file")
    folder = opened(where)
    module = _carefully(partial(imported, folder, dotted), file)
    target = _attribute(module, name, file, path)
    return Thing(word, target, _files(folder, dotted, name), folder.named(dotted), name, home=folder)


def _of_module(word: str, folder: str) -> Thing:
    dotted, _, name = word.partition(":")
    if not all(part.isidentifier() for part in dotted.split(".")):
        raise RefusedError(f"{word!r} is no reference; write ./file.py:Name or package.module:Name")
    top = dotted.partition(".")[0]
    for beside in (folder, os.getcwd()) if top not in sys.modules and not _importable(top) else ():
        if Folder(beside).has(top):
            local = opened(beside)
            module = _carefully(partial(imported, local, dotted), word)
            return Thing(
                word,
                _attribute(module, name, dotted, dotted),
                _files(local, dotted, name),
                local.named(dotted),
                name,
                home=local,
            )
    module = _carefully(partial(importlib.import_module, dotted), word)
    home = _home(module)
    files = _files(home, dotted, name) if home is not None else _installed(dotted, name)
    return Thing(word, _attribute(module, name, dotted, dotted), files, dotted, name, home=home)


def _importable(top: str) -> bool:
    try:
        return find_spec(top) is not None
    except (ImportError, ValueError):
        return False


def _carefully(importing: Callable[[], ModuleType], what: str) -> ModuleType:
    try:
        module: ModuleType = importing()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a user's module may also call sys.exit
        raise RefusedError(f"{what} cannot be imported: {told(error)}") from error
    return module


def _attribute(module: ModuleType, name: str, where: str, path: str = "") -> Any:
    own = [
        n for n, v in vars(module).items() if not n.startswith("_") and getattr(v, "__module__", "") == module.__name__
    ]
    if not name:
        example = f"; for instance {path}:{own[0]}" if own else ""
        raise RefusedError(f"{where}: say what is meant in it{example}")
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            holds = f"; it defines {', '.join(own[:5])}" if own else ""
            raise RefusedError(f"{where} has no {name!r}{did_you_mean(name, own) or holds}")
        found = getattr(found, part)
    return found


def _listed(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def _files(folder: Folder, dotted: str, name: str) -> dict[str, Path]:
    """Return the files of a module, and of what it imports from its folder, by their names in the folder."""
    found = {}
    for inside, source in folder.closure(dotted).items():
        role = Path(source.path).relative_to(folder.path).as_posix()
        found[f"{role}:{name}" if inside == dotted else role] = Path(source.path)
    return found


def _home(module: ModuleType) -> Folder | None:
    """Return the folder of a module that belongs to no installed package; None for one that does, and for ours."""
    file = getattr(module, "__file__", None)
    if not file or not file.endswith(".py") or is_installed(file) or module.__name__.startswith("fedsim."):
        return None
    parts = module.__name__.split(".")
    up = len(parts) - (0 if os.path.basename(file) == "__init__.py" else 1)
    return Folder(str(Path(file).parents[up]))


def _installed(dotted: str, name: str) -> dict[str, Path]:
    """Return what tells an installed package's version: its METADATA."""
    top = dotted.partition(".")[0]
    names = _distributions(tuple(sys.path)).get(top, ()) if top != "fedsim" else ()
    found = {}
    for one in names:
        files = metadata.distribution(one).files or ()
        about = next((f for f in files if f.name == "METADATA" and ".dist-info" in str(f.parent)), None)
        if about is not None:
            found[f"{dotted}:{name} of {one}"] = Path(str(about.locate()))
    return found


@lru_cache(maxsize=4)
def _distributions(_: tuple[str, ...]) -> Mapping[str, list[str]]:
    return metadata.packages_distributions()


def of_object(target: Any, text: str | None = None) -> Thing:
    """Return the thing that a Python object is: by its source where it has one, else as it is."""
    name = getattr(target, "__qualname__", type(target).__qualname__)
    module = sys.modules.get(getattr(target, "__module__", None) or "")
    direct = inspect.isclass(target) or inspect.isfunction(target)
    if not direct or module is None or "<" in name or not _is_there(module, name, target):
        digest = digest_of(target)
        said = text or f"{OBJECT}:{f'arrays-{digest}' if digest else name}"
        return Thing(ObjectText.of(said, target), target, name=name, content=bool(digest))
    known = whereabouts(module.__name__)
    if known is not None:
        folder, dotted = known
        said = text or f"{folder.file(dotted)}:{name}"
        return Thing(
            ObjectText.of(said, target), target, _files(folder, dotted, name), module.__name__, name, home=folder
        )
    home = _home(module)
    if module.__name__ == "__main__":
        file = os.path.abspath(str(module.__file__))
        where, dotted = folder_of(file)
        files = _files(Folder(where), dotted, name)
        return Thing(ObjectText.of(text or f"{file}:{name}", target), target, files, name=name)
    dotted = module.__name__
    said = f"{os.path.abspath(str(module.__file__))}:{name}" if home is not None else f"{dotted}:{name}"
    files = _files(home, dotted, name) if home is not None else _installed(dotted, name)
    return Thing(ObjectText.of(text or said, target), target, files, dotted, name, home=home)


def _is_there(module: ModuleType, name: str, target: Any) -> bool:
    file = getattr(module, "__file__", None)
    if not file or not file.endswith(".py") or not os.path.isfile(file):
        return False
    found: Any = module
    for part in name.split("."):
        found = getattr(found, part, None)
    return found is target
