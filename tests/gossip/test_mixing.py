"""Graphs, mixing weights and how fast they agree."""

from __future__ import annotations

import pickle
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, get_args

import networkx as nx
import numpy as np
import pytest

from fedsim.core import ScenarioError, World
from fedsim.graphs import topology as kinds
from fedsim.graphs.graph import Graph, Topology, from_networkx
from fedsim.scenario import expand
from fedsim.strategies.gossip import Gossip
from fedsim.strategies.peers.mixing import Rows, rows, spectral_gap
from fedsim.study.strategies import label

UNDIRECTED: dict[str, tuple[Topology, int]] = {
    "ring": (kinds.Ring(), 9),
    "torus": (kinds.Torus(), 12),
    "complete": (kinds.Complete(), 7),
    "star": (kinds.Star(), 6),
    "path": (kinds.Path_(), 5),
    "hypercube": (kinds.Hypercube(), 16),
    "regular": (kinds.Regular(degree=4), 15),
    "erdos_renyi": (kinds.ErdosRenyi(probability=0.4), 20),
    "watts_strogatz": (kinds.WattsStrogatz(neighbours=4, rewire=0.3), 20),
    "barabasi_albert": (kinds.BarabasiAlbert(edges=2), 20),
    "stochastic_block": (kinds.StochasticBlock(blocks=3, inside=0.7, between=0.1), 21),
    "edges": (kinds.Edges(pairs=((0, 1), (1, 2), (2, 0), (2, 3))), 4),
    "random_matching": (kinds.RandomMatching(), 9),
    "fresh_regular": (kinds.FreshRegular(degree=4), 12),
}
each_graph = pytest.mark.parametrize(("topology", "count"), UNDIRECTED.values(), ids=UNDIRECTED.keys())


def mixing(graph: Graph, **options: Any) -> Rows:
    sent = np.ones_like(graph.senders)
    return rows(graph.receivers, graph.senders, sent, graph.out_degrees[graph.senders], 1, **options)


def matrix(graph: Graph, **options: Any) -> np.ndarray[Any, Any]:
    return mixing(graph, **options).matrix(graph.num_clients)


def test_every_kind_of_graph_is_tested_and_has_one_word() -> None:
    members = get_args(get_args(kinds.AnyTopology)[0])
    words = {next(f.default for f in fields(kind) if f.name == "kind") for kind in members}
    assert words == {*UNDIRECTED, "one_peer_exponential"}


@each_graph
@pytest.mark.parametrize("law", ["metropolis", "uniform"])
@pytest.mark.parametrize("self_weight", [None, 0.0, 0.3])
def test_rows_sum_to_one_and_no_weight_is_negative(topology: Topology, count: int, law: Any, self_weight: Any) -> None:
    mixed = matrix(topology.graph(World(1, count), 1), law=law, self_weight=self_weight)
    np.testing.assert_allclose(mixed.sum(axis=1), 1.0, rtol=0, atol=1e-14)
    assert (mixed >= 0).all()


@each_graph
def test_metropolis_is_doubly_stochastic_also_where_clients_and_edges_are_missing(
    topology: Topology, count: int
) -> None:
    rule = Gossip(topology=topology, edge_drop_fraction=0.3)
    world = World(2, count)
    present = np.flatnonzero(np.arange(count) % 4 != 1)
    for round in range(1, 4):
        _, exchange = rule.exchange(rule.start(world), world, round, present, present)
        mixed = exchange.rows.matrix(count)
        np.testing.assert_allclose(mixed.sum(axis=0), 1.0, rtol=0, atol=1e-14)
        np.testing.assert_allclose(mixed.sum(axis=1), 1.0, rtol=0, atol=1e-14)
        absent = np.setdiff1d(np.arange(count), present)
        assert (mixed[absent] == np.eye(count)[absent]).all()


@each_graph
def test_a_graph_is_a_function_of_the_seed_and_has_no_loops(topology: Topology, count: int) -> None:
    one, again = topology.graph(World(3, count), 2), topology.draw(World(3, count), 5)
    other = topology.draw(World(3, count), 5)
    assert again.receivers.tolist() == other.receivers.tolist()
    assert again.senders.tolist() == other.senders.tolist()
    assert (one.receivers != one.senders).all()
    pairs = set(zip(one.receivers.tolist(), one.senders.tolist(), strict=True))
    assert len(pairs) == len(one.senders)
    assert {(b, a) for a, b in pairs} == pairs


def test_metropolis_looks_at_the_larger_degree() -> None:
    mixed = matrix(kinds.Star().graph(World(0, 5), 1))
    np.testing.assert_allclose(mixed[0], 0.2)
    assert mixed[1].tolist() == pytest.approx([0.2, 0.8, 0, 0, 0])


def test_uniform_looks_at_the_own_degree() -> None:
    mixed = matrix(kinds.Star().graph(World(0, 5), 1), law="uniform")
    assert mixed[1].tolist() == pytest.approx([0.5, 0.5, 0, 0, 0])


def test_a_self_weight_replaces_the_law() -> None:
    mixed = matrix(kinds.Star().graph(World(0, 5), 1), self_weight=0.6)
    assert mixed[0].tolist() == pytest.approx([0.6, 0.1, 0.1, 0.1, 0.1])
    assert mixed[1].tolist() == pytest.approx([0.4, 0.6, 0, 0, 0])


@pytest.mark.parametrize(
    ("target", "wanted"), [("all", [0.5, 0.25, 0.25]), ("neighbours", [0, 0.5, 0.5]), ("self", [1, 0, 0])]
)
def test_targets_choose_whose_variance_counts(target: Any, wanted: list[float]) -> None:
    graph = kinds.Complete().graph(World(0, 3), 1)
    found = mixing(graph, self_weight=0.5, target=target)
    assert found.targets[:3].tolist() == pytest.approx(wanted)


def test_one_peer_exponential_averages_exactly_in_k_rounds() -> None:
    for k in (1, 2, 3, 5):
        count = 2**k
        product = np.eye(count)
        for round in range(1, k + 1):
            product = matrix(kinds.OnePeerExponential().graph(World(0, count), round)) @ product
        assert (product == 1 / count).all()


def petersen() -> Graph:
    return from_networkx(nx.petersen_graph())


GAPS: dict[str, Graph] = {
    "ring 8": kinds.Ring().graph(World(0, 8), 1),
    "ring 32": kinds.Ring().graph(World(0, 32), 1),
    "torus 4x4": kinds.Torus().graph(World(0, 16), 1),
    "hypercube 16": kinds.Hypercube().graph(World(0, 16), 1),
    "star 5": kinds.Star().graph(World(0, 5), 1),
    "petersen": petersen(),
}


@pytest.mark.parametrize("graph", GAPS.values(), ids=GAPS.keys())
def test_spectral_gaps_equal_those_of_the_eigenvalues(graph: Graph) -> None:
    mixed = mixing(graph)
    eigenvalues = np.sort(np.abs(np.linalg.eigvalsh(mixed.matrix(graph.num_clients))))
    assert spectral_gap([mixed], graph.num_clients) == pytest.approx(1 - eigenvalues[-2], abs=1e-12)
    assert spectral_gap([mixed] * 4, graph.num_clients) == pytest.approx(1 - eigenvalues[-2], abs=1e-7)


def test_known_gaps_in_closed_form() -> None:
    assert spectral_gap([mixing(GAPS["ring 8"])], 8) == pytest.approx(2 / 3 * (1 - np.cos(np.pi / 4)), abs=1e-12)
    assert spectral_gap([mixing(GAPS["petersen"])], 10) == pytest.approx(0.5, abs=1e-12)
    assert spectral_gap([mixing(GAPS["star 5"])], 5) == pytest.approx(0.2, abs=1e-12)


def test_the_gap_of_many_clients_comes_from_power_iteration() -> None:
    graph = kinds.Regular(degree=8).graph(World(1, 400), 1)
    mixed = mixing(graph)
    exact = 1 - np.sort(np.abs(np.linalg.eigvalsh(mixed.matrix(400))))[-2]
    assert spectral_gap([mixed], 400) == pytest.approx(exact, rel=0.02)


def test_a_graph_that_falls_apart_is_refused_unless_allowed() -> None:
    split = kinds.Edges(pairs=((0, 1), (2, 3)))
    with pytest.raises(ScenarioError, match="2 parts"):
        Gossip(topology=split).start(World(1, 4))
    allowed = Gossip(topology=split, allow_disconnected=True)
    allowed.start(World(1, 4))
    assert spectral_gap([mixing(allowed.graph(World(1, 4), 1))], 4) == pytest.approx(0.0, abs=1e-12)
    sparse = kinds.StochasticBlock(blocks=2, inside=1.0, between=0.0)
    with pytest.raises(ScenarioError, match="allow_disconnected"):
        Gossip(topology=sparse).start(World(1, 6))


@pytest.mark.parametrize(
    ("topology", "count", "key"),
    [
        (kinds.Hypercube(), 6, ""),
        (kinds.Torus(rows=4), 10, "rows"),
        (kinds.Regular(degree=3), 5, "degree"),
        (kinds.Regular(degree=8), 8, "degree"),
        (kinds.WattsStrogatz(neighbours=6), 6, "neighbours"),
        (kinds.BarabasiAlbert(edges=5), 5, "edges"),
        (kinds.Edges(pairs=((0, 9),)), 3, "pairs"),
        (kinds.Edges(pairs=((1, 1),)), 3, "pairs"),
        (kinds.Edges(path="nowhere.txt"), 3, "path"),
    ],
)
def test_graphs_that_do_not_fit_the_clients_are_named(topology: Topology, count: int, key: str) -> None:
    found = list(Gossip(topology=topology).problems_in(World(0, count)))
    assert found[0][0] == f"topology.{key}".rstrip(".")


def test_edges_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "graph.txt").write_text("# a triangle and a tail\n0 1\n1 2\n2 0\n2 3\n")
    from_file = kinds.Edges(path="graph.txt").graph(World(0, 4, folder=str(tmp_path)), 1)
    listed = UNDIRECTED["edges"][0].graph(World(0, 4), 1)
    assert from_file.senders.tolist() == listed.senders.tolist()
    assert from_file.receivers.tolist() == listed.receivers.tolist()


def test_changing_graphs_change_and_fixed_ones_do_not() -> None:
    world = World(1, 16)
    for topology, changes in [(kinds.FreshRegular(degree=4), True), (kinds.Regular(degree=4), False)]:
        first, second = (topology.graph(world, round).senders.tolist() for round in (1, 2))
        assert (first != second) == changes


def test_presets_choose_options_and_given_ones_win() -> None:
    assert (Gossip(preset="plain").correction, Gossip().correction) == ("none", "none")
    assert Gossip(preset="corrected").correction == "variance"
    chosen = Gossip(preset="tian2024", self_weight=0.25)
    assert (chosen.correction, chosen.self_weight, chosen.target) == ("variance", 0.25, "neighbours")


def test_what_is_written_wins_over_a_preset_also_where_it_is_the_default() -> None:
    assert Gossip(preset="corrected", correction="none").correction == "none"
    chosen = Gossip(preset="tian2024", self_weight=None, target="all")
    assert (chosen.correction, chosen.self_weight, chosen.target) == ("variance", None, "all")
    for again in (replace(chosen), pickle.loads(pickle.dumps(chosen))):
        assert again == chosen


def test_a_label_tells_what_is_written_beside_a_preset() -> None:
    assert label(Gossip(preset="corrected", correction="none")) == "gossip:preset=corrected:correction=none"


def test_the_shipped_sweep_over_topologies_has_rows_with_and_without_correction() -> None:
    runs = expand(Path(__file__).parents[2] / "scenarios" / "gossip" / "topologies.yaml")
    assert [run.strategy.correction for run in runs] == ["none", "variance"] * 4
