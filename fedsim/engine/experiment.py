"""The composition root: a validated scenario becomes data, population, participation, strategy and evaluator."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np

from clients import numerics
from clients.evaluation import Evaluator
from clients.training import Trainer
from fedsim.core import ClientData, Population, Process, Rule, ScenarioError, World
from fedsim.core.contracts import Vector
from fedsim.engine.environment import Environment, local_steps
from fedsim.engine.host import HostPlan
from fedsim.participation.clock import Clock
from fedsim.participation.devices import environment
from fedsim.scenario import Scenario
from strategies.flower.adapter import RuleStrategy


@dataclass(frozen=True)
class Experiment:
    """What a run is made of, apart from where it runs."""

    scenario: Scenario
    data: ClientData
    process: Process
    population: Population
    clock: Clock | None = None

    @property
    def rule(self) -> Rule:
        """The strategy's mathematics."""
        rule: Rule = self.scenario.strategy
        return rule

    @property
    def num_nodes(self) -> int:
        """Flower nodes: a constant of the scenario, at most one per client."""
        return self.scenario.nodes_for(self.population.num_clients)

    @cached_property
    def trainer(self) -> Trainer:
        """The driver's own trainer: the layout, the first parameters, predicted costs."""
        numerics.pin()
        return Trainer(self.scenario.model, self.scenario.client, self.data, self.scenario.seed)

    @cached_property
    def evaluator(self) -> Evaluator:
        """What judges the global model."""
        return Evaluator(self.scenario.model, self.data, self.population.weights)

    def environment(self) -> Environment:
        """Return the world as the server meets it."""
        steps = local_steps(self.scenario.client, self.data)
        return Environment(self.process, self.clock, steps, 4 * self.trainer.layout.size)

    def strategy(self, environment: Environment) -> RuleStrategy:
        """Return the rule as a Flower strategy over this population."""
        return RuleStrategy(
            self.rule,
            self.population,
            environment.present,
            self.num_nodes,
            coarse=self.rule.remembers and self.scenario.memory.dtype != "float32",
        )

    def host_plan(self, device: str = "cpu", memory_folder: Any = None) -> HostPlan:
        """Return what hosts must know."""
        return HostPlan(
            model=self.scenario.model,
            work=self.scenario.client,
            seed=self.scenario.seed,
            device=device,
            memory=self.scenario.memory.dtype if self.rule.remembers else None,
            memory_folder=memory_folder,
            faults=None if self.scenario.faults is None else partial(self.scenario.faults.events, self.scenario.seed),
        )

    def node_costs(self) -> dict[int, float]:
        """Predict each node's work: the expected examples of its clients' rounds."""
        clients = np.arange(self.population.num_clients, dtype=np.int64)
        expected = self.process.probabilities
        costs = self.trainer.cost(clients) * (1.0 if expected is None else expected)
        return dict(enumerate(np.bincount(clients % self.num_nodes, costs, self.num_nodes).tolist()))


def objective_weights(weights: str, num_examples: np.ndarray[Any, np.dtype[np.int64]]) -> Vector:
    """Return a_i: uniform 1/N, or in proportion to examples; they sum to 1."""
    if weights == "uniform":
        return np.full(len(num_examples), 1.0 / len(num_examples))
    shares: Vector = num_examples / num_examples.sum()
    return shares


def build(scenario: Scenario, data: ClientData | None = None) -> Experiment:
    """Load the data and put a scenario together; what cannot work is refused here, before anything is started.

    `data` is what the scenario's own data section gives for its seed, where it has been loaded before.

    Raises
    ------
    ScenarioError : data that are not there, or parts that do not fit together.
    """
    if data is None:
        data = scenario.data.load(scenario.seed, scenario.folder)
    world = World(scenario.seed, data.num_clients, data.label_counts, scenario.folder)
    process, clock = environment(scenario.participation, scenario.devices, world)
    rule: Rule = scenario.strategy
    known = None if clock is not None and clock.selects else process.probabilities
    population = Population(data.num_examples, objective_weights(rule.weights, data.num_examples), known)
    if rule.needs_probabilities() and population.probabilities is None:
        raise ScenarioError(
            "strategy.probabilities: 'known' needs a process that knows its own p_i, which this one does not; "
            "give a list of probabilities or 'estimated'"
        )
    return Experiment(scenario, data, process, population, clock)
