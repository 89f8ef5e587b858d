"""The contracts of a run: population, cohort, participation process, and the rule that a strategy is.

Notation used throughout: N clients, a cohort S_t in round t, delta_i = local - global (added, never subtracted),
h_i the delta that client i sent last (its memory, zero at first), a_i the objective weights with sum a_i = 1, p_i the
probability that client i takes part in a round, d the number of parameters.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal, Protocol

import numpy as np
import numpy.typing as npt
from annotated_types import Ge, Lt

from fedsim.core.client_half import NOTHING, ClientHalf, Order
from fedsim.core.config.catalogue import room
from fedsim.core.config.plain import LATER
from fedsim.core.config.tagged import OneOf
from fedsim.core.correction import DOOR, Correction
from fedsim.core.schedules import AnySchedule
from fedsim.core.server import ServerOptimizer
from fedsim.core.sums import Asked, Dot, LinearSum, Sums, Vector

__all__ = ["Asked", "Dot", "LinearSum", "Order", "Sums", "Vector"]

Ids = npt.NDArray[np.int64]
Parameters = npt.NDArray[np.float32]
MemoryOf = Literal["update", "gradient"]


@dataclass(frozen=True)
class Population:
    """All clients of a run, whether present or not.

    Attributes
    ----------
    num_examples : (N,) training examples of each client.
    weights : (N,) objective weights a_i, summing to 1.
    probabilities : (N,) marginal participation p_i in (0, 1], or None when the run does not know them.
    steps : (N,) local steps K_i that each client takes in a round, or None when the run does not know them.
    seed : the run's seed, for a rule that draws; what it draws must be a function of it and of the round.
    coins : True when clients come independently of each other and of earlier rounds; False also when that is not known.
    """

    num_examples: npt.NDArray[np.int64]
    weights: Vector
    probabilities: Vector | None = None
    steps: Ids | None = None
    seed: int = 0
    coins: bool = False

    @property
    def num_clients(self) -> int:
        """N."""
        return len(self.weights)


@dataclass(frozen=True)
class Cohort:
    """Who took part in a round: what happened, never who is to blame. Ids ascending, rounds from 1.

    `statistics` is what those who replied report, added up: `clients`, `examples`, `steps`, `loss`, `delta_square`
    and what their kind of training adds. `step` has them, `ask` has none yet.
    """

    round: int
    clients: Ids
    statistics: Mapping[str, float] = field(default_factory=dict, compare=False)

    def __len__(self) -> int:
        return len(self.clients)


@dataclass(frozen=True)
class Diagnostics:
    """What a strategy tells of itself in a round, for those who measure: nothing of it feeds back into the run.

    Attributes
    ----------
    values : metrics of the round, by their registered names.
    vectors : (N,) a number per client. `weight`, an estimate of 1/p_i as the round used it, is compared with the p_i
        where these are known; `cutoff`, whose estimate was capped in this round, is counted. Others are told as is.
    heuristics : options whose formula does not hold in this run, so that what they give is a heuristic.
    """

    values: Mapping[str, float] = field(default_factory=dict)
    vectors: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    heuristics: tuple[str, ...] = ()


SILENT = Diagnostics()
WEIGHT, CUTOFF = ADDED_UP = ("weight", "cutoff")
"""Vectors of diagnostics that are added up over a run."""


@dataclass(frozen=True, kw_only=True)
class Strategy:
    """What stands under `strategy:` in a scenario: a rule of a server, or of peers that have none.

    Each concrete strategy has a field `name: Literal["<module>"]`, the word in `strategy: {name: ...}`.
    """

    remembers: ClassVar[bool] = False
    """True when clients keep h_i, the last delta they sent."""
    memory_of: ClassVar[MemoryOf] = "gradient"
    """What h_i stands for when the learning rate changes, unless the scenario says `memory.of`: `update` is the delta
    as it was sent; `gradient` is used at the rate of the round, h_i lr_t / lr_i with lr_i the rate it was made with."""

    weights: Literal["uniform", "examples"] = "uniform"
    """Objective weights a_i: 1/N each, or proportional to the clients' examples."""

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield (key, message) for options that exclude each other."""
        yield from ()

    def needs_probabilities(self) -> bool:
        """Return whether the population's p_i must be known before round 1."""
        return False

    def needs_coins(self) -> str | None:
        """Return the option that has a meaning only where clients come independently of each other, if there is one."""
        return None

    def diagnostics(self, state: Any, cohort: Cohort) -> Diagnostics:
        """Return what there is to tell of a round, given the state before it and who took part; the same names always.

        `memory_mean` and this are all that the engine knows of what is inside a state.
        """
        return SILENT

    def memory_mean(self, state: Any) -> Vector | None:
        """Return the running mean H = sum_i a_i h_i (d,) as the state holds it, None when it holds none."""
        return None


@dataclass(frozen=True, kw_only=True)
class PeerRule(Strategy):
    """A strategy without a server model: every client keeps its own, and models go from client to client."""


AnyCorrection = Annotated[Any, OneOf("name", room("fedsim.strategies.corrections", "name"), door=DOOR)]
"""A `Correction` with the field `name`, which the abstract one has not."""


@dataclass(frozen=True, kw_only=True)
class Rule(Strategy, ClientHalf, ABC):
    """A strategy with a server model: options are its fields, its mathematics three pure functions of a state, a value.

    A rule never writes to itself, to its arguments or to a module. Its state is a (nested) dataclass, tuple or dict of
    arrays and numbers, so that a checkpoint can hold it; its structure is that of `start`. A rule that needs the
    clients' memories says `remembers = True`; one that has them do more than train has a client half (`begin`,
    `remember`, `memories`) and an `order`.
    """

    linear: ClassVar[bool] = True
    """True when the update is a combination of this round's deltas and the memories, with coefficients that do not
    depend on them, and the state holds no vector of length d but their running mean. Effective weights are told of
    linear rules only; the update of others is probed by drawing alone, without closed form."""
    forms: ClassVar[tuple[str, ...]] = ()
    """Options that make strategies of their own: a probe shows the rule once for each of their words or numbers."""

    server_lr: Annotated[float, Ge(0)] = 1.0
    """The server adds server_lr * update to the parameters."""
    server_schedule: AnySchedule | None = field(default=None, metadata=LATER)
    """How server_lr changes from round to round; null keeps it."""
    server_optimizer: ServerOptimizer | None = None
    """What the server does with the update before adding it: null for nothing, or a transform such as adam."""
    server_weight_decay: Annotated[float, Ge(0), Lt(1)] = field(default=0.0, metadata=LATER)
    """Share of the parameters that goes with every step at rate 1: x <- x + rate (update - server_weight_decay x)."""
    correction: AnyCorrection | None = field(default=None, metadata=LATER)
    """What corrects the drift of clients while they train; none by default."""

    def unbiased(self) -> bool:
        """Return whether the update's mean over who comes is sum_i a_i delta_i where clients come independently.

        A claim that `fedsim check` tries on all cohorts there are.
        """
        return False

    def corrected_by(self) -> Correction | None:
        """Return the correction under this rule; a rule may bring one of its own."""
        found: Correction | None = self.correction
        return found

    def server_rate(self, round: int) -> float:
        """Return what the update of a round (1-based) is multiplied by."""
        return self.server_lr if self.server_schedule is None else self.server_schedule.rate(self.server_lr, round)

    @abstractmethod
    def start(self, params: Parameters, population: Population) -> Any:
        """Return the state before round 1."""

    def order(self, state: Any, cohort: Cohort) -> Order:
        """Return what goes down beside the model, for the rule's own client half."""
        return NOTHING

    @abstractmethod
    def ask(self, state: Any, cohort: Cohort) -> Mapping[str, Asked]:
        """Return the sums this round needs. Coefficients must not depend on who will manage to reply."""

    @abstractmethod
    def step(self, state: Any, cohort: Cohort, sums: Sums) -> tuple[Any, Vector | None]:
        """Return the next state and the update (d,) that is added to the parameters.

        `cohort` is the *realised* one: who replied. An empty cohort brings zero sums. None instead of an update means
        that this round does not move the model: neither server momentum nor weight decay do either.
        """


class Process(Protocol):
    """Who is there, round by round: the world's doing, the same for every strategy of a comparison."""

    @property
    def num_clients(self) -> int:
        """N."""

    def cohort(self, round: int) -> Ids:
        """Return the ids present in a round (1-based), ascending; a pure function of (seed, round)."""

    @property
    def probabilities(self) -> Vector | None:
        """The marginal participation probabilities (N,), or None when this process does not know its own."""


@dataclass(frozen=True)
class World:
    """What a participation process may know of the run: the seed, how many clients, and their labels.

    `label_counts` is a function (N, C) so that processes which do not look at labels load no data.
    """

    seed: int
    num_clients: int
    label_counts: Callable[[], npt.NDArray[np.int64]] | None = None
    folder: str = "."
    """Where relative input paths of the scenario start."""
    content: str = ""
    """What the scenario's input files hold, as one word; empty where they have not been looked at."""
