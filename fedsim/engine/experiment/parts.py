"""The composition root: a validated scenario becomes data, population, participation, strategy and evaluator."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
from flwr.app import RecordDict

from fedsim.clients import numerics
from fedsim.clients.evaluation import Evaluator
from fedsim.clients.foreign.kernel import Opens
from fedsim.clients.foreign.work import ClassWork
from fedsim.clients.gossip.node import PeerPlan
from fedsim.clients.sketch import EXACT
from fedsim.clients.training import Trainer
from fedsim.clients.uplink import UplinkPlan
from fedsim.core import (
    ClientData,
    ClientHalf,
    Cohort,
    Diagnostics,
    FedsimError,
    Population,
    Process,
    Rule,
    ScenarioError,
    Targets,
    World,
)
from fedsim.core.client_work import OwnWork
from fedsim.core.config.inputs import Input, hold, place_of
from fedsim.core.contracts import WEIGHT, Vector
from fedsim.core.flower_project import read_project
from fedsim.core.sums import DELTA
from fedsim.data import Partitioned, QuadraticData
from fedsim.data.reading.targets import as_numbers
from fedsim.engine.experiment import privacy, sending
from fedsim.engine.experiment.judging import Judge, judge
from fedsim.engine.experiment.probe import Prober, gathers
from fedsim.engine.nodes.host import HostPlan
from fedsim.metrics import Fact
from fedsim.metrics.registry import know
from fedsim.participation.clock import Clock
from fedsim.participation.devices import environment
from fedsim.participation.environment import Environment, local_steps
from fedsim.participation.redraw import coins, redraws
from fedsim.scenario import Scenario, placed, read_inputs
from fedsim.scenario.foreign import blamed, refuse_edited
from fedsim.strategies.flower import codec, stock
from fedsim.strategies.flower.adapter import RuleStrategy
from fedsim.strategies.flower.coordinator import Coordinator
from fedsim.strategies.flower.gossip import GossipStrategy
from fedsim.strategies.gossip import Gossip
from fedsim.strategies.stock import Stock
from fedsim.task import LearningTask


@dataclass(frozen=True)
class Experiment:
    """What a run is made of, apart from where it runs."""

    scenario: Scenario
    data: ClientData
    process: Process
    population: Population
    clock: Clock | None = None
    inputs: tuple[Input, ...] = ()

    @property
    def rule(self) -> Rule:
        """The strategy's mathematics."""
        rule: Rule = self.scenario.strategy
        return rule

    def told(self) -> tuple[Any, Diagnostics]:
        """Return the strategy's first state, with vectors of no length, and what it has to tell of a round."""
        strategy = self.scenario.strategy
        state = strategy.start(np.zeros(0, np.float32), self.population) if isinstance(strategy, Rule) else None
        return state, strategy.diagnostics(state, Cohort(0, np.zeros(0, np.int64)))

    def facts(self) -> tuple[frozenset[Fact], tuple[str, ...]]:
        """Return what holds of this run, on which it depends which metrics it reports, and those its strategy tells."""
        scenario, (state, told) = self.scenario, self.told()
        mean = scenario.strategy.memory_mean(state)
        held: dict[Fact, bool] = {
            "server": self.peer_plan is None,
            "peers": self.peer_plan is not None,
            "labels": self.task is not None and "accuracy" in self.task.names,
            "optimum": isinstance(self.data, QuadraticData),
            "memories": scenario.strategy.remembers,
            "audit": scenario.memory.audit is not None and mean is not None,
            "controls": scenario.memory.audit is not None and self._controlled,
            "estimates": WEIGHT in told.vectors and self.population.probabilities is not None,
            "clock": self.clock is not None,
            "probe": scenario.probe is not None,
            "privacy": getattr(scenario.strategy, "dp_delta", None) is not None,
            "checkpoints": scenario.checkpoint is not None,
        }
        measured = () if self.task is None else (f"test_{name}" for name in self.task.names)
        judged = () if self.judge is None else self.judge.names
        return frozenset(fact for fact, holds in held.items() if holds), (*told.values, *measured, *judged)

    @cached_property
    def task(self) -> LearningTask | None:
        """What is learnt, with what the scenario leaves to the targets; None on quadratics."""
        if isinstance(self.data, QuadraticData):
            return None
        return (self.scenario.task or LearningTask()).filled(Targets.of(self.data))

    @property
    def remembers(self) -> bool:
        """Whether clients keep their last delta: for the rule, for ef21, or as a probe compares with rules that do."""
        scenario = self.scenario
        coded = scenario.uplink is not None and scenario.uplink.feedback == "ef21"
        return scenario.strategy.remembers or scenario.probe is not None or coded

    @cached_property
    def halves(self) -> tuple[ClientHalf, ...]:
        """What clients do beside plain training: for the rule, and for its correction."""
        rule = self.scenario.strategy
        parts = (rule, rule.corrected_by()) if isinstance(rule, Rule) else ()
        return tuple(part for part in parts if part is not None and not part.idle)

    @property
    def _controlled(self) -> bool:
        """Whether a correction says what the means of its memories are."""
        rule = self.scenario.strategy
        correction = rule.corrected_by() if isinstance(rule, Rule) else None
        if correction is None:
            return False
        return bool(correction.memory_means(correction.start(np.zeros(0, np.float32), self.population)))

    @property
    def memories(self) -> tuple[str, ...]:
        """The names of what clients keep."""
        kept = (*((DELTA,) if self.remembers else ()), *(name for half in self.halves for name in half.memories))
        return kept if self.uplink is None else (*kept, *self.uplink.memories(kept))

    @cached_property
    def uplink(self) -> UplinkPlan | None:
        """How clients send; None where vectors travel as they are."""
        return sending.uplink_plan(self.scenario, self.data, self.population)

    @property
    def keeps(self) -> bool:
        """Whether clients keep anything where they live, so that a lost host takes it along."""
        held = self.trainer.layout.buffers
        kept = self.memories or self.trainer.carries or self.foreign is not None
        return bool(kept) or (held.local and held.size > 0)

    @property
    def rescales(self) -> bool:
        """Whether memories are used at another learning rate than they were made with."""
        return self.remembers and self.scenario.rescales

    @property
    def world(self) -> World:
        """What participation may know of the run."""
        return _world(self.scenario, self.data, self.inputs)

    def prober(self) -> Prober | None:
        """Return the variance probe, when the scenario asks for one."""
        if self.scenario.probe is None:
            return None
        return Prober(self.scenario, self.world, self.population, self.trainer.layout.size)

    @property
    def num_nodes(self) -> int:
        """Flower nodes: a constant of the scenario, at most one per client."""
        return self.scenario.nodes_for(self.population.num_clients)

    @cached_property
    def trainer(self) -> Trainer:
        """The driver's own trainer: the layout, the first parameters, predicted costs."""
        numerics.pin()
        scenario, loss = self.scenario, self.task.loss if self.task else None
        return Trainer(scenario.model, scenario.client, self.data, scenario.seed, loss=loss, foreign=self.foreign)

    @cached_property
    def foreign(self) -> Opens | None:
        """Local work that is not ours: a user's class, or a Flower app's; None where clients train by SGD."""
        client = self.scenario.client
        if client.app is None:
            return None if isinstance(client.work, OwnWork) else ClassWork(client.work, self.scenario.folder)
        from fedsim.engine.nodes.app_work import AppWork

        project = read_project(place_of(client.app, self.scenario.folder).absolute())
        return AppWork.of(project, client.run_config, client.train_config)

    @cached_property
    def evaluator(self) -> Evaluator:
        """What judges the global model."""
        scenario = self.scenario
        return Evaluator(scenario.model, self.data, self.population.weights, task=self.task, seed=scenario.seed)

    @cached_property
    def judge(self) -> Judge | None:
        """What judges the global model client by client, when the scenario asks for it."""
        if self.scenario.evaluate.clients is None:
            return None
        return judge(self.scenario, self.data, self.population, self.task, self.evaluator)

    def environment(self) -> Environment:
        """Return the world as the server meets it."""
        steps = local_steps(self.scenario.client, self.data)
        layout = self.trainer.layout
        up = sending.up_bytes(self.scenario.uplink, layout.size, layout.nbytes)
        return Environment(self.process, self.clock, steps, layout.nbytes, up)

    def strategy(self, environment: Environment) -> Coordinator:
        """Return what coordinates the rounds: the rule as a Flower strategy, or one of Flower's own."""
        if isinstance(self.scenario.strategy, Stock):
            chosen, examples = self.scenario.strategy, self.population.num_examples
            layout, seed = self.trainer.layout, self.scenario.seed
            return stock.StockStrategy(chosen, layout, environment.present, seed, examples)
        return RuleStrategy(
            self.rule,
            self.population,
            environment.present,
            self.num_nodes,
            coarse=bool(self.memories) and self.scenario.memory.dtype != "float32",
            remember=self.remembers,
            rates=self.scenario.client.rate if self.rescales else None,
            layout=self.trainer.layout,
            noise=privacy.noise(self.scenario, self.population),
        )

    def peers(self, environment: Environment) -> GossipStrategy:
        """Return gossip as a Flower strategy over this population."""
        return GossipStrategy(self.scenario.strategy, self.world, environment.present, self.num_nodes)

    @cached_property
    def peer_plan(self) -> PeerPlan | None:
        """What nodes of gossip must know; None where there is a server model."""
        rule = self.scenario.strategy
        if not isinstance(rule, Gossip):
            return None
        return PeerPlan(
            num_clients=self.population.num_clients,
            num_nodes=self.num_nodes,
            weights=self.population.weights,
            correct=rule.correction == "variance",
            track=rule.track_variance,
            tensors=rule.tensors,
            common=rule.initialisation == "common" and not getattr(self.scenario.model, "per_node", False),
        )

    def host_plan(self, device: str = "cpu", memory_folder: Any = None) -> HostPlan:
        """Return what hosts must know."""
        return HostPlan(
            model=self.scenario.model,
            work=self.scenario.client,
            seed=self.scenario.seed,
            device=device,
            memory=self.scenario.memory.dtype if self.memories else None,
            memory_folder=memory_folder,
            memories=self.memories,
            halves=self.halves,
            peers=self.peer_plan,
            foreign=self.foreign,
            task=self.task,
            uplink=self.uplink,
            faults=None if self.scenario.faults is None else partial(self.scenario.faults.events, self.scenario.seed),
        )

    def node_costs(self) -> dict[int, float]:
        """Predict each node's work: the expected examples of its clients' rounds."""
        clients = np.arange(self.population.num_clients, dtype=np.int64)
        expected = self.process.probabilities
        costs = self.trainer.cost(clients) * (1.0 if expected is None else expected)
        return dict(enumerate(np.bincount(clients % self.num_nodes, costs, self.num_nodes).tolist()))

    def cost(self, node: int, content: RecordDict) -> float:
        """Predict the work of one message: the examples that its clients will go through."""
        clients = codec.clients(content) if codec.is_task(content) else np.array([node])
        return float(self.trainer.cost(clients).sum())


def objective_weights(weights: str, num_examples: np.ndarray[Any, np.dtype[np.int64]]) -> Vector:
    """Return a_i: uniform 1/N, or in proportion to examples; they sum to 1."""
    if weights == "uniform":
        return np.full(len(num_examples), 1.0 / len(num_examples))
    shares: Vector = num_examples / num_examples.sum()
    return shares


def build(scenario: Scenario, data: ClientData | None = None, inputs: Sequence[Input] | None = None) -> Experiment:
    """Load the data and put a scenario together; what cannot work is refused here, before anything is started.

    `data` is what the scenario's own data section gives for its seed, where it has been loaded before; `inputs` what
    the scenario's files are to hold. Hosts read no files: what the driver has read here is what everybody trains on.

    Raises
    ------
    ScenarioError : data that are not there, parts that do not fit together, or files that change meanwhile.
    """
    try:
        refuse_edited(scenario)
        held = read_inputs(scenario, inputs or ())
        if inputs is not None:
            hold(inputs, held, "since this run was planned")
        experiment = _build(scenario, data, held)
        hold(held)
        return experiment
    except ScenarioError as error:
        raise placed(scenario, error) from error
    except FedsimError:
        raise
    except Exception as error:
        raise blamed(scenario, error) from None


def _world(scenario: Scenario, data: ClientData, inputs: Sequence[Input]) -> World:
    content = "".join(one.sha256 for one in inputs)
    return World(scenario.seed, data.num_clients, data.label_counts, scenario.folder, content)


def _meant(scenario: Scenario, data: ClientData) -> ClientData:
    """Return the data as model and task take them: labels as numbers where numbers are learnt, tokens as whole ones."""
    if not isinstance(data, Partitioned):
        return data
    loss = None if scenario.task is None else scenario.task.loss
    if loss is not None and loss.answers == "numbers":
        data = as_numbers(data)
    if scenario.model.tokens and data.x.dtype != np.int64:
        raise ScenarioError(
            f"model.name: {scenario.model.name} takes token ids (int64), and the features of {scenario.data.dataset} "
            "are numbers"
        )
    if data.x.dtype != np.int64 or scenario.model.tokens or scenario.model.brought:
        return data
    test = None if data.test is None else replace(data.test, x=data.test.x.astype(np.float32))
    return replace(data, x=data.x.astype(np.float32), test=test)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _build(scenario: Scenario, data: ClientData | None, inputs: tuple[Input, ...]) -> Experiment:
    if scenario.client.timeout_s is not None and scenario.engine.kind == "serial" and not _in_main_thread():
        raise ScenarioError("client.timeout_s: only the main thread can be interrupted; run there, or leave it out")
    if data is None:
        data = scenario.data.load(scenario.seed, scenario.folder)
    data = _meant(scenario, data)
    world = _world(scenario, data, inputs)
    scenario = replace(scenario, model=scenario.model.with_files(scenario.folder))
    process, clock = environment(scenario.participation, scenario.devices, world)
    rule: Rule = scenario.strategy
    known = None if clock is not None and clock.selects else process.probabilities
    weights = objective_weights(rule.weights, data.num_examples)
    by_coins = coins(scenario.participation) and (clock is None or not clock.selects)
    steps = local_steps(scenario.client, data)
    population = Population(data.num_examples, weights, known, steps, scenario.seed, by_coins)
    if rule.needs_probabilities() and population.probabilities is None:
        raise ScenarioError(
            "strategy.probabilities: 'known' needs a process that knows its own p_i, which this one does not; "
            "give a list of probabilities or 'estimated'"
        )
    if scenario.probe is not None:
        if clock is not None and clock.selects:
            raise ScenarioError(
                "probe: with `devices.deadline_s` or `invite` the cohort's law is not the process's own"
            )
        redraws(scenario.participation, world)
    if inputs and isinstance(scenario.strategy, Gossip):
        scenario.strategy.graph(world, 1)  # read while its file is watched
    experiment = Experiment(scenario, data, process, population, clock, inputs)
    for metric in experiment.task.metrics or () if experiment.task is not None else ():
        know(metric)
    if experiment.task is not None:
        experiment.evaluator.try_out()
    size = experiment.trainer.layout.size  # a model that does not fit the data is refused here, not in round 1
    if experiment.uplink is not None:
        sending.check(experiment.uplink.codec, size)
    _ = experiment.judge  # who cannot be judged is told here
    if scenario.probe is not None:
        _probeable(rule, population, size, scenario.strategy.name)
    return experiment


def _probeable(rule: Rule, population: Population, size: int, name: str) -> None:
    """Refuse to probe what cannot be put together from deltas and memories, or not from short projections of them."""
    if not gathers(rule, population):
        raise ScenarioError(
            f"probe: {name} makes its update of other vectors than what clients send and sent last, and a probe "
            "gathers no others"
        )
    correction = rule.corrected_by()
    linear = rule.linear and (correction is None or correction.linear)
    if not linear and size > EXACT:
        raise ScenarioError(
            f"probe: {name} is not linear in what clients send, so that its update cannot be formed from short "
            f"projections; a model of at most {EXACT} parameters is probed without them, this one has {size}"
        )
