"""How good a global model is: on the held-out examples, or by the objective itself where that is known."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from itertools import pairwise

import numpy as np
import torch

from fedsim.clients.kernels.tensors import fresh
from fedsim.clients.numerics import pin
from fedsim.core import ClientData, Examples, ScenarioError, Targets, rng
from fedsim.core.contracts import Ids, Parameters, Vector
from fedsim.data import QuadraticData
from fedsim.models import Model
from fedsim.models.modules import draws
from fedsim.models.modules.building import build, layout, trained
from fedsim.models.modules.held import Held
from fedsim.task import LearningTask
from fedsim.task.metric import Measured, TaskMetric

BATCH = 512
"""Examples evaluated at a time; a constant, as it can move the last bit of the loss."""


class Evaluator:
    """Evaluates parameters of one model; draws nothing and changes nothing.

    With a held-out split: `loss`, the mean over its examples, and the metrics of the task. On quadratics: `loss`
    sum_i a_i f_i(w) and `distance` ||w - w*||, w* being the optimum for the objective weights a_i.

    Raises
    ------
    ScenarioError : the data holds out no examples.
    """

    def __init__(
        self,
        config: Model,
        data: ClientData,
        weights: Vector,
        device: str = "cpu",
        task: LearningTask | None = None,
        seed: int = 0,
    ) -> None:
        pin(device)
        self._device = torch.device(device)
        self._quadratic = Objective(data, weights) if isinstance(data, QuadraticData) else None
        if self._quadratic is not None:
            return
        if data.test is None or not len(data.test):
            raise ScenarioError("data: no examples are held out, so the global model cannot be evaluated")
        self._test = data.test
        targets = Targets.of(data)
        learnt = (task or LearningTask()).filled(targets)
        assert learnt.loss is not None
        self._name = config.name
        self._loss, self._metrics = learnt.loss, learnt.metrics or ()
        module = build(config, data.input_shape, self._loss.outputs(targets), seed)
        self._module = module.to(self._device).eval()
        self._layout, self._seed, self._own = layout(self._module, config.buffer_mode), seed, config.brought
        self._held = Held.of(self._module, config.buffer_mode) if config.brought else None

    def try_out(self) -> None:
        """Refuse a model whose outputs the loss cannot compare with the targets, by two test examples.

        Raises
        ------
        ScenarioError : with what the loss says.
        """
        x, y = (fresh(array[:2], self._device) for array in (self._test.x, self._test.y))
        with torch.no_grad(), draws.kept(self._device) if self._own else nullcontext():
            output = self._module(x)
            try:
                each = self._loss.of(output, y)
                fits = each.shape == (len(y),)
                alone = (
                    torch.cat([self._loss.of(output[k : k + 1], y[k : k + 1]) for k in range(len(y))]) if fits else each
                )
            except (ValueError, RuntimeError, IndexError) as error:
                raise ScenarioError(f"model.name: {self._name}: {error}") from error
        if not fits:
            raise ScenarioError(
                f"model.name: {self._name}: outputs of shape {tuple(output.shape)} do not fit {self._loss.kind}, which "
                f"has targets of shape {tuple(y.shape)}"
            )
        if not torch.allclose(each, alone, rtol=1e-4, atol=1e-6, equal_nan=True):
            raise ScenarioError(
                f"task.loss: {self._loss.kind}: an example's loss depends on the others of its batch; are outputs of "
                f"shape {tuple(output.shape)} broadcast over targets of shape {tuple(y.shape)}?"
            )

    def evaluate(self, params: Parameters) -> dict[str, float]:
        """Return the metrics of a model (d + b,), its module in eval mode."""
        if self._quadratic is not None:
            return self._quadratic.evaluate(params)
        with self._holding(params):
            loss = torch.zeros((), dtype=torch.float64, device=self._device)
            whole: list[Measured] = []
            for first in range(0, len(self._test), BATCH):
                y = fresh(self._test.y[first : first + BATCH], self._device)
                output = self._module(fresh(self._test.x[first : first + BATCH], self._device))
                loss += self._loss.of(output, y).double().sum()
                read = self._loss.read(output, y)
                batch = [metric.measure(*read) for metric in self._metrics]
                whole = [m.add(a, b) for m, a, b in zip(self._metrics, whole, batch, strict=True)] if whole else batch
        found = {metric.name: metric.value(sums) for metric, sums in zip(self._metrics, whole, strict=True)}
        return {"loss": loss.item() / len(self._test), **found}

    def by_owner(
        self, params: Parameters, metric: TaskMetric, batches: Iterable[tuple[Examples, Ids]]
    ) -> dict[int, float]:
        """Return one metric of a model (d + b,) for each owner of examples, in one pass over all of them.

        `batches` are examples (B,) beside their owners (B,); what an owner's parts come to is added up.
        """
        whole: dict[int, Measured] = {}
        with self._holding(params):
            for examples, owners in batches:
                y = fresh(examples.y, self._device)
                output = self._module(fresh(examples.x, self._device))
                cuts = [0, *(np.flatnonzero(np.diff(owners)) + 1).tolist(), len(owners)]
                for first, last in pairwise(cuts):
                    part = metric.measure(*self._loss.read(output[first:last], y[first:last]))
                    owner = int(owners[first])
                    whole[owner] = metric.add(whole[owner], part) if owner in whole else part
        return {owner: metric.value(sums) for owner, sums in whole.items()}

    @contextmanager
    def _holding(self, params: Parameters) -> Iterator[None]:
        """Have the module hold a model (d + b,) for a while, without gradients, its draws keyed and nobody else's."""
        with torch.no_grad(), draws.kept(self._device) if self._own else nullcontext():
            if self._own:
                draws.turn(rng.digest(self._seed, "draws"), self._device)
            if self._held is not None:
                self._held.load(fresh(params[self._layout.size :], self._device))
            parts = self._layout.views(np.ascontiguousarray(params))
            for weight, part in zip(trained(self._module), parts.values(), strict=True):
                weight.copy_(fresh(part, self._device))
            yield


def reported(found: Mapping[str, float]) -> dict[str, float]:
    """Return what an evaluation found by the names under which a run reports it.

    >>> reported({"loss": 0.5, "r2": 0.9}), reported({"loss": 0.5, "distance": 2.0})
    ({'test_loss': 0.5, 'test_r2': 0.9}, {'test_loss': 0.5, 'distance': 2.0})
    """
    return {name if name == "distance" else f"test_{name}": float(value) for name, value in found.items()}


class Objective:
    """The exact objective sum_i a_i curvature_i / 2 ||w - c_i||^2 and its optimum."""

    def __init__(self, data: QuadraticData, weights: Vector) -> None:
        self._centers = data.centers
        self._pull: Vector = weights * data.curvature
        self.optimum: Vector = self._pull @ self._centers / self._pull.sum()

    def evaluate(self, params: Parameters) -> dict[str, float]:
        """Return the objective at parameters (d,) and their distance to the optimum."""
        w = params.astype(np.float64)
        squares = ((w - self._centers) ** 2).sum(axis=1)
        return {"loss": float(0.5 * self._pull @ squares), "distance": float(np.linalg.norm(w - self.optimum))}
