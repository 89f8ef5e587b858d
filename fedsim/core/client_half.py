"""The client's half of a rule: what clients do beside plain training, as pure functions on rows.

The server sends an `Order` beside the model: vectors for all, numbers for each, a pull towards the model. A client
half says what a lane of C clients makes of it: `begin`, before they train, gives what is added to every gradient and
where each starts; `remember`, after, gives what each keeps and may be asked for. Rows are (C, d), row c belongs to
client c of the lane, and no row may look at another. Memories lie with the clients' hosts, like h_i.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[Any]
"""(C, d), float32 in a run; the functions keep whatever precision they are given."""


@dataclass(frozen=True)
class Order:
    """What goes down beside the model in a round; nothing by default.

    Attributes
    ----------
    shared : vectors (d,) for everybody, by name; they travel as float32.
    numbers : (|S|,) a number for each client of the cohort, by name.
    pull : pull (w - x) is added to every gradient, x being where the client starts.
    rate : the learning rates of the round are multiplied by it.
    silent : nothing travels in this round; it is played for what is learnt locally and for those who look on.
    """

    shared: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    numbers: Mapping[str, npt.NDArray[np.float64]] = field(default_factory=dict)
    pull: float = 0.0
    rate: float = 1.0
    silent: bool = False

    def beside(self, other: Order) -> Order:
        """Return both orders as one; their names differ."""
        twice = set(self.shared) & set(other.shared) | set(self.numbers) & set(other.numbers)
        assert not twice, f"one name, one use: {twice}"
        return Order(
            {**self.shared, **other.shared},
            {**self.numbers, **other.numbers},
            self.pull + other.pull,
            self.rate * other.rate,
            self.silent or other.silent,
        )

    def at(self, places: npt.NDArray[Any]) -> Order:
        """Return the order for some places of the cohort."""
        if not self.numbers:
            return self
        return replace(self, numbers={name: each[places] for name, each in self.numbers.items()})

    @property
    def empty(self) -> bool:
        """Whether nothing goes down but the model."""
        return self == NOTHING if not (self.shared or self.numbers) else False


NOTHING = Order()


@dataclass(frozen=True)
class Before:
    """What C clients of a lane know before they train.

    Attributes
    ----------
    round : the round, from 1.
    params : (d,) the global model.
    own : the memories of the half by name, (C, d); zeros where a client has none yet.
    seen : (C,) whether a client has memories.
    shared, numbers : the order, as it concerns this lane: (d,) and (C,).
    rate : the learning rate of the first local step.
    gradient : (C, d) the gradient of each client's objective at the model, over all its examples, for a half that asks
        for `gradients`.
    """

    round: int
    params: npt.NDArray[Any]
    own: Mapping[str, Rows]
    seen: npt.NDArray[np.bool_]
    shared: Mapping[str, npt.NDArray[Any]]
    numbers: Mapping[str, npt.NDArray[np.float64]]
    rate: float = 0.0
    gradient: Rows | None = None


@dataclass(frozen=True)
class Trained:
    """What their training came to.

    Attributes
    ----------
    delta : (C, d) local minus global.
    steps : (C,) local steps K_i.
    way : (C,) the sum of their learning rates, K_i lr where the rate is the same in all of them.
    shift : (C, d) what `begin` of the same half had gradients shifted by, where that is still at hand.
    fisher : (C, d) the diagonal Fisher information of each client's examples at its trained model, for a half that is
        `informed`.
    """

    delta: Rows
    steps: npt.NDArray[np.int64]
    way: npt.NDArray[np.float64]
    shift: Rows | None = None
    fisher: Rows | None = None


@dataclass(frozen=True)
class Given:
    """What a lane trains with beside the model: nothing by default.

    Attributes
    ----------
    shift : (C, d) added to every gradient.
    start : (C, d) where each client starts in place of the model.
    pull : pull (w - start) is added to every gradient.
    rate : learning rates are multiplied by it.
    taken : (C,) the earlier rounds in which each client delivered, where batches are carried over rounds.
    """

    shift: Rows | None = None
    start: Rows | None = None
    pull: float = 0.0
    rate: float = 1.0
    taken: npt.NDArray[np.int64] | None = None


PLAIN = Given()


class ClientHalf:
    """What a strategy, or its correction, has clients do beside plain training. By default nothing.

    An object of it travels to the hosts, so that it must be a value: a frozen dataclass of options.
    """

    memories: ClassVar[tuple[str, ...]] = ()
    """Names of what each client keeps between its rounds, (d,) each; beside `delta`, which `remembers` asks for."""
    gradients: ClassVar[bool] = False
    """True when it looks at each client's gradient at the model, which costs one more pass over its examples."""
    informed: ClassVar[bool] = False
    """True when it looks at the Fisher information of trained models, which costs a pass for each class."""

    def begin(self, lane: Before) -> Given:
        """Return what the lane trains with."""
        return PLAIN

    def remember(self, lane: Before, trained: Trained) -> Mapping[str, Rows]:
        """Return vectors (C, d) by name: every memory anew, and others that only enter sums."""
        return {}

    @property
    def idle(self) -> bool:
        """Whether clients have nothing to do for it."""
        kind = type(self)
        return kind.begin is ClientHalf.begin and kind.remember is ClientHalf.remember
