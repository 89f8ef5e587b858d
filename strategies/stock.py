"""Any strategy that ships with Flower, unchanged: FedAdam, FedYogi, Krum, Bulyan, FedMedian, FedTrimmedAvg, ...

Stock strategies speak Flower's own message kind (`arrays` and `config` out, `arrays` and `num-examples` back), one
client per node: give `engine.nodes` as many nodes as there are clients. Participation enters by which nodes the
strategy can see in a round; a round with fewer than it wants is empty. Whatever a stock strategy draws at random it
draws from a generator seeded for that round.

They hold every client's model on the server and their state inside themselves: a run with one cannot be continued
from a checkpoint, only repeated (with the same bits).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from fedsim.core import Strategy

Option = bool | int | float | str


@dataclass(frozen=True, kw_only=True)
class Stock(Strategy):
    """Any strategy that ships with Flower, unchanged; one client per node (`flower: FedAdam`, `Krum`, ...).

    >>> list(Stock(flower="fed adam").problems())[0][0]
    'flower'
    """

    name: Literal["stock"] = "stock"
    flower: str
    """Class name in `flwr.serverapp.strategy`, e.g. FedAdam or Krum."""
    options: Mapping[str, Option] = field(default_factory=dict)
    """Keyword arguments of that class, e.g. {eta: 0.1}."""

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield (key, message) for what is no class name, and for weights, which are the stock strategy's affair."""
        if not re.fullmatch(r"[A-Z]\w*", self.flower):
            yield "flower", f"must be the name of a class in flwr.serverapp.strategy, got '{self.flower}'"
        if self.weights != "uniform":
            yield "weights", "a stock strategy weighs clients itself; leave it out"
