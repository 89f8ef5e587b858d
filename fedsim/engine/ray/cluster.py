"""What a run must know of a Ray cluster that it did not start: is it there, which software it has, how large it is."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Mapping, Sequence
from types import FunctionType
from typing import Any, Literal

from fedsim.core import CapacityError, ClusterLostError
from fedsim.core.system.versions import PACKAGES
from fedsim.engine.nodes.hosted import PATIENCE_S
from fedsim.scenario import HostClass

CONNECT_S = 5.0
"""How long a cluster's control service may take to answer at all."""
CHECK_S = 60.0
"""How long a machine of the cluster may take to say which software it has: it starts a process for that."""


def knock(address: str) -> None:
    """Refuse the address (host:port) of a cluster at which nothing answers, before Ray waits for it.

    Raises
    ------
    ClusterLostError : with the address.
    """
    import grpc

    host, _, port = address.rpartition(":")
    advice = "`ray start --head` prints a cluster's address"
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_S).close()
        with grpc.insecure_channel(address, [("grpc.enable_http_proxy", 0)]) as channel:
            channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=CONNECT_S)
    except OSError as error:
        raise ClusterLostError(f"no Ray cluster at {address}: nothing answers ({error}); {advice}") from error
    except grpc.RpcError as error:
        if error.code() != grpc.StatusCode.UNAUTHENTICATED:  # Ray itself says best what is wrong with a token
            text = f"no Ray cluster at {address}: what answers there is none ({error.code().name}); {advice}"
            raise ClusterLostError(text) from error


def ended_here() -> list[str]:
    """Return which of the processes that this process started for its own Ray session have ended by themselves.

    Ray would end this process, too, without a word, a while after its raylet.
    """
    from ray._private import worker

    node = worker._global_node
    names = {"raylet": "raylet", "gcs_server": "control service"}
    ended: set[str] = {kind for kind, _ in node.dead_processes()} if node is not None else set()
    return [name for kind, name in names.items() if kind in ended]


def check_versions() -> None:
    """Refuse a cluster whose machines have other software than this one: bits could differ, or worse.

    Raises
    ------
    ClusterLostError : with machine, package, and both versions.
    """
    import ray
    from ray.exceptions import GetTimeoutError
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    nodes: Callable[[], list[dict[str, Any]]] = ray.nodes
    here = software()
    task = ray.remote(num_cpus=0, max_retries=0)(_by_value(installed))
    asked = {
        node["NodeManagerAddress"]: task.options(
            scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        ).remote(PACKAGES)
        for node in nodes()
        if node["Alive"] and node["NodeID"] != ray.get_runtime_context().get_node_id()
    }
    for machine, answer in asked.items():
        try:
            there = ray.get(answer, timeout=CHECK_S)
        except GetTimeoutError as error:
            raise ClusterLostError(
                f"the cluster's machine {machine} did not start a process in {CHECK_S:g} s"
            ) from error
        refuse_difference(machine, here, there)


def refuse_difference(machine: str, here: Mapping[str, str], there: Mapping[str, str]) -> None:
    """Raise ClusterLostError when a machine has other versions than this one."""
    for name, version in here.items():
        if there[name] != version:
            raise ClusterLostError(
                f"the cluster's machine {machine} has {name} {there[name]}, this one {version}; "
                "use the same image, or the same environment, on every machine"
            )


def software() -> dict[str, str]:
    """Return the versions of what this machine computes with."""
    return installed(PACKAGES)


def installed(packages: Mapping[str, str], ours: str = "fedsim") -> dict[str, str]:
    """Return the versions of Python and of packages (name: installed as), and a digest of our sources; or "missing".

    It imports for itself all that it uses, as it is sent to machines that may not have this module.
    """
    import hashlib
    import os
    import platform
    from importlib import metadata
    from importlib.util import find_spec
    from pathlib import Path

    found = {"python": platform.python_version()}
    for name, distribution in packages.items():
        try:
            found[name] = metadata.version(distribution)
        except metadata.PackageNotFoundError:
            found[name] = "missing"
    digest = hashlib.sha256()
    spec = find_spec(ours)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        walked = os.walk(folder, followlinks=True)  # in a checkout two rooms are links
        for path in sorted(Path(place, name) for place, _, names in walked for name in names if name.endswith(".py")):
            digest.update(path.read_bytes())
    found["the sources of fedsim with digest"] = digest.hexdigest()[:12]
    return found


def _by_value(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that is shipped with its code, not as a name to import."""
    assert isinstance(function, FunctionType)
    copy = FunctionType(function.__code__, {"__name__": "__main__"}, function.__name__, function.__defaults__)
    copy.__module__ = "__main__"
    return copy


def count_hosts(
    asked: int | Literal["auto"],
    num_nodes: int,
    gpus_per_host: float,
    resources: Mapping[str, float],
    *,
    classes: Sequence[HostClass] = (),
    capacity_s: float,
    notice: Callable[..., None] | None,
) -> int:
    """Return how many hosts to start for `num_nodes` nodes: as asked, or one for each share of a GPU, or each core.

    What the hosts of `classes`, which run other nodes, take is spoken for. A cluster that grows while the run starts is
    given `capacity_s` seconds to have room for one.

    Raises
    ------
    CapacityError : not one of them fits.
    """
    if asked != "auto":
        return min(asked, num_nodes)
    if num_nodes == 0:
        return 0
    import ray

    cluster_resources: Callable[[], dict[str, float]] = ray.cluster_resources
    each = {"CPU": 1.0, "GPU": gpus_per_host}
    wanted = {**each, **resources}
    spoken_for = {n: sum(kind.hosts * {**each, **kind.resources}.get(n, 0.0) for kind in classes) for n in wanted}
    began = said = time.monotonic()
    while True:
        total = cluster_resources()
        free = {name: max(0.0, total.get(name, 0.0) - taken) for name, taken in spoken_for.items()}
        fits = {name: int(free[name] / amount + 1e-9) for name, amount in wanted.items() if amount > 0}
        scarce = min(fits, key=lambda name: fits[name])
        if fits[scarce] > 0:
            return min(fits[scarce], num_nodes)
        now = time.monotonic()
        waiting = f"no host fits: each needs {wanted[scarce]:g} {scarce}, the cluster has {free[scarce]:g}"
        if now - began >= capacity_s:
            raise CapacityError(f"{waiting} (engine.capacity_timeout_s is {capacity_s:g})")
        if notice is not None and now - said > PATIENCE_S:
            said = now
            notice(f"waiting for a machine to join: {waiting}", kind="waiting")
        time.sleep(0.5)
