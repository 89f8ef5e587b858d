"""How a run judges the global model client by client: who, on what, and the names of what it finds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fedsim.clients.evaluation import Evaluator
from fedsim.clients.own_evaluation import (
    DECILES,
    ClientEvaluator,
    by_presence,
    judged_clients,
    own_part,
    personal_work,
    spread,
)
from fedsim.core import ClientData, Population, ScenarioError
from fedsim.core.contracts import Parameters, Vector
from fedsim.metrics.metric import SPREAD
from fedsim.metrics.registry import know_of_clients
from fedsim.scenario import Scenario
from fedsim.task import LearningTask


@dataclass(frozen=True)
class Judge:
    """Tells what the global model is worth to each client.

    `probabilities` (M,) are those of the judged clients, None where they are not known, do not differ, or are fewer
    than ten.
    """

    clients: ClientEvaluator
    probabilities: Vector | None
    told: Mapping[str, Any]

    def evaluate(self, params: Parameters, round: int) -> dict[str, float]:
        """Return the metrics of an evaluation by their names."""
        metric, judged = self.clients.metric, self.clients.evaluate(params)
        found = spread(f"client_{metric.name}", judged, metric.better)
        if self.probabilities is not None:
            found |= by_presence(f"client_{metric.name}", judged, self.probabilities)
        if self.clients.personal is not None:
            own = self.clients.personalised(params, round)
            found |= spread(f"personal_{metric.name}", own, metric.better)
        return found

    @property
    def names(self) -> tuple[str, ...]:
        """The names of what it tells."""
        name, personal = self.clients.metric.name, self.clients.personal is not None
        tenths = () if self.probabilities is None else range(1, DECILES + 1)
        kinds = ("client", "personal") if personal else ("client",)
        spreads = tuple(f"{kind}_{name}_{key}" for kind in kinds for key in SPREAD)
        return (*spreads, *(f"client_{name}_p{tenth}" for tenth in tenths))


def judge(
    scenario: Scenario, data: ClientData, population: Population, task: LearningTask | None, evaluator: Evaluator
) -> Judge | None:
    """Return what judges client by client, None where the scenario does not ask for it.

    Raises
    ------
    ScenarioError : there are fewer clients than wanted, or the task has no metric.
    """
    wanted = scenario.evaluate.clients
    if wanted is None or task is None:
        return None
    if not task.metrics:
        raise ScenarioError("evaluate.clients: judges by the first of task.metrics, which is empty")
    if isinstance(wanted, int) and wanted > data.num_clients:
        raise ScenarioError(f"evaluate.clients: there are {data.num_clients} clients, got {wanted}; `all` takes them")
    assert task.loss is not None
    know_of_clients(task.metrics[0])
    own, epochs = own_part(data), scenario.evaluate.personal_epochs
    counts = data.num_examples if own is None else own.num_examples
    chosen = judged_clients(counts, wanted if isinstance(wanted, int) else None, scenario.seed)
    likely = None if population.probabilities is None else population.probabilities[chosen]
    if likely is not None and (len(chosen) < DECILES or likely.min() == likely.max()):
        likely = None
    clients = ClientEvaluator(
        evaluator,
        data,
        task.metrics[0],
        chosen,
        scenario.model,
        task.loss,
        scenario.seed,
        None if epochs is None else personal_work(scenario.client, epochs),
    )
    on = "the training examples of each client" if own is None else "the own test part of each client"
    told = {"metric": task.metrics[0].name, "clients": len(chosen), "on": on}
    return Judge(clients, likely, told)
