"""What the engine needs of a Flower strategy, whichever mathematics is behind it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy

from fedsim.core import Cohort, Diagnostics, Failure, Reply
from fedsim.core.coefficients import Coefficients
from fedsim.core.contracts import SILENT, Ids, Parameters, Vector


@dataclass(frozen=True)
class ServerState:
    """All that the server knows after a round: the parameters, the states of rule, optimiser and correction.

    `written` is kept where memories of gradients meet a changing rate: the round of each client's memory (0: none).
    """

    params: Parameters
    rule: Any
    optimizer: Any
    written: Ids | None = None
    correction: Any = None


@dataclass(frozen=True)
class RoundResult:
    """What one round came to, for those who measure: nothing here feeds back into the run.

    `used` is the update as coefficients of deltas and memories, where the strategy is linear in them;
    `told` is what it says of itself. `beside` are the
    bytes that went down to each client beside the model, and up beside its delta; None when nothing travels at all.
    """

    invited: Cohort
    cohort: Cohort
    before: Any
    update: Vector | None
    cohort_sum: Vector | None
    replies: tuple[Reply, ...]
    failures: tuple[Failure, ...] = ()
    used: Coefficients | None = None
    told: Diagnostics = SILENT
    beside: tuple[int, int] | None = (0, 0)


class Coordinator(Strategy):
    """A Flower strategy whose state the engine can see; it evaluates nothing on the nodes.

    `resumable` says that `state` is all there is: put back, the run goes on from there.
    """

    resumable: bool = True
    state: ServerState | None = None

    @abstractmethod
    def begin(self, params: Parameters) -> ServerState:
        """Return the state before round 1, and keep it."""

    @abstractmethod
    def conclude(self, server_round: int, replies: Iterable[Message]) -> RoundResult:
        """Take in the replies of a round and move on: `aggregate_train` for those who measure."""

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
