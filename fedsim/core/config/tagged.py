"""A union of frozen dataclasses told apart by one key, e.g. `kind: bernoulli`.

`Annotated[A | B, Tagged("kind")]` says that each class has a field `kind: Literal["a"] = "a"`. The marker speaks
pydantic's schema protocol (plain dictionaries), so that a config module need not import pydantic.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, get_args

from fedsim.core.foreign.door import Door


@dataclass(frozen=True)
class Tagged:
    """Marks a union whose members are chosen by the value of `key`."""

    key: str

    def tag(self, cls: type) -> str:
        """Return the word that chooses a member: the default of its field `key`."""
        found = next(f.default for f in fields(cls) if f.name == self.key)
        assert isinstance(found, str), f"{cls.__name__}.{self.key} needs a default"
        return found

    def members(self, union: Any) -> dict[str, type]:
        """Return the members of a union by their tags."""
        return {self.tag(cls): cls for cls in (get_args(union) or (union,))}

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> dict[str, Any]:
        """Return a tagged-union core schema, so that errors speak of the chosen member alone."""
        choices = {tag: handler.generate_schema(cls) for tag, cls in self.members(source).items()}
        return {"type": "tagged-union", "discriminator": self.key, "choices": choices}


@dataclass(frozen=True)
class OneOf(Tagged):
    """Marks a place where any member of a catalogue may stand, told apart by the value of `key`.

    The members are looked up when asked: a catalogue may grow, and a member may hold members. With a `door` a reference
    to foreign code may stand there too, `./file.py:Name`, `package.module:Name` or a word that a package registered.
    """

    catalogue: Callable[[], Mapping[str, type]]
    door: Door | None = None
    spelled: Callable[[str], Mapping[str, Any]] | None = None
    """Given, a word alone may stand for a member: what the word means as a mapping."""

    def members(self, union: Any) -> dict[str, type]:
        """Return the configs of the catalogue by their tags."""
        return dict(self.catalogue())
