"""Doors: how what a reference means becomes a config class like any other.

A place in a scenario that takes foreign things says so in one word more:

    AnyStrategy = Annotated[Any, OneOf("name", catalogue, door=Door("fedsim.strategies", WHAT, config))]

`config` turns a `Thing` into a frozen dataclass with the place's key and the options that the scenario may give, most
simply by `made`, or raises `RefusedError` and says what is wrong where. Reading, checks with line and column, hashes,
`--set`, sweeps, schema and lists, copies in the run folder and other machines need nothing else.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, is_dataclass, make_dataclass
from functools import partial
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, ClassVar, Literal, Union, get_args, get_origin, get_type_hints

from fedsim.core.config.inputs import InputPath, Reads, input_fields, place_of
from fedsim.core.foreign.failures import RefusedError, guarded, told
from fedsim.core.foreign.reference import Object, Thing, entry_points, find, is_reference, of_object

WORD = Annotated[str, Reads(or_name=True)]
"""The type of the key at which a reference stands: its files are part of what a run is."""


@dataclass(frozen=True)
class Option:
    """A key that may stand beside a reference."""

    name: str
    annotation: Any
    default: Any = MISSING


class Foreign:
    """Mixed into every config class that stands for foreign code."""

    thing: ClassVar[Thing]
    door: ClassVar[Door]
    key: ClassVar[str]
    passed: ClassVar[tuple[Option, ...]] = ()

    def options(self, folder: str | None = None) -> dict[str, Any]:
        """Return what foreign code is called with: its own options by name; paths start at `folder`."""
        found = {option.name: getattr(self, option.name) for option in self.passed}
        for option in self.passed:
            value = found[option.name]
            if option.annotation is InputPath and value is not None:
                found[option.name] = Path(place_of(value, folder or "."))
            elif get_origin(option.annotation) is tuple and isinstance(value, list):
                found[option.name] = tuple(value)
        return found

    def inputs(self, folder: str) -> Mapping[str, Mapping[str, Path]]:
        """Return the files of the code, beside those that the options name."""
        above = getattr(super(), "inputs", None)
        return {**({} if above is None else above(folder)), self.key: self.thing.files}

    def __reduce__(self) -> tuple[Any, ...]:
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.init and f.name != self.key}  # type: ignore[arg-type]
        return _revived, (self.door, self.thing, values)


def _revived(door: Door, thing: Thing, values: Mapping[str, Any]) -> Any:
    return door.config_of(thing)(**values)


def _nothing(value: Any) -> bool:
    return False


@dataclass(frozen=True)
class Door:
    """What foreign things a place takes.

    Attributes
    ----------
    group : the entry point group in which installed packages register such things.
    what : what such a thing must be, in words, as in "must be {what}".
    config : makes the config class of a thing; raises RefusedError when it is something else.
    takes : whether a Python value that a file could hold too, such as a mapping of arrays, is meant as such a thing.
    """

    group: str
    what: str
    config: Callable[[Door, Thing], type] = field(repr=False)
    takes: Callable[[Any], bool] = field(default=_nothing, repr=False)

    def words(self) -> Collection[str]:
        """Return the words that installed packages have registered."""
        return entry_points(self.group)

    def opens(self, word: Any) -> bool:
        """Return whether a word, which is no built-in's, means something foreign."""
        return isinstance(word, Object) or (isinstance(word, str) and (is_reference(word) or word in self.words()))

    def choose(self, word: Any, folder: str, keys: Sequence[str] = ()) -> type:
        """Return the config class of a word or object with some keys beside it.

        Raises
        ------
        RefusedError : there is no such thing, its module cannot be imported, or it is not what stands here.
        """
        thing = of_object(word.target) if isinstance(word, Object) else find(word, folder, self.group)
        return self.config_of(thing.beside(tuple(keys)))

    def config_of(self, thing: Thing) -> type:
        """Return the config class of a thing, always the same one."""
        kept = thing.given if _takes_any(thing.target) else ()
        known = (self.group, str(thing.text), id(thing.target), tuple(sorted(kept)), tuple(thing.files.items()))
        if known not in _made:
            made = self.config(self, thing)
            _made[known] = made
        return _made[known]


_made: dict[Any, type] = {}


def _takes_any(target: Any) -> bool:
    if is_dataclass(target) or not callable(target):
        return False
    try:
        return any(p.kind is p.VAR_KEYWORD for p in inspect.signature(target).parameters.values())
    except (ValueError, TypeError):
        return True


def refuse(door: Door, thing: Thing, why: str = "") -> RefusedError:
    """Return the error for a thing that is not what stands at a place."""
    kind = "class" if isinstance(thing.target, type) else "function" if inspect.isroutine(thing.target) else "object"
    called = f"{thing.place}: the {kind} {thing.name or thing.text}"
    return RefusedError(f"{called} {why}" if why else f"must be {door.what}; {called} is not")


def derived(door: Door, thing: Thing, bases: type | tuple[type, ...], needs: str) -> type[Any]:
    """Return a user's own config class: a frozen dataclass derived from one of `bases`, with nothing left abstract.

    `needs` says what it must define, as in "a rule has start, ask and step".
    """
    cls = thing.target
    if not isinstance(cls, type) or not issubclass(cls, bases):
        raise refuse(door, thing)
    if not is_dataclass(cls) or (inspect.get_annotations(cls) and "__dataclass_params__" not in cls.__dict__):
        raise refuse(door, thing, "lacks the line @dataclass(frozen=True, kw_only=True) above it")
    lacking = sorted(getattr(cls, "__abstractmethods__", ()))
    if lacking:
        raise refuse(door, thing, f"lacks {' and '.join(lacking)}; {needs}")
    return cls


def made(
    door: Door,
    thing: Thing,
    key: str,
    base: type,
    *,
    options: Sequence[Option] = (),
    methods: Mapping[str, Any] | None = None,
    guard: Sequence[str] = (),
    yields: Collection[str] = (),
) -> type:
    """Return a config class for a thing: `base`, with the thing's options as keys.

    Parameters
    ----------
    key : the key at which the reference stands. options : what foreign code is called with.
    methods : what the class does, in place of the base's. guard : its methods that blame the user's file.
    yields : keys of the base that make way for an option of the same name.
    """
    own = {f.name for f in fields(base)} if is_dataclass(base) else set()
    taken = sorted({option.name for option in options} & (own - {*yields} | {key}))
    if taken:
        raise refuse(door, thing, f"has a parameter {taken[0]!r}, which is a key of this section itself; rename it")
    parts: list[Any] = [(key, WORD, field(default=thing.text))]
    for option in options:
        default = option.default
        given = field() if default is MISSING else field(default_factory=partial(_same, default))
        parts.append((option.name, option.annotation, given))
    namespace: dict[str, Any] = {"thing": thing, "door": door, "key": key, "passed": tuple(options)}
    namespace |= {"__doc__": inspect.getdoc(thing.target) or f"{thing.text}.", "__module__": base.__module__}
    namespace |= {name: guarded(getattr(base, name), str(thing.text)) for name in guard}
    namespace |= methods or {}
    name = (thing.name or "Foreign").rpartition(".")[2].strip("<>")
    try:
        cls: type = make_dataclass(name, parts, bases=(Foreign, base), frozen=True, kw_only=True, namespace=namespace)
        get_type_hints(cls, include_extras=True)
        input_fields(cls)
    except (TypeError, NameError, AttributeError, ValueError) as error:
        raise refuse(door, thing, f"cannot be read: {told(error)}") from error
    return cls


def _same(value: Any) -> Any:
    return value


def options_of(
    door: Door, thing: Thing, *, without: Collection[str] = (), target: Any = None
) -> tuple[tuple[Option, ...], frozenset[str]]:
    """Return the options of a class or function, and those names of `without` that its signature has.

    A dataclass has its fields, everything else the parameters of its signature; one without annotation takes any plain
    value, `**kwargs` any key. `without` are parameters that the run itself gives. Types that a file cannot hold take
    any plain value; a parameter whose default is no plain value keeps it.
    """
    target = thing.target if target is None else target
    try:
        signature = inspect.signature(target)
        hints = _hints(target)
    except (ValueError, TypeError, NameError) as error:
        raise refuse(door, thing, f"has a signature that cannot be read: {error}") from error
    found, named, free = [], set(), False
    for name, parameter in signature.parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            free = True
        elif parameter.kind is parameter.VAR_POSITIONAL:
            continue
        elif name in without:
            named.add(name)
        elif parameter.kind is parameter.POSITIONAL_ONLY:
            if parameter.default is parameter.empty:
                raise refuse(door, thing, f"has a parameter {name!r} that cannot be given by name")
        else:
            default = _default(target, name, parameter)
            annotation = _plain(hints.get(name, Any))
            if default is MISSING or is_plain(_listed(default)):
                found.append(Option(name, annotation, _listed(default)))
    if free:
        known = {option.name for option in found} | {*without}
        found += [Option(name, Any) for name in thing.given if name not in known]
    return tuple(found), frozenset(named)


def _hints(target: Any) -> dict[str, Any]:
    whose = target
    if isinstance(target, type) and not is_dataclass(target):
        found: Any = vars(target).get("__init__") or getattr(target, "__init__", None)
        whose = found if inspect.isfunction(found) else target.__new__
    try:
        return get_type_hints(whose, include_extras=True)
    except TypeError:
        return {}


def _default(target: Any, name: str, parameter: inspect.Parameter) -> Any:
    if is_dataclass(target):
        one = next((f for f in fields(target) if f.name == name), None)
        if one is not None and one.default_factory is not MISSING:
            return one.default_factory()
    return MISSING if parameter.default is parameter.empty else parameter.default


def is_plain(value: Any) -> bool:
    """Return whether a scenario file can hold a value."""
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and is_plain(inner) for key, inner in value.items())
    if isinstance(value, list | tuple):
        return all(map(is_plain, value))
    return (
        value is None or type(value) in (bool, int, float, str) or (is_dataclass(value) and not isinstance(value, type))
    )


def _listed(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value


def _plain(annotation: Any) -> Any:
    """Return what of a type a file can hold: a path is an input file, what no file holds is any plain value."""
    if annotation is Path:
        return InputPath
    annotation = {list: list[Any], tuple: tuple[Any, ...], dict: Mapping[str, Any]}.get(annotation, annotation)
    return annotation if _holdable(annotation) else _optional_path(annotation)


def _optional_path(annotation: Any) -> Any:
    arms = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else ()
    return InputPath | None if set(arms) == {Path, NoneType} else Any


def _holdable(annotation: Any) -> bool:
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _holdable(parts[0])
    if origin is Literal or annotation in (bool, int, float, str, NoneType, None, Any, list, tuple, dict, ...):
        return True
    if origin in (Union, UnionType, list, tuple, dict, Mapping, Sequence):
        return all(map(_holdable, parts))
    return is_dataclass(annotation)
