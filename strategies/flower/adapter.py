"""One Flower `Strategy` wraps any rule: `configure_train` asks, `aggregate_train` steps.

It runs on fedsim's grids and under Flower's own engine alike. All mathematics is in the rule; here are only the
framework's formalities: which node hosts which client, the messages, the fixed order of reduction (nodes ascending,
float64, cast once), the server optimiser, and the parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MessageType, MetricRecord
from flwr.serverapp import Grid

from fedsim.core import ClusterLostError, Cohort, Layout, Population, Reply, Rule, Task
from fedsim.core.client_half import Order
from fedsim.core.coefficients import Coefficients, coefficients, swapped
from fedsim.core.contracts import Ids, Parameters
from fedsim.core.messages import BUFFERS
from fedsim.core.server import Server
from fedsim.core.sums import BUFFERS as MOVED
from fedsim.core.sums import Asked, LinearSum, Sums, Vector
from fedsim.strategies.flower import arrays, codec
from fedsim.strategies.flower.coordinator import Coordinator, RoundResult, ServerState
from fedsim.strategies.flower.noise import SumNoise
from fedsim.strategies.flower.rates import Rates, factors, ratio
from fedsim.strategies.flower.sums import CORRECTION, SumPlan, by_node, part, plan, reduce, statistics


@dataclass
class _Round:
    invited: Cohort
    plan: SumPlan
    order: Order = field(repr=False)
    state: ServerState = field(repr=False)


class RuleStrategy(Coordinator):
    """Any rule as a Flower strategy.

    Parameters
    ----------
    rule : the mathematics.
    population : N clients with objective weights and, when known, probabilities.
    choose : the participation process: round -> ids present, ascending.
    num_nodes : client i lives on node i mod num_nodes.
    coarse : memories are kept below float32.
    variance : also learn sum_S delta_i, for the update variance.
    remember : clients keep their deltas; None leaves it to the rule (a probe wants memories with every rule).
    rates : the learning rate by round, where memories of gradients are used at another rate than they were made with.
    layout : which parameters are one tensor, for transforms of the server that want to know; and how many entries of
        the model behind the parameters are buffers: averaged over who came by the objective weights, whatever the rule,
        which does not see them.
    noise : what the server adds to the sum of the rule.
    """

    def __init__(
        self,
        rule: Rule,
        population: Population,
        choose: Callable[[int], Ids],
        num_nodes: int,
        *,
        coarse: bool = False,
        variance: bool = True,
        remember: bool | None = None,
        rates: Rates | None = None,
        layout: Layout | None = None,
        noise: SumNoise | None = None,
    ) -> None:
        self.rule = rule
        self.correction = rule.corrected_by()
        self.population = population
        self.choose = choose
        self.num_nodes = num_nodes
        self.coarse = coarse
        self.variance = variance
        self.remember = rule.remembers if remember is None else remember
        self.rates = rates
        self.layout = layout
        self.noise = noise
        self.buffers = 0 if layout is None else layout.buffers.size
        self._round: _Round | None = None

    def begin(self, params: Parameters) -> ServerState:
        """Return the state before round 1, and keep it."""
        optimizer, trained = self.rule.server_optimizer, params[: len(params) - self.buffers]
        self.state = ServerState(
            params.astype(np.float32, copy=False),
            self.rule.start(trained, self.population),
            optimizer.init(trained) if optimizer is not None else None,
            None if self.rates is None else np.zeros(self.population.num_clients, np.int64),
            None if self.correction is None else self.correction.start(trained, self.population),
        )
        return self.state

    def rescaling(self, state: ServerState, round: int) -> Vector | None:
        """Return what each client's memory is multiplied by in a round (N,); None when all are used as they are."""
        if self.rates is None or state.written is None:
            return None
        return factors(self.rates, state.written, round)

    def _at_rate(self, rates: Rates, state: ServerState, round: int) -> ServerState:
        """Return the state at the rate of a round: the running mean of memories follows the memories."""
        if round == 1:
            return state
        factor, mean = ratio(rates(round), rates(round - 1)), self.rule.memory_mean(state.rule)
        return state if factor == 1.0 or mean is None else replace(state, rule=swapped(state.rule, mean, factor * mean))

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Ask: one message per node that has participants, all sharing one model record."""
        state = self.state or self.begin(arrays[codec.PARAMS].numpy())
        if self.rates is not None:
            state = self._at_rate(self.rates, state, server_round)
        cohort = Cohort(server_round, self.choose(server_round))
        asked, scale = self._asked(state, cohort), self.rescaling(state, server_round)
        if scale is not None:
            asked = {name: one.rescaled(scale, cohort.clients) for name, one in asked.items()}
        planned = plan(asked, len(cohort), coarse=self.coarse, variance=self.variance)
        if self.buffers:
            mean = LinearSum(self.population.weights[cohort.clients], of=MOVED)
            planned = replace(planned, sent={**planned.sent, BUFFERS: mean})
        order, everywhere = self.order(state, cohort), planned.everywhere
        self._round = _Round(cohort, planned, order, state)
        node_ids = sorted(grid.get_node_ids())
        model = codec.model(arrays, order)
        messages = []
        for node, places in by_node(cohort.clients, self.num_nodes, everywhere=everywhere):
            everyone = np.arange(node, self.population.num_clients, self.num_nodes) if everywhere else None
            task = Task(
                round=server_round,
                params=state.params,
                clients=cohort.clients[places],
                sums={name: part(one, places, everyone) for name, one in planned.sent.items()},
                remember=self.remember,
                order=order.at(places),
                everyone=everyone,
            )
            stays = order.empty and getattr(grid, "carries", False)
            content = codec.CarriedTask(task) if stays else codec.encode_task(task, model)
            messages.append(
                Message(
                    content,
                    dst_node_id=node_ids[node],
                    message_type=MessageType.TRAIN,
                    group_id=str(server_round),
                )
            )
        return messages

    def _asked(self, state: ServerState, cohort: Cohort) -> dict[str, Asked]:
        """Return the sums of the rule, and those of its correction under names of their own."""
        asked = dict(self.rule.ask(state.rule, cohort))
        if self.correction is not None:
            asked |= {CORRECTION + name: one for name, one in self.correction.ask(state.correction, cohort).items()}
        return asked

    def order(self, state: ServerState, cohort: Cohort) -> Order:
        """Return what goes down beside the model, for the rule and for its correction."""
        own = self.rule.order(state.rule, cohort)
        return own if self.correction is None else own.beside(self.correction.order(state.correction, cohort))

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Step."""
        outcome = self.conclude(server_round, replies)
        assert self.state is not None, "a round ends in a state"
        return arrays.record(params=self.state.params), MetricRecord({"cohort_size": len(outcome.cohort)})

    def conclude(self, server_round: int, replies: Iterable[Message]) -> RoundResult:
        """Step: add the nodes' sums in ascending order, let the rule speak, move the parameters."""
        current = self._round
        assert current is not None
        assert current.invited.round == server_round, "aggregate follows its configure"
        received = sorted(_opened(replies), key=lambda reply: reply.node)
        clients = np.sort(np.concatenate([reply.clients for reply in received] or [np.zeros(0, np.int64)]))
        cohort = Cohort(server_round, clients, statistics(received))
        size = len(current.state.params) - self.buffers
        sums = reduce(received, current.plan.sent, size, self.buffers)
        asked: Sums = current.plan.asked(sums)
        if self.noise is not None:
            asked = self.noise.added(asked, server_round)
        rule_state, update = self.rule.step(current.state.rule, cohort, asked)
        noted = current.state if current.state.written is None else _noted(current.state, current.state.written, cohort)
        noted, update = self._corrected(noted, cohort, current.plan.asked(sums), update)
        self.state = self._move(self._averaged(noted, cohort, sums), rule_state, update, server_round)
        proportional = current.plan.cohort
        return RoundResult(
            invited=current.invited,
            cohort=cohort,
            before=current.state.rule,
            update=update,
            cohort_sum=sums[proportional[0]] * proportional[1] if proportional else None,
            replies=tuple(received),
            failures=tuple(failure for reply in received for failure in reply.failures),
            used=self._used(current.state, cohort),
            told=self.rule.diagnostics(current.state.rule, cohort),
            beside=self._beside(current, size),
        )

    def _beside(self, current: _Round, size: int) -> tuple[int, int] | None:
        """Return the bytes that travel beside model and delta, down and up: vectors of length d as float32."""
        order = current.order
        return None if order.silent else (4 * size * len(order.shared), 4 * size * (current.plan.vectors - 1))

    def _corrected(
        self, state: ServerState, cohort: Cohort, sums: Sums, update: Vector | None
    ) -> tuple[ServerState, Vector | None]:
        """Let the correction speak after the rule."""
        if self.correction is None:
            return state, update
        mine = {name.removeprefix(CORRECTION): one for name, one in sums.items() if name.startswith(CORRECTION)}
        after, update = self.correction.step(state.correction, cohort, mine, update)
        return replace(state, correction=after), update

    def _averaged(self, state: ServerState, cohort: Cohort, sums: Sums) -> ServerState:
        """Return the state with sum_S a_i b_i / sum_S a_i for buffers; without anybody they stay."""
        mass = float(self.population.weights[cohort.clients].sum())
        if not self.buffers or mass == 0.0:
            return state
        params = state.params.copy()
        params[-self.buffers :] = sums[BUFFERS] / mass
        return replace(state, params=params)

    def _used(self, before: ServerState, cohort: Cohort) -> Coefficients | None:
        if not self.rule.linear or (self.correction is not None and not self.correction.linear):
            return None
        found = coefficients(self.rule, before.rule, cohort, self.population.weights)
        return found if self.rates is None else found.rescaled(self.rescaling(before, cohort.round))

    def _move(self, state: ServerState, rule_state: Any, update: Vector | None, round: int) -> ServerState:
        """Params' = params + rate (T(update) - decay params), in float64, cast once; of None only what T does then."""
        rule, optimizer, rate = self.rule, state.optimizer, self.rule.server_rate(round)
        trained, held = np.split(state.params, [len(state.params) - self.buffers])
        if rule.server_optimizer is not None:
            server = Server(round, trained, rate, self.layout)
            if update is None:
                optimizer, update = rule.server_optimizer.rest(optimizer, server)
            else:
                optimizer, update = rule.server_optimizer.apply(optimizer, update, server)
        if update is None:
            return replace(state, rule=rule_state, optimizer=optimizer)
        if rule.server_weight_decay:
            update = update - rule.server_weight_decay * trained.astype(np.float64)
        moved = trained + rate * update
        with np.errstate(over="ignore"):  # an overflow becomes inf here and is reported as divergence by the engine
            params = moved.astype(np.float32)
        whole = np.concatenate([params, held]) if self.buffers else params
        return replace(state, params=whole, rule=rule_state, optimizer=optimizer)


def _noted(state: ServerState, before: Ids, cohort: Cohort) -> ServerState:
    """Note whose memories are of this round."""
    written = before.copy()
    written[cohort.clients] = cohort.round
    return replace(state, written=written)


def _opened(messages: Iterable[Message]) -> list[Reply]:
    received = []
    for message in messages:
        if message.has_error():
            raise ClusterLostError(f"node {message.metadata.src_node_id} replied with an error: {message.error.reason}")
        received.append(codec.decode_reply(message.content))
    return received
