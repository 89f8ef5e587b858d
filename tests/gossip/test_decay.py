"""What averaging does to variance without training: the closed forms, and how the correction undoes it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from fedsim.clients.gossip.merge import Row, Tensors, merge, moments
from fedsim.core import Layout, World
from fedsim.graphs import topology as kinds
from fedsim.graphs.graph import Graph, Topology
from fedsim.strategies.peers.mixing import Rows, rows

pytestmark = pytest.mark.slow

SIZE = 4000
TENSORS = Tensors.of(Layout(("w",), ((SIZE // 10, 10),)), "weights")
SAMPLING = np.sqrt(2 / SIZE)
GRAPHS: dict[str, tuple[Topology, int]] = {
    "ring": (kinds.Ring(), 12),
    "torus": (kinds.Torus(), 16),
    "complete": (kinds.Complete(), 10),
    "regular": (kinds.Regular(degree=4), 16),
    "star": (kinds.Star(), 9),
    "barabasi_albert": (kinds.BarabasiAlbert(edges=2), 16),
    "watts_strogatz": (kinds.WattsStrogatz(neighbours=4, rewire=0.2), 16),
}
each_graph = pytest.mark.parametrize(("topology", "count"), GRAPHS.values(), ids=GRAPHS.keys())
Models = npt.NDArray[np.float32]


def mixing(graph: Graph, **options: Any) -> Rows:
    sent = np.ones_like(graph.senders)
    return rows(graph.receivers, graph.senders, sent, graph.out_degrees[graph.senders], 1, **options)


def merged(models: Models, mixed: Rows, *, correct: bool) -> Models:
    found = moments(models, TENSORS)
    made = []
    for k in range(len(mixed.clients)):
        entries = slice(mixed.starts[k], mixed.starts[k + 1])
        who = mixed.senders[entries]
        share, aim = mixed.weights[entries], mixed.targets[entries]
        made.append(Row(list(models[who]), found.means[who], found.variances[who], share, aim))
    out = np.empty_like(models)
    merge(made, out, TENSORS, correct=correct)
    return out


def independent(count: int, seed: int = 1) -> Models:
    return np.random.default_rng(seed).normal(size=(count, SIZE)).astype(np.float32)


def variances(models: Models) -> npt.NDArray[np.float64]:
    return models.astype(np.float64).var(axis=1)


@each_graph
@pytest.mark.parametrize("beta", [0.25, 0.5])
def test_one_plain_merge_leaves_the_share_of_the_closed_form(topology: Topology, count: int, beta: float) -> None:
    graph = topology.graph(World(1, count), 1)
    models = independent(count)
    after = variances(merged(models, mixing(graph, self_weight=beta), correct=False))
    degrees = graph.in_degrees
    np.testing.assert_allclose(after, beta**2 + (1 - beta) ** 2 / degrees, rtol=8 * SAMPLING)
    assert after.mean() == pytest.approx(beta**2 + (1 - beta) ** 2 * np.mean(1 / degrees), rel=4 * SAMPLING)


@each_graph
def test_plain_merges_end_at_the_sum_of_squared_stationary_weights(topology: Topology, count: int) -> None:
    graph = topology.graph(World(1, count), 1)
    mixed = mixing(graph, self_weight=0.5)
    models = independent(count)
    for _ in range(400):
        models = merged(models, mixed, correct=False)
    stationary = graph.in_degrees / graph.in_degrees.sum()
    np.testing.assert_allclose(variances(models), (stationary**2).sum(), rtol=5 * SAMPLING)


@each_graph
def test_corrected_merges_keep_the_variance_for_500_merges_without_drift(topology: Topology, count: int) -> None:
    mixed = mixing(topology.graph(World(1, count), 1))
    models = independent(count)
    before = variances(models).mean()
    for _ in range(500):
        models = merged(models, mixed, correct=True)
    after = variances(models)
    # metropolis is doubly stochastic, so that the mean of the variances is conserved; 1e-7 a merge would be seen
    assert after.mean() == pytest.approx(before, rel=2e-5)
    assert after == pytest.approx(np.full(count, before), rel=4 * SAMPLING)


def test_the_preset_of_the_paper_keeps_the_variance_too() -> None:
    graph = kinds.Regular(degree=4).graph(World(1, 16), 1)
    mixed = mixing(graph, self_weight=0.5, target="neighbours")
    models = independent(16)
    before = variances(models).mean()
    for _ in range(500):
        models = merged(models, mixed, correct=True)
    assert variances(models).mean() == pytest.approx(before, rel=1e-4)


def test_the_factor_fades_to_one_as_models_align() -> None:
    mixed = mixing(kinds.Complete().graph(World(1, 6), 1))
    models = merged(independent(6), mixed, correct=True)
    again = merged(models, mixed, correct=True)
    assert again.tobytes() == models.tobytes()


@pytest.mark.parametrize("correct", [False, True])
def test_a_self_weight_of_one_changes_nothing(correct: bool) -> None:
    models = independent(8)
    for target in ("all", "neighbours", "self"):
        mixed = mixing(kinds.Ring().graph(World(1, 8), 1), self_weight=1.0, target=target)
        assert merged(models, mixed, correct=correct).tobytes() == models.tobytes()


def test_a_single_neighbour_with_the_whole_weight_is_copied() -> None:
    models = independent(2)
    mixed = mixing(kinds.Path_().graph(World(1, 2), 1), self_weight=0.0)
    assert merged(models, mixed, correct=True).tobytes() == models[::-1].tobytes()
