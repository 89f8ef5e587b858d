"""Flower's own strategies on fedsim's grids: their messages, their arithmetic, this world's participation."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.app.exception import AppExitException
from flwr.serverapp import Grid
from flwr.supercore.differential_privacy import KEY_CLIPPING_NORM, KEY_NORM_BIT, compute_adaptive_clip_model_update

from fedsim.core import Cohort, Layout, Reply, ScenarioError
from fedsim.core.contracts import Ids, Parameters
from fedsim.core.messages import BUFFERS
from fedsim.core.rng import digest
from fedsim.strategies.flower import arrays, shipped
from fedsim.strategies.flower.coordinator import Coordinator, RoundResult, ServerState
from fedsim.strategies.stock import Stock

ARRAYS, CONFIG, METRICS = "arrays", "config", "metrics"
ROUND = "server-round"
PROXIMAL_MU = "proximal-mu"
"""Where FedProx writes its mu into what it tells clients."""


class StockStrategy(Coordinator):
    """A stock strategy between this engine's parameters and its own named arrays. Client i is node i.

    It sees the parameters that train. Buffers go beside them, and are averaged by `examples` (N,), by which Flower's
    averages weigh.
    """

    resumable = False

    def __init__(self, config: Stock, layout: Layout, choose: Callable[[int], Ids], seed: int, examples: Ids) -> None:
        logging.getLogger("flwr").setLevel(logging.WARNING)
        self.name = config.flower
        self.inner: Any = shipped.make(config)
        sampler: Any = getattr(self.inner, shipped.INNER, self.inner)
        self.wanted = max(1, sampler.min_train_nodes, sampler.min_available_nodes)
        self.layout, self.examples = layout, examples
        self.choose = choose
        self.seed = seed
        self._cohort = Cohort(0, np.zeros(0, np.int64))
        self._first = 0

    def begin(self, params: Parameters) -> ServerState:
        """Return the state before round 1: a stock strategy keeps its own to itself."""
        self.state = ServerState(params.astype(np.float32, copy=False), None, None)
        return self.state

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Let the stock strategy see the clients that are there, and write its messages."""
        state = self.state
        assert state is not None, "begin comes first"
        self._cohort = Cohort(server_round, self.choose(server_round))
        if len(self._cohort) < self.wanted:
            return []
        nodes = sorted(grid.get_node_ids())
        self._first = nodes[0]
        named = _named(self.layout, state.params)
        with _seeded(self.seed, server_round):
            messages = list(self.inner.configure_train(server_round, named, config, _Seen(grid, self._cohort, nodes)))
        for message in messages:
            _put_buffers(message.content, self.layout, state.params)
        return sorted(messages, key=lambda message: message.metadata.dst_node_id)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Let the stock strategy aggregate; return what it returns."""
        _, averaged, metrics = self._aggregate(server_round, replies)
        return averaged, metrics

    def conclude(self, server_round: int, replies: Iterable[Message]) -> RoundResult:
        """Let the stock strategy aggregate; return what that came to."""
        return self._aggregate(server_round, replies)[0]

    def _aggregate(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[RoundResult, ArrayRecord | None, MetricRecord | None]:
        """Hand over the replies in the order of the clients, so that float sums do not depend on who was first."""
        assert self.state is not None
        before = self.state.params
        ordered = sorted(replies, key=lambda message: message.metadata.src_node_id)
        held = [_taken_buffers(message.content) for message in ordered]
        received = [self._read(server_round, message, before[: self.layout.size]) for message in ordered]
        averaged, metrics = (None, None)
        if ordered:
            try:
                with _seeded(self.seed, server_round):
                    averaged, metrics = self.inner.aggregate_train(server_round, ordered)
            except AppExitException as error:
                raise ScenarioError(f"strategy.flower: {self.name} gave up in round {server_round}: {error}") from error
        params, buffers = np.split(before, [self.layout.size])
        old = params
        if averaged is not None:
            params = self.layout.flatten({name: array.numpy() for name, array in averaged.items()})
        clients = np.array([reply.node for reply in received], np.int64)
        shares = self.examples[clients].astype(np.float64)
        if len(buffers) and shares.sum() > 0:
            rows = np.array([row for row in held if row is not None], np.float64)
            buffers = (np.einsum("i,ij->j", shares, rows) / shares.sum()).astype(np.float32)
        self.state = ServerState(np.concatenate([params, buffers]) if len(buffers) else params, None, None)
        deltas = [reply.sums["delta"] for reply in received]
        outcome = RoundResult(
            invited=self._cohort,
            cohort=Cohort(server_round, clients),
            before=None,
            update=params.astype(np.float64) - old if received else None,
            cohort_sum=np.sum(deltas, axis=0) if deltas else None,
            replies=tuple(received),
        )
        return outcome, averaged, metrics

    def _read(self, round: int, message: Message, before: Parameters) -> Reply:
        """Return a reply as this engine measures it."""
        content = message.content
        local = {name: array.numpy() for name, array in content.array_records[ARRAYS].items()}
        delta = self.layout.flatten(local).astype(np.float64) - before
        client = message.metadata.src_node_id - self._first
        told = content.metric_records[METRICS]
        examples, loss = float(np.sum(told["num-examples"])), float(np.sum(told["train_loss"]))
        statistics = {"clients": 1.0, "examples": examples, "loss": loss, "delta_square": float(delta @ delta)}
        return Reply(client, round, np.array([client]), {"delta": delta}, statistics)


class _Seen(Grid):
    """The grid as a stock strategy sees it in one round: only the clients that are there are connected."""

    def __init__(self, grid: Grid, cohort: Cohort, nodes: list[int]) -> None:
        self._grid = grid
        self._ids = [nodes[client] for client in cohort.clients]

    def get_node_ids(self) -> Iterable[int]:
        return list(self._ids)

    def set_run(self, run: Any) -> None:
        self._grid.set_run(run)

    @property
    def run(self) -> Any:
        return self._grid.run

    def create_message(self, *args: Any, **kwargs: Any) -> Message:
        return self._grid.create_message(*args, **kwargs)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        return self._grid.push_messages(messages)

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        return self._grid.pull_messages(message_ids)

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        return self._grid.send_and_receive(messages, timeout=timeout)


@contextmanager
def _seeded(seed: int, round: int) -> Iterator[None]:
    """Seed the global generators for one call and put them back: stock strategies draw from them."""
    state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002
    number = digest(seed, "stock", round)
    random.seed(number)
    np.random.seed(number % 2**32)  # noqa: NPY002 - it is where Flower's noise for privacy comes from
    try:
        yield
    finally:
        random.setstate(state)
        np.random.set_state(numpy_state)  # noqa: NPY002


def _named(layout: Layout, params: Parameters) -> ArrayRecord:
    return arrays.record(**layout.views(params))


@dataclass(frozen=True)
class Instruction:
    """What a stock strategy tells a client: the model (d + b,), and what the strategy wants done beside training.

    `proximal_mu` is FedProx's, `clipping_norm` that of the wrappers which leave clipping to the clients.
    """

    round: int
    params: Parameters
    proximal_mu: float | None = None
    clipping_norm: float | None = None


def decode(content: RecordDict, layout: Layout) -> Instruction:
    """Return the instruction in a message."""
    (model,) = (record for name, record in content.array_records.items() if name != BUFFERS)
    (config,) = content.config_records.values()
    mu, norm = (
        None if config.get(key) is None else float(str(config[key])) for key in (PROXIMAL_MU, KEY_CLIPPING_NORM)
    )
    params = layout.flatten({name: array.numpy() for name, array in model.items()})
    if BUFFERS in content:
        params = np.concatenate([params, content.array_records[BUFFERS][BUFFERS].numpy()])
    return Instruction(int(str(config[ROUND])), params, mu, norm)


def encode(
    layout: Layout,
    told: Instruction,
    delta: Parameters,
    examples: int,
    loss: float,
    buffers: Parameters | None = None,
) -> RecordDict:
    """Return a client's reply as stock strategies read it, its update clipped when it was told to; buffers beside."""
    metrics: dict[str, Any] = {"num-examples": examples, "train_loss": loss}
    start = told.params[: layout.size]
    moved = [start + delta]
    if told.clipping_norm is not None:
        stands = not np.any(delta)  # Flower's function would divide by the length of nothing
        clipped = not stands and compute_adaptive_clip_model_update(moved, [start], told.clipping_norm)
        metrics[KEY_NORM_BIT] = int(clipped)
    content = RecordDict({ARRAYS: _named(layout, moved[0]), METRICS: MetricRecord(metrics)})
    if buffers is not None and len(buffers):
        content[BUFFERS] = arrays.record(**{BUFFERS: buffers})
    return content


def _put_buffers(content: RecordDict, layout: Layout, params: Parameters) -> None:
    """Put the buffers of a model (d + b,) beside what a stock strategy sends."""
    if layout.buffers.size:
        content[BUFFERS] = arrays.record(**{BUFFERS: params[layout.size :]})


def _taken_buffers(content: RecordDict) -> Parameters | None:
    """Take a client's buffers out of its reply, which the stock strategy then reads as it knows it."""
    found: Any = content.pop(BUFFERS, None)
    return None if found is None else found[BUFFERS].numpy()
