"""A cluster that is not there, or not the same software, is told of at once and by its address."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import fedsim
from fedsim.core import CapacityError, ClusterLostError, ScenarioError
from fedsim.engine.ray import cluster as ray_cluster
from fedsim.scenario import HostClass

WORLD: dict[str, Any] = {
    "name": "address",
    "seed": 1,
    "rounds": 2,
    "data": {"dataset": "quadratic", "centers": [[0.0], [2.0], [6.0]]},
    "model": {"name": "point", "init": [4.0]},
    "client": {"local_steps": 1, "lr": 0.1},
    "participation": {"kind": "full"},
    "strategy": {"name": "fedavg"},
}


@pytest.fixture
def stranger() -> Iterator[str]:
    """The address of something that is no Ray cluster and never says a word."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield f"127.0.0.1:{listening.getsockname()[1]}"


def test_an_address_at_which_nothing_answers_is_in_the_message(tmp_path: Path) -> None:
    with pytest.raises(ClusterLostError, match=r"no Ray cluster at 127\.0\.0\.1:1: nothing answers") as error:
        fedsim.run(WORLD, out=tmp_path / "run", engine={"kind": "ray", "address": "127.0.0.1:1"})
    assert error.value.exit_code == 5


def test_an_address_at_which_something_else_answers_is_refused(stranger: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_cluster, "CONNECT_S", 0.2)
    with pytest.raises(ClusterLostError, match=f"no Ray cluster at {stranger}: what answers there is none"):
        ray_cluster.knock(stranger)


def test_both_questions_of_an_address_fit_into_fifteen_seconds() -> None:
    assert 2 * ray_cluster.CONNECT_S < 15


@pytest.mark.parametrize("address", ["ray://head:10001", "head", "head:port"])
def test_an_address_of_another_form_is_refused_with_the_reason(address: str, tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"engine\.address: (ray:// goes through|must be local, auto or host:port)"):
        fedsim.run(WORLD, out=tmp_path / "run", engine={"kind": "ray", "address": address})


def test_the_names_of_resources_that_ray_counts_itself_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"engine\.resources: are names of your own"):
        fedsim.run(WORLD, out=tmp_path / "run", engine={"kind": "ray", "resources": {"GPU": 1}})


@pytest.mark.parametrize(
    ("cluster", "gpus", "resources", "expected"),
    [
        ({"CPU": 3.0}, 0.0, {}, 3),
        ({"CPU": 64.0}, 0.0, {}, 8),
        ({"CPU": 64.0, "GPU": 2.0}, 1.0, {}, 2),
        ({"CPU": 64.0, "GPU": 2.0}, 0.5, {}, 4),
        ({"CPU": 6.0, "big": 2.0}, 0.0, {"big": 1.0}, 2),
    ],
)
def test_automatic_hosts_are_one_for_each_share_of_what_is_scarce(
    cluster: Any, gpus: float, resources: Any, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ray.cluster_resources", lambda: cluster)
    assert ray_cluster.count_hosts("auto", 8, gpus, resources, capacity_s=1.0, notice=pytest.fail) == expected


def test_what_classes_of_hosts_take_is_not_given_to_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ray.cluster_resources", lambda: {"CPU": 6.0, "phones": 4.0})
    phones = HostClass(nodes=(0, 1, 2), hosts=2, resources={"phones": 1.0})
    count = partial(ray_cluster.count_hosts, "auto", classes=[phones], capacity_s=0.0, notice=pytest.fail)
    assert count(8, 0.0, {}) == 4
    assert count(8, 0.0, {"phones": 1.0}) == 2
    assert count(0, 0.0, {}) == 0


def test_a_cluster_without_what_a_host_needs_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ray.cluster_resources", lambda: {"CPU": 4.0})
    with pytest.raises(CapacityError, match=r"no host fits: each needs 1 GPU, the cluster has 0"):
        ray_cluster.count_hosts("auto", 4, 1.0, {}, capacity_s=0.0, notice=pytest.fail)


def test_automatic_hosts_wait_for_the_first_machine_that_has_room(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    growing = iter([{}, {"CPU": 0.0}, {"CPU": 2.0}])
    monkeypatch.setattr("ray.cluster_resources", lambda: next(growing))
    monkeypatch.setattr(ray_cluster, "PATIENCE_S", 0.0)
    found = ray_cluster.count_hosts("auto", 4, 0.0, {}, capacity_s=60.0, notice=lambda text, **_: told.append(text))
    assert found == 2
    assert told == ["waiting for a machine to join: no host fits: each needs 1 CPU, the cluster has 0"] * 2


def test_a_machine_with_another_version_is_named_with_both(tmp_path: Path) -> None:
    here = ray_cluster.installed({"torch": "torch"})
    ray_cluster.refuse_difference("10.0.0.2", here, here)
    with pytest.raises(ClusterLostError, match=r"machine 10\.0\.0\.2 has torch 1\.0, this one .*the same image"):
        ray_cluster.refuse_difference("10.0.0.2", here, here | {"torch": "1.0"})


def test_other_sources_of_the_same_version_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "twin").mkdir()
    (tmp_path / "twin" / "__init__.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    before = ray_cluster.installed({"no-such-package": "no-such-package"}, "twin")
    (tmp_path / "twin" / "__init__.py").write_text("x = 2\n")
    after = ray_cluster.installed({"no-such-package": "no-such-package"}, "twin")
    assert before["no-such-package"] == "missing"
    assert {name for name in before if before[name] != after[name]} == {"the sources of fedsim with digest"}


@pytest.mark.ray
@pytest.mark.parametrize("strategy", ["fedavg", "fedstale"])
def test_classes_of_clients_have_hosts_of_their_own_and_change_no_bit(
    strategy: str, cluster: str, tmp_path: Path
) -> None:
    phones = {"nodes": [0, 1], "resources": {"phones": 1}, "hosts": 2}
    trucks = {"nodes": [3], "resources": {"trucks": 1}}
    engine = {"kind": "ray", "address": cluster, "nodes": 4, "classes": [phones, trucks]}
    data = {"dataset": "quadratic", "centers": [[0.0], [2.0], [6.0], [9.0]]}
    world = WORLD | {"strategy": {"name": strategy}, "data": data}
    there = fedsim.run(world, out=tmp_path / "classes", engine=engine).summary
    here = fedsim.run(world, out=tmp_path / "serial", engine={"kind": "serial", "nodes": 4}).summary
    assert there["params_sha256"] == here["params_sha256"]
    assert list(there["engine"]["hosts"].values()) == [[2], [0], [1], [3]]


@pytest.mark.ray
def test_a_class_for_which_no_machine_is_there_is_named(cluster: str, tmp_path: Path) -> None:
    ships = {"nodes": [0, 1], "resources": {"ships": 1}}
    engine = {"kind": "ray", "address": cluster, "nodes": 2, "classes": [ships], "capacity_timeout_s": 2}
    with pytest.raises(CapacityError, match=r"host-0 \(nodes 0, 1\).*it needs 1 CPU, 1 ships"):
        fedsim.run(WORLD, out=tmp_path / "run", engine=engine)


def test_classes_that_do_not_fit_are_all_refused(tmp_path: Path) -> None:
    one = {"nodes": [0, 1, 9], "resources": {"big": 1}, "hosts": 4}
    engine = {"kind": "ray", "nodes": 4, "classes": [one, {"nodes": [1], "resources": {"CPU": 1}}]}
    with pytest.raises(ScenarioError) as told:
        fedsim.run(WORLD, out=tmp_path / "run", engine=engine)
    for line in (
        "engine.classes: are kinds of machines of a cluster",
        "engine.classes.0.hosts: a host runs at least one node: at most 3, got 4",
        "engine.classes.0.nodes: there is no node 9: nodes is 4",
        "engine.classes.1.resources: are names of your own",
        "engine.classes.1.nodes: node 1 belongs to class 0 already",
    ):
        assert line in str(told.value)
