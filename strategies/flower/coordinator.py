"""What the engine needs of a Flower strategy, whichever mathematics is behind it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy

from fedsim.core import Cohort, Combination, Failure, Reply
from fedsim.core.contracts import Ids, Parameters, Vector


@dataclass(frozen=True)
class ServerState:
    """All that the server knows after a round: the parameters, the rule's state, the optimiser's state.

    `written` is kept where memories of gradients meet a changing rate: the round of each client's memory (0: none).
    """

    params: Parameters
    rule: Any
    optimizer: Any
    written: Ids | None = None


@dataclass(frozen=True)
class Outcome:
    """What one round came to, for those who measure: nothing here feeds back into the run.

    `used` is the update as coefficients of deltas and memories, where the strategy can say it.
    """

    invited: Cohort
    cohort: Cohort
    before: Any
    update: Vector | None
    cohort_sum: Vector | None
    replies: tuple[Reply, ...]
    failures: tuple[Failure, ...] = ()
    used: Combination | None = None


class Coordinator(Strategy):
    """A Flower strategy whose state the engine can see; it evaluates nothing on the nodes.

    `resumable` says that `state` is all there is: put back, the run goes on from there.
    """

    resumable: bool = True
    state: ServerState | None = None
    outcome: Outcome | None = None

    @abstractmethod
    def begin(self, params: Parameters) -> ServerState:
        """Return the state before round 1, and keep it."""

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Evaluate nothing on the nodes: the global model is evaluated on the held-out split."""
        return []

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        """Nothing was asked."""
        return None

    def summary(self) -> None:
        """Say nothing: the run's own log describes the strategy."""
