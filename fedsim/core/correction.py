"""A correction of clients' drift, a value that stands under any rule: `strategy: {correction: {name: ...}}`.

A rule says how the deltas of those who came become an update. A correction says what goes into every gradient before
there are deltas, what is remembered for it, and, where the method has a server's part, what the update becomes. Both
are pure, and neither knows the other.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from fedsim.core.client_half import NOTHING, ClientHalf, Order
from fedsim.core.foreign.door import Door, derived, made
from fedsim.core.foreign.reference import Thing
from fedsim.core.sums import Asked, Sums, Vector

if TYPE_CHECKING:
    from fedsim.core.contracts import Cohort, Parameters, Population, Rule
    from fedsim.core.local_work import LocalWork


@dataclass(frozen=True)
class Setting:
    """What a correction stands in: sections of the scenario that it may look at, and the rule above it."""

    rule: Rule
    client: LocalWork
    participation: Any
    memory: Any


@dataclass(frozen=True, kw_only=True)
class Correction(ClientHalf, ABC):
    """What stands under `correction:`. Each concrete one has a field `name: Literal["<module>"]`.

    Its `begin` and `remember` run where the clients are; `start`, `order`, `ask` and `step` on the server, before and
    after those of the rule. The state is a value as a rule's is.
    """

    linear: ClassVar[bool] = True
    """True when the rule's update is handed on as it is, so that what is said of its coefficients stays true."""

    off: ClassVar[str | None] = None
    """The option at whose zero nothing is corrected, so that the rule has its own bits; None when there is none."""

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield (key, message) for options that exclude each other."""
        yield from ()

    def problems_in(self, setting: Setting) -> Iterator[tuple[str, str]]:
        """Yield (dotted key of the scenario, message) for surroundings in which the method has no meaning."""
        yield from ()

    def memory_means(self, state: Any) -> Mapping[str, Vector]:
        """Return sum_i a_i m_i (d,) of memories by name, as the state holds them; an audit sums them anew."""
        return {}

    def exact(self) -> bool:
        """Return whether quadratics end at their optimum whoever comes; `fedsim check` tries the claim."""
        return False

    @abstractmethod
    def start(self, params: Parameters, population: Population) -> Any:
        """Return the state before round 1."""

    def order(self, state: Any, cohort: Cohort) -> Order:
        """Return what goes down beside the model."""
        return NOTHING

    def ask(self, state: Any, cohort: Cohort) -> Mapping[str, Asked]:
        """Return the sums this round needs beside the rule's own; see `Rule.ask`."""
        return {}

    @abstractmethod
    def step(self, state: Any, cohort: Cohort, sums: Sums, update: Vector | None) -> tuple[Any, Vector | None]:
        """Return the next state and what becomes of the rule's update (None: the model does not move).

        `cohort` is who replied; an empty one brings zero sums.
        """


CALLED = ("begin", "remember", "start", "order", "ask", "step", "problems", "problems_in", "memory_means")
"""What the engine calls of a correction; what fails in there is told with its own file and line."""


def config(door: Door, thing: Thing) -> type:
    """Return a user's correction as the config class `correction: {name: ...}`: itself, called by its reference."""
    cls = derived(door, thing, Correction, "a correction has start and step")
    return made(door, thing, "name", cls, guard=CALLED)


DOOR = Door(
    "fedsim.corrections",
    "a correction: a frozen dataclass derived from fedsim.core.Correction, with start and step",
    config,
)
