"""What every entry under `participation:` is: a frozen config that turns a world into a process."""

from __future__ import annotations

from abc import ABC
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from fedsim.core import Process, ScenarioError, World
from fedsim.core.config.plain import LATER
from fedsim.core.rng import digest
from fedsim.participation.laws import Law
from fedsim.participation.modulations import AnyModulation
from fedsim.participation.modulations.config import Modulation
from fedsim.participation.select import Select


@dataclass(frozen=True, kw_only=True)
class Participation(ABC):
    """The options of one kind of process. Concrete classes carry `kind: Literal["..."]`, the word in the scenario."""

    kind: str
    """The word that chooses this kind of process."""

    modulate: AnyModulation | None = field(default=None, metadata=LATER, repr=False)
    """How the probabilities of this process change from round to round; null: not at all."""
    select: Select | None = field(default=None, metadata=LATER, repr=False)
    """How many of those who are available the server takes; null: all of them."""

    def process(self, world: World) -> Process:
        """Return the process in a world, modulated and selected from; raises ScenarioError when they do not fit."""
        for key, message in self.modifier_problems_in(world):
            raise ScenarioError(f"participation.{key}: {message}")
        found = self.bare(world)
        if isinstance(self.modulate, Modulation):
            found = self.modulate.over(found, world)
        return self.select.over(found, world) if isinstance(self.select, Select) else found

    def bare(self, world: World) -> Process:
        """Return the process of this kind alone, which is what a kind defines; raises ScenarioError as `process`."""
        raise NotImplementedError(f"{type(self).__name__} defines no bare(world)")

    @property
    def modified(self) -> bool:
        """Whether it is modulated or selected from."""
        return isinstance(self.modulate, Modulation) or isinstance(self.select, Select)

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield (key, message) for options that are wrong whatever the world; keys may be dotted (parts included)."""
        yield from ()

    def problems_in(self, world: World) -> Iterator[tuple[str, str]]:
        """Yield (key, message) for options that do not fit this number of clients, or a file that is not usable.

        It looks at `world.num_clients` and `world.folder` only, never at labels.
        """
        yield from ()

    def modifier_problems_in(self, world: World) -> Iterator[tuple[str, str]]:
        """Yield (key, message) for more clients to select than there are, and for a modulation that needs the p_i."""
        if isinstance(self.select, Select) and self.select.size > world.num_clients:
            text = f"must not exceed the number of clients ({world.num_clients}), got {self.select.size}"
            yield "select.size", text
        if isinstance(self.modulate, Modulation) and self.modulate.needs_probabilities:
            yield from self._unfit(self.modulate, world)

    def misfits(self, world: World) -> Iterator[tuple[str, str]]:
        """Yield (key, message) for everything that does not fit a world: the kind's options and the modifiers."""
        yield from self.problems_in(world)
        yield from self.modifier_problems_in(world)

    def _unfit(self, modulation: Modulation, world: World) -> Iterator[tuple[str, str]]:
        """Yield (key, message) where the modulation does not fit the p_i; what a law draws is looked at in a run."""
        try:
            found = self.bare(world)
        except ScenarioError:  # a process that cannot be made has problems of its own
            return
        if found.probabilities is not None and isinstance(getattr(self, "probabilities", None), Law):
            return
        yield from modulation.unfit(found.probabilities)

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
