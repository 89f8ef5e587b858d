"""The strategies that ship with Flower, unchanged: FedAdam, FedYogi, FedProx, Krum, Bulyan, FedMedian, QFedAvg, ...

Stock strategies speak Flower's own message kind (`arrays` and `config` out, `arrays` and `num-examples` back), one
client per node: give `engine.nodes` as many nodes as there are clients. Participation enters by which nodes the
strategy can see in a round; a round with fewer than it wants is empty. Whatever a stock strategy draws at random it
draws from generators seeded for that round.

16 of the 18 run. What they ask of clients is done: FedProx's `proximal_mu` enters the local objective as
`client.proximal_mu` does, and the wrappers for differential privacy that clip at the clients have their updates
clipped there, by Flower's own function. A wrapper holds another strategy, `inner`, FedAvg by default. FedXgbBagging
and FedXgbCyclic are refused: they put together trees of XGBoost.

They hold every client's model on the server and their state inside themselves: a run with one cannot be continued
from a checkpoint, only repeated (with the same bits).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from fedsim.core import Strategy
from fedsim.core.config.plain import LATER

Option = bool | int | float | str


@dataclass(frozen=True, kw_only=True)
class Inner:
    """The strategy inside a wrapper, such as those for differential privacy."""

    flower: str = "FedAvg"
    """Class name in `flwr.serverapp.strategy`."""
    options: Mapping[str, Option] = field(default_factory=dict)
    """Keyword arguments of that class."""


@dataclass(frozen=True, kw_only=True)
class Stock(Strategy):
    """A strategy that ships with Flower, unchanged; one client per node (`flower: FedAdam`, `Krum`, ...).

    >>> list(Stock(flower="fed adam").problems())[0][0]
    'flower'
    """

    name: Literal["stock"] = "stock"
    flower: str
    """Class name in `flwr.serverapp.strategy`, e.g. FedAdam or Krum."""
    options: Mapping[str, Option] = field(default_factory=dict)
    """Keyword arguments of that class, e.g. {eta: 0.1}."""
    inner: Inner | None = field(default=None, metadata=LATER)
    """The strategy inside a wrapper (the four DifferentialPrivacy...); FedAvg where nothing is given."""

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield (key, message) for what Flower refuses, and for weights, which are the stock strategy's affair."""
        if not re.fullmatch(r"[A-Z]\w*", self.flower):
            yield "flower", f"must be the name of a class in flwr.serverapp.strategy, got '{self.flower}'"
        else:
            from fedsim.strategies.flower import shipped  # Flower is looked at only where a scenario asks for it

            yield from shipped.problems(self)
        if self.weights != "uniform":
            yield "weights", "a stock strategy weighs clients itself; leave it out"

    @property
    def inside(self) -> Inner:
        """The strategy inside, where this one is a wrapper."""
        return self.inner or Inner()

    @property
    def proximal_mu(self) -> float | None:
        """What FedProx, alone or inside a wrapper, tells clients to add to their objective; None without FedProx."""
        for part in (self, self.inner):
            if part is not None and part.flower == "FedProx":
                return float(part.options.get("proximal_mu", 0.0))
        return None
