"""Any rule of fedsim as a Flower `Strategy` for a ServerApp of one's own, with ClientApps that know nothing of it.

    strategy = fedsim.flower.strategy("fedstale", beta=0.5, probabilities=[0.5] * 10, num_clients=10, seed=1)
    result = strategy.start(grid=grid, initial_arrays=ArrayRecord(model.state_dict()), num_rounds=20)

Clients get and send what they do under Flower's FedAvg: `arrays` and `config` down, `arrays` and `metrics` with
`num-examples` up. What a rule remembers of each client lies here, at the server: one vector of the model's length for
each client that has been seen. Running statistics and counts of batches (`running_mean`, `running_var`,
`num_batches_tracked`) are averaged over who came and are no part of what the rule sees.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from logging import INFO, WARNING
from types import SimpleNamespace
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MessageType, MetricRecord, RecordDict
from flwr.common.logger import log
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg
from flwr.serverapp.strategy.strategy_utils import aggregate_metricrecords

from fedsim.clients.kernels import LaneResult
from fedsim.clients.memory import Memory
from fedsim.clients.node import Node
from fedsim.core import Buffers, Failure, Layout, Population, Rule, ScenarioError, World
from fedsim.core.contracts import Ids, Parameters
from fedsim.core.sums import DELTA
from fedsim.engine.experiment import objective_weights
from fedsim.engine.nodes.grid import FIRST_NODE_ID, FixedGrid
from fedsim.scenario import Scenario, from_dict
from fedsim.strategies.flower import arrays as views
from fedsim.strategies.flower import codec
from fedsim.strategies.flower.adapter import RuleStrategy

STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
"""Last names of arrays that are averaged over who came."""
EXAMPLES = "num-examples"
ONE: Any = SimpleNamespace(get_node_ids=lambda: [FIRST_NODE_ID])
"""A grid with one node, which holds all clients: the server itself."""
SETTLED_S, PAUSE_S = 3.0, 0.1
"""Nodes that connect are waited for until nobody has come for so long; seconds between two looks."""


def strategy(
    name: str | Rule,
    *,
    num_clients: int,
    probabilities: float | Sequence[float] | str | None = None,
    participation: Mapping[str, Any] | None = None,
    seed: int = 0,
    num_examples: Sequence[int] | None = None,
    fraction_evaluate: float = 1.0,
    **options: Any,
) -> ServerSide:
    """Return a strategy for Flower's message API that carries out one of fedsim's rules.

    In each round the clients take part that the process draws for (seed, round), as in a run of fedsim's own, of those
    that are connected. Clients are numbered by ascending node id when they are first seen: under `fedsim flower-app`
    that is their `partition-id`.

    Parameters
    ----------
    name : a rule's word, a reference to one's own (`./rule.py:Name`), or a rule.
    num_clients : N, how many there are, connected or not.
    probabilities : p_i, one number for all or N of them: who takes part is drawn with these, and the rule knows them;
        or `estimated`. With `participation` they are the rule's own list.
    participation : a process as in a scenario, such as {"kind": "markov", "probabilities": 0.5, "activation": 0.2};
        the default is `bernoulli` with the probabilities, without these everybody.
    num_examples : of each client, where the rule's weights are `examples`.
    fraction_evaluate : the share of connected nodes that Flower's FedAvg would evaluate on.
    options : the rule's own.

    Raises
    ------
    ScenarioError : an option that the rule has not, or that does not fit, in the words of a scenario.
    """
    drawn = isinstance(probabilities, float | int) or not (probabilities is None or isinstance(probabilities, str))
    given = list(map(float, probabilities)) if isinstance(probabilities, Sequence) and drawn else probabilities
    if participation is None:
        participation = {"kind": "bernoulli", "probabilities": given} if drawn else {"kind": "full"}
    elif drawn:
        options["probabilities"] = [given] * num_clients if isinstance(given, float | int) else given
    if probabilities is not None and not drawn:
        options["probabilities"] = probabilities
    found = _scenario(name, num_clients, participation, seed, options)
    rule = found.strategy
    called = rule.name
    if not isinstance(rule, Rule):
        raise ScenarioError(f"strategy: {called} is no rule with a server model")
    if rule.corrected_by() is not None or not rule.idle:
        raise ScenarioError(f"strategy: {called} has clients do more than train, which a ClientApp does not know of")
    if rule.weights == "examples" and (num_examples is None or len(num_examples) != num_clients):
        raise ScenarioError("strategy.weights: examples: give num_examples, one number for each client")
    examples = np.ones(num_clients, np.int64) if num_examples is None else np.array(num_examples, np.int64)
    process = found.participation.process(World(seed, num_clients))
    population = Population(examples, objective_weights(rule.weights, examples), process.probabilities)
    return ServerSide(rule, population, process.cohort, FedAvg(1.0, fraction_evaluate, 1, 1, 1))


def _scenario(
    name: str | Rule, num_clients: int, participation: Mapping[str, Any], seed: int, options: Mapping[str, Any]
) -> Scenario:
    """Return a scenario with this rule and world: reading it is what checks them."""
    return from_dict(
        {
            "name": "flower",
            "seed": seed,
            "rounds": 1,
            "data": {"dataset": "quadratic", "centers": [[0.0]] * num_clients},
            "model": {"name": "point", "init": [0.0]},
            "participation": dict(participation),
            "strategy": name if isinstance(name, Rule) else {"name": name, **options},
        }
    )


class ServerSide(RuleStrategy):
    """A rule as a strategy whose clients send whole models; see `strategy`. Client i is the i-th node."""

    resumable = False

    def __init__(self, rule: Rule, population: Population, choose: Callable[[int], Ids], evaluation: FedAvg) -> None:
        super().__init__(rule, population, self._connected, 1, variance=False)
        self._choose, self._evaluation = choose, evaluation
        self._numbers: dict[int, int] = {}
        self._present: set[int] = set()
        self._model: _Model | None = None
        self._node: Node | None = None

    def summary(self) -> None:
        """Log which rule this is."""
        log(INFO, "\t└──> fedsim's %s over %d clients", self.rule, self.population.num_clients)

    def _connected(self, round: int) -> Ids:
        """Return who takes part in a round: who was drawn, of those who are connected."""
        return np.array([client for client in self._choose(round).tolist() if client in self._present], np.int64)

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Ask the clients that take part to train, as FedAvg would."""
        self._number(grid, wait=self._model is None)
        if self._model is None:
            self._model = _Model.of(arrays)
            self.layout, self.buffers = self._model.layout, self._model.layout.buffers.size
            self.begin(self._model.flat(arrays))
            names = (DELTA,) if self.remember else ()
            size = self.layout.size
            self._node = Node(0, _Arrived(self.layout), {name: Memory(size, name=name) for name in names})  # type: ignore[arg-type]
        assert self.state is not None, "begun above"
        inner = list(super().configure_train(server_round, views.record(params=self.state.params), config, ONE))
        self._task = codec.decode_task(inner[0].content) if inner else None
        config["server-round"] = server_round
        content = RecordDict({"arrays": self._model.record(self.state.params), "config": config})
        ids = {client: node for node, client in self._numbers.items()}
        clients = [] if self._task is None else self._task.clients.tolist()
        return [Message(content, dst_node_id=ids[client], message_type=MessageType.TRAIN) for client in clients]

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Form what the rule asks for of the replies, and step; a client without a good reply was not there."""
        model, state, came = self._model, self.state, list(replies)
        assert model is not None, "configure comes first"
        assert state is not None, "configure comes first"
        inner: list[Any] = []
        good = []
        if self._task is not None and self._node is not None:
            deltas, lost = {}, dict.fromkeys(self._task.clients.tolist(), "did not answer")
            for reply in came:
                client = self._numbers[reply.metadata.src_node_id]
                moved, problem = (None, reply.error.reason) if reply.has_error() else model.moved(reply.content)
                if moved is None:
                    lost[client] = str(problem)
                else:
                    del lost[client]
                    deltas[client] = moved, moved[: model.layout.size] - state.params[: model.layout.size]
                    good.append(reply.content)
            for client, problem in sorted(lost.items()):
                log(WARNING, "client %d takes no part in round %d: %s", client, server_round, problem)
            struck = tuple(Failure(client, "raised", problem) for client, problem in sorted(lost.items()))
            arrived: Any = self._node.trainer
            arrived.deltas = deltas
            answer = self._node.train(replace(self._task, struck=struck))
            inner = [SimpleNamespace(content=codec.encode_reply(answer), has_error=lambda: False)]
        self.conclude(server_round, inner)
        assert self.state is not None, "a round ends in a state"
        return model.record(self.state.params), aggregate_metricrecords(good, EXAMPLES) if good else None

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Ask for an evaluation as FedAvg does."""
        return self._evaluation.configure_evaluate(server_round, arrays, config, grid)

    def aggregate_evaluate(self, server_round: int, replies: Iterable[Message]) -> MetricRecord | None:
        """Average what was evaluated as FedAvg does."""
        return self._evaluation.aggregate_evaluate(server_round, replies)

    def _number(self, grid: Grid, *, wait: bool) -> None:
        """Look who is connected; number those who are new."""
        there, count = sorted(grid.get_node_ids()), self.population.num_clients
        quiet = time.monotonic()
        while wait and len(there) < count and (not there or time.monotonic() - quiet < SETTLED_S):
            time.sleep(PAUSE_S)
            now = sorted(grid.get_node_ids())
            quiet = quiet if now == there else time.monotonic()
            there = now
        for node in there:
            if node not in self._numbers and len(self._numbers) < count:
                self._numbers[node] = _number_of(grid, node, self._numbers, count)
        self._present = {self._numbers[node] for node in there if node in self._numbers}


def _number_of(grid: Grid, node: int, taken: Mapping[int, int], count: int) -> int:
    """Return the number of a node: on fedsim's own grids its place, elsewhere the first that is free."""
    if isinstance(grid, FixedGrid):
        return node - FIRST_NODE_ID
    return next(number for number in range(count) if number not in taken.values())


@dataclass(frozen=True)
class _Model:
    """How a model's arrays lie in one vector: what trains, then the statistics."""

    layout: Layout
    dtypes: Mapping[str, np.dtype[Any]]

    @classmethod
    def of(cls, record: ArrayRecord) -> _Model:
        """Return the layout of a model."""
        held = {name: array.numpy() for name, array in record.items()}
        kept = {name: values for name, values in held.items() if name.rpartition(".")[2] in STATISTICS}
        kept |= {name: values for name, values in held.items() if values.dtype.kind != "f"}
        own = {name: values.shape for name, values in held.items() if name not in kept}
        sizes = tuple(values.itemsize for values in kept.values())
        buffers = Buffers(tuple(kept), tuple(values.shape for values in kept.values()), sizes)
        return cls(Layout(tuple(own), tuple(own.values()), buffers), {name: v.dtype for name, v in held.items()})

    @property
    def _shapes(self) -> dict[str, tuple[int, ...]]:
        layout, buffers = self.layout, self.layout.buffers
        return dict(zip(layout.names + buffers.names, layout.shapes + buffers.shapes, strict=True))

    def flat(self, record: ArrayRecord) -> Parameters:
        """Return a model as one vector (d + b,)."""
        parts = [record[name].numpy().astype(np.float32).reshape(-1) for name in self._shapes]
        joined: Parameters = np.concatenate(parts)
        return joined

    def moved(self, content: RecordDict) -> tuple[Parameters | None, str]:
        """Return the model of a reply, or what is wrong with it."""
        found = list(content.array_records.values())
        if len(found) != 1:
            return None, f"the reply holds {len(found)} ArrayRecords"
        for name, shape in self._shapes.items():
            if name not in found[0] or tuple(found[0][name].shape) != shape:
                return None, f"the reply's array {name} is missing, or has another shape than {shape}"
        if not any(EXAMPLES in record for record in content.metric_records.values()):
            return None, f"the reply's metrics do not hold {EXAMPLES!r}"
        flat = self.flat(found[0])
        return (flat, "") if np.isfinite(flat).all() else (None, "the reply's arrays are not finite")

    def record(self, params: Parameters) -> ArrayRecord:
        """Return a vector as the arrays of a model, in the order and types that they came in."""
        starts = np.cumsum([0, *(int(np.prod(shape)) for shape in self._shapes.values())]).tolist()
        cut = {name: params[starts[k] : starts[k + 1]] for k, name in enumerate(self._shapes)}
        made = ArrayRecord()
        for name, dtype in self.dtypes.items():
            values = cut[name].reshape(self._shapes[name])
            made[name] = Array(np.array(values if dtype.kind == "f" else np.rint(values), dtype))
        return made


class _Arrived:
    """A trainer that has trained already: what clients sent, one a lane."""

    carries = False

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.deltas: Mapping[int, tuple[Parameters, Parameters]] = {}

    def lanes(self, params: Any, clients: Ids, round: int, **beside: Any) -> Iterator[LaneResult]:
        """Yield each client's delta, and its statistics."""
        one = np.ones(1, np.int64)
        for client in clients.tolist():
            whole, delta = self.deltas[client]
            held = whole[None, self.layout.size :] if self.layout.buffers.size else None
            yield LaneResult(np.array([client]), delta[None].copy(), np.zeros(1), one, one, buffers=held)
