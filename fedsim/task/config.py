"""The section `task:` of a scenario."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from fedsim.core import ScenarioError, Targets
from fedsim.core.config.tagged import OneOf
from fedsim.task import foreign, losses, metrics
from fedsim.task.loss import Loss
from fedsim.task.metric import TaskMetric
from fedsim.task.usual import usual_loss

AnyLoss = Annotated[Loss, OneOf("kind", losses.catalogue, foreign.LOSS, spelled=losses.spelled)]
AnyMetric = Annotated[TaskMetric, OneOf("kind", metrics.catalogue, foreign.METRIC, spelled=metrics.spelled)]


@dataclass(frozen=True, kw_only=True)
class LearningTask:
    """What is learnt from the targets, and by what the global model is judged on the held-out split."""

    loss: AnyLoss | None = None
    """What training makes small: its word, or a mapping with its options. The default follows the targets: labels have
    cross_entropy, numbers mse, rows of tokens token_cross_entropy, rows of 0 and 1 bce."""
    metrics: tuple[AnyMetric, ...] | None = None
    """What is measured beside `test_loss`, as `test_<name>`, by words (`top_5` too) or mappings with options. The
    default follows the loss: accuracy; for tokens perplexity too; for numbers mse, mae and r2."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the metrics that are named."""
        return tuple(metric.name for metric in self.metrics or ())

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield (key, message) for metrics that are there twice, or have no meaning under the loss."""
        for place, name in enumerate(self.names):
            if name in self.names[:place]:
                yield f"metrics.{place}", f"{name} is there twice"
        yield from self._meaningless()

    def _meaningless(self) -> Iterator[tuple[str, str]]:
        for place, metric in enumerate(self.metrics or ()):
            if self.loss is not None and self.loss.answers not in (*metric.of, "any"):
                given, wanted = self.loss.answers, " or ".join(metric.of)
                yield f"metrics.{place}", f"{metric.name} is for {wanted}, and {self.loss.kind} learns {given}"

    def filled(self, targets: Targets) -> LearningTask:
        """Return the task with what was left out, as it follows from the targets.

        Raises
        ------
        ScenarioError : targets that are none for the loss, metrics that have no meaning for them.
        """
        loss = self.loss or usual_loss(targets)
        refusal = loss.refusal(targets)
        if refusal is not None:
            raise ScenarioError(f"task.loss: {refusal}")
        usual = tuple(metrics.named(word) for word in (loss.usual or usual_loss(targets).usual))
        whole = LearningTask(loss=loss, metrics=usual if self.metrics is None else self.metrics)
        for key, message in whole._meaningless():
            raise ScenarioError(f"task.{key}: {message}")
        return whole
