"""Each metric of a task is the number of the same name in scikit-learn or torchmetrics, however batches are cut."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np
import pytest
import torch
from sklearn import metrics as sklearn
from torchmetrics.functional import classification, regression
from torchmetrics.functional.text import perplexity

from fedsim.core import ScenarioError, Targets
from fedsim.metrics.registry import bounds, higher_is_better, metric_of
from fedsim.task import LearningTask, TaskMetric
from fedsim.task.losses import catalogue as losses
from fedsim.task.metrics import catalogue, named

stream = np.random.default_rng(4)
SCORES = stream.standard_normal((90, 6)).astype(np.float32)
LABELS = stream.integers(0, 5, 90)  # class 5 never occurs
LOGITS = stream.standard_normal((90, 4)).astype(np.float32)
ANSWERS = stream.integers(0, 2, (90, 4))
GIVEN = stream.standard_normal((90, 3)).astype(np.float32)
WANTED = (GIVEN + 0.5 * stream.standard_normal((90, 3)) + 100).astype(np.float32)


def measured(metric: TaskMetric, output: Any, y: Any, cuts: tuple[int, ...] = ()) -> float:
    outputs, targets = np.split(output, cuts), np.split(y, cuts)
    parts = [metric.measure(torch.from_numpy(a), torch.from_numpy(b)) for a, b in zip(outputs, targets, strict=True)]
    return metric.value(reduce(metric.add, parts))


EXPECTED: dict[str, tuple[str, Any, Any, Callable[..., Any]]] = {
    "accuracy": ("accuracy", SCORES, LABELS, lambda o, y: sklearn.accuracy_score(y, o.argmax(1))),
    "accuracy of answers": ("accuracy", LOGITS, ANSWERS, lambda o, y: ((o > 0) == y).mean()),
    "top_1": ("top_1", SCORES, LABELS, lambda o, y: sklearn.accuracy_score(y, o.argmax(1))),
    "top_3": ("top_3", SCORES, LABELS, lambda o, y: sklearn.top_k_accuracy_score(y, o, k=3, labels=np.arange(6))),
    "top_9": ("top_9", SCORES, LABELS, lambda o, y: 1.0),
    "f1": ("f1", SCORES, LABELS, lambda o, y: sklearn.f1_score(y, o.argmax(1), average="macro")),
    "f1 in torchmetrics": (
        "f1",
        SCORES,
        LABELS,
        lambda o, y: classification.multiclass_f1_score(torch.from_numpy(o), torch.from_numpy(y), 6, "macro"),
    ),
    "f1 of answers": ("f1", LOGITS, ANSWERS, lambda o, y: sklearn.f1_score(y, o > 0, average="macro")),
    "f1 of one answer": ("f1", LOGITS[:, 0], ANSWERS[:, 0], lambda o, y: sklearn.f1_score(y, o > 0)),
    "auroc": (
        "auroc",
        SCORES[:, :5],
        LABELS,
        lambda o, y: np.mean([sklearn.roc_auc_score(y == k, _softmax(o)[:, k]) for k in range(5)]),
    ),
    "auroc of answers": ("auroc", LOGITS, ANSWERS, lambda o, y: sklearn.roc_auc_score(y, o, average="macro")),
    "mse": ("mse", GIVEN, WANTED, lambda o, y: sklearn.mean_squared_error(y.astype(np.float64), o)),
    "mae": ("mae", GIVEN, WANTED, lambda o, y: sklearn.mean_absolute_error(y.astype(np.float64), o)),
    "mae in torchmetrics": (
        "mae",
        GIVEN[:, 0],
        WANTED[:, 0],
        lambda o, y: regression.mean_absolute_error(torch.from_numpy(o), torch.from_numpy(y)),
    ),
    "r2": ("r2", GIVEN, WANTED, lambda o, y: sklearn.r2_score(y.astype(np.float64), o.astype(np.float64))),
    "r2 of one number": ("r2", GIVEN[:, 1], WANTED[:, 1], lambda o, y: sklearn.r2_score(y, o.astype(np.float64))),
    "perplexity": (
        "perplexity",
        SCORES,
        LABELS,
        lambda o, y: perplexity(torch.from_numpy(o)[None], torch.from_numpy(y)[None]),
    ),
}


def _softmax(scores: Any) -> Any:
    powers = np.exp(scores.astype(np.float64))
    return powers / powers.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("case", EXPECTED)
def test_a_metric_is_that_of_the_libraries_however_batches_are_cut(case: str) -> None:
    name, output, y, expected = EXPECTED[case]
    wanted = float(expected(output, y))
    assert measured(named(name), output, y) == pytest.approx(wanted, rel=2e-6)
    assert measured(named(name), output, y, (40, 41, 77)) == pytest.approx(wanted, rel=2e-6)


def test_squared_deviations_far_from_zero_do_not_cancel() -> None:
    y = (np.arange(64) % 2 + 1e6).astype(np.float32)
    output = (y + 0.25).astype(np.float32)
    assert measured(named("r2"), output, y, (1, 30)) == pytest.approx(1 - 0.0625 / 0.25, rel=1e-12)


def test_targets_that_do_not_vary_have_an_r2_of_one_or_zero() -> None:
    y = np.full(4, 3.0, np.float32)
    assert measured(named("r2"), y, y) == 1.0
    assert measured(named("r2"), y + 1, y) == 0.0


def test_classes_with_equal_scores_are_named_by_their_number() -> None:
    flat, labels = np.zeros((4, 4), np.float32), np.arange(4)
    assert [measured(named(f"top_{k}"), flat, labels) for k in (1, 2, 4)] == [0.25, 0.5, 1.0]


@pytest.mark.parametrize("kind", catalogue())
def test_direction_and_bounds_come_with_the_metric(kind: str) -> None:
    metric = catalogue()[kind]()
    told = metric_of(f"test_{metric.name}")
    assert told is not None
    assert (told.better, told.unit) == (metric.better, metric.unit)
    assert higher_is_better(told.name) == (metric.better == "higher")
    low, high = bounds(told.name)
    assert all(low <= value <= high for value in (measured(metric, *_example(metric)),))


def _example(metric: TaskMetric) -> tuple[Any, Any]:
    return (GIVEN, WANTED) if "numbers" in metric.of else (SCORES, LABELS)


def test_a_number_of_its_own_is_known_everywhere() -> None:
    assert higher_is_better("test_top_7")
    assert bounds("test_top_7") == (0.0, 1.0)
    assert metric_of("test_top_0") is metric_of("test_top_k") is metric_of("test_nonsense") is None


@pytest.mark.parametrize("kind", losses())
def test_the_usual_metrics_of_a_loss_have_a_meaning_under_it(kind: str) -> None:
    loss = losses()[kind]()
    fitting = [Targets(shape, classes) for shape in ((), (4,)) for classes in (0, 2)]
    targets = next(one for one in fitting if loss.refusal(one) is None)
    task = LearningTask(loss=loss).filled(targets)
    assert task.names == loss.usual != ()


def test_targets_that_are_none_for_the_loss_are_refused() -> None:
    for kind, targets, told in (
        ("cross_entropy", Targets((), 0), "for labels, and the targets are numbers"),
        ("cross_entropy", Targets((8,), 9), "one label each, and a target has shape"),
        ("token_cross_entropy", Targets((), 9), "rows of tokens, and the targets are one label each"),
        ("bce", Targets((), 9), "targets 0 and 1, and there are 9 labels"),
    ):
        with pytest.raises(ScenarioError, match=told):
            LearningTask(loss=losses()[kind]()).filled(targets)
    with pytest.raises(ScenarioError, match=r"task.metrics.0: r2 is for numbers, and cross_entropy learns classes"):
        LearningTask(metrics=(named("r2"),)).filled(Targets((), 9))
