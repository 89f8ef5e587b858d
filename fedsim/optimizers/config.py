"""What every optimiser is: a frozen config with the arithmetic of one step, on one tensor of many clients."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Optimizer(ABC):
    """The options of one optimiser. Concrete classes carry `name: Literal["..."]`, the word in the scenario.

    An optimiser keeps some vectors of the parameters' size for each client, its *slots*, all zero at first.
    """

    name: str
    """The word that chooses this optimiser."""
    weight_decay: float = 0.0
    """L2 coefficient: added to the gradient, or a shrinking of the weights where it is `decoupled`."""

    decoupled: ClassVar[bool] = False
    """Whether weight decay shrinks the weights inside `step`, instead of entering the gradient before."""
    counts: ClassVar[bool] = False
    """Whether a step depends on how many there were."""

    @property
    @abstractmethod
    def slots(self) -> int:
        """How many vectors it keeps for a client."""

    @abstractmethod
    def step(
        self, weight: Tensor, gradient: Tensor, slots: tuple[Tensor, ...], rate: float, count: float | Tensor
    ) -> None:
        """Move `weight` (A, *shape) and the slots, of the same shape, by one step, in place.

        `count` is the number of this step, from 1; or (A, 1, ...), float64, when it is another for each client.
        """

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield (key, message) for options that do not fit together."""
        yield from ()
