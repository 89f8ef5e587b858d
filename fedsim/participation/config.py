"""What every entry under `participation:` is: a frozen config that turns a world into a process."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from fedsim.core import Process, ScenarioError, World
from fedsim.core.rng import digest


@dataclass(frozen=True, kw_only=True)
class Participation(ABC):
    """The options of one kind of process. Concrete classes carry `kind: Literal["..."]`, the word in the scenario."""

    kind: str
    """The word that chooses this kind of process."""

    @abstractmethod
    def process(self, world: World) -> Process:
        """Return the process in a world; raises ScenarioError when the two do not fit."""

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield (key, message) for options that are wrong whatever the world; keys may be dotted (parts included)."""
        yield from ()

    def problems_in(self, world: World) -> Iterator[tuple[str, str]]:
        """Yield (key, message) for options that do not fit this number of clients, or a file that is not usable.

        It looks at `world.num_clients` and `world.folder` only, never at labels.
        """
        yield from ()

    def nobody_comes(self, world: World, rounds: int) -> str | None:
        """Return why nobody can be there in any of rounds 1..`rounds`, None when somebody may. `check` has passed."""
        return None

    def check(self, world: World) -> None:
        """Raise one ScenarioError that names everything that is wrong."""
        found = [*self.problems(), *self.problems_in(world)]
        if found:
            raise ScenarioError("\n".join(f"participation.{key}: {message}" for key, message in found))


def prefixed(key: str, problems: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Yield a part's problems with the keys as seen from the whole."""
    return ((f"{key}.{inner}", message) for inner, message in problems)


def part_of(world: World, place: int, first: int = 0, size: int | None = None) -> World:
    """Return the world of one part of a composition: its own draws, and `size` clients counted from `first`.

    The part's seed is a hash of the whole's seed and the part's place, so that no two parts share a draw.
    """
    size = world.num_clients if size is None else size
    counts = world.label_counts
    return replace(
        world,
        seed=digest(world.seed, "participation.part", place),
        num_clients=size,
        label_counts=None if counts is None else lambda: np.asarray(counts())[first : first + size],
    )
