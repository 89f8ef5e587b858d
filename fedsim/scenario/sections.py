"""The sections of a scenario that belong to no other room. One frozen dataclass each; the docstrings are the manual."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Ge, Gt, MinLen

from fedsim.core.config.plain import LATER
from fedsim.core.config.tagged import Tagged
from fedsim.core.contracts import MemoryOf

DEFAULT_NODES = 4
DEFAULT_HOSTS = 2
Count = Annotated[int, Ge(1)]


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """When the global model is evaluated on the held-out split, and whether on each client's own examples too."""

    every: Count = 10
    """Evaluate after every so many rounds; round 0 and the last round are evaluated always."""
    clients: Count | Literal["all"] | None = field(default=None, metadata=LATER)
    """Judge the global model on each client's own examples, of `all` clients or of so many, drawn once by key: on its
    own test part (`data.test_per_client`) where the data have one, else on its training examples. The task's first
    metric is told as client_<metric>_mean, _sd, _q10, _q50, _q90 and _worst_decile, and by tenths of p_i as _p1 (those
    who are there least) to _p10."""
    personal_epochs: Count | None = field(default=None, metadata=LATER)
    """Judge each client also after so many epochs of its own local training from the global model, told as
    personal_<metric>_mean and so on; such training stays where it is and moves no bit of the run."""

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield (key, message) for options that do not fit together."""
        if self.personal_epochs is not None and self.clients is None:
            yield "clients", "say who is judged after personal_epochs: all, or how many clients"


@dataclass(frozen=True, kw_only=True)
class Serial:
    """One process, one client group after the other: the specification that every other engine equals bit for bit."""

    kind: Literal["serial"] = "serial"
    nodes: Count | None = None
    """Client groups, part of what decides the bits; the default is min(4, clients)."""


@dataclass(frozen=True, kw_only=True)
class HostClass:
    """Hosts on one kind of machine, and the nodes, that is the clients, that belong there."""

    nodes: Annotated[tuple[Annotated[int, Ge(0)], ...], MinLen(1)]
    """Node numbers from 0; client c is on node c modulo the number of nodes."""
    resources: Annotated[Mapping[str, Annotated[float, Gt(0)]], MinLen(1)]
    """What each of these hosts takes of what its machines were started with, e.g. {phones: 1}."""
    hosts: Count = 1
    """How many hosts share the work of these nodes."""


@dataclass(frozen=True, kw_only=True)
class Processes:
    """Long-lived host processes on this machine, without Ray: there within a second or two, and lighter."""

    kind: Literal["processes"] = "processes"
    nodes: Count | None = None
    """Client groups, part of what decides the bits; the default is min(4, clients)."""
    hosts: Count | Literal["auto"] | None = None
    """Processes that run the nodes, 1 to nodes, default min(2, nodes); auto: one per core. It changes no bit."""

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield (key, message) for options that exclude each other."""
        if isinstance(self.hosts, int) and self.nodes is not None and self.hosts > self.nodes:
            yield "hosts", f"a host runs at least one node: at most nodes ({self.nodes}), got {self.hosts}"


OWN_NAMES = "are names of your own; a host takes one CPU, and GPUs by gpus_per_host"


@dataclass(frozen=True, kw_only=True)
class Ray:
    """Long-lived host processes on this machine or on a Ray cluster."""

    kind: Literal["ray"] = "ray"
    nodes: Count | None = None
    """Client groups, part of what decides the bits; the default is min(4, clients)."""
    hosts: Count | Literal["auto"] | None = None
    """Processes that run the nodes, 1 to nodes, default min(2, nodes); auto: one per core or GPU. It changes no bit."""
    gpus_per_host: Annotated[float, Ge(0)] = 0.0
    """GPUs for each host; fractions share one."""
    resources: Mapping[str, Annotated[float, Gt(0)]] = field(default_factory=dict)
    """What else each host takes of the resources that a cluster's machines were started with, e.g. {big: 1}."""
    classes: tuple[HostClass, ...] = ()
    """Nodes that belong on machines of some kind, each kind with hosts of its own; `hosts` are for all other nodes."""
    capacity_timeout_s: Annotated[float, Gt(0)] = 300.0
    """How long a host may wait for a free place on the cluster before the run gives up."""
    address: str = "local"
    """Where Ray is: local (started for this run), auto (the cluster this machine belongs to), or host:port."""

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield (key, message) for options that exclude each other."""
        if isinstance(self.hosts, int) and self.nodes is not None and self.hosts > self.nodes:
            yield "hosts", f"a host runs at least one node: at most nodes ({self.nodes}), got {self.hosts}"
        if self.gpus_per_host > 1 and self.gpus_per_host != int(self.gpus_per_host):
            yield "gpus_per_host", f"above 1 it must be whole, got {self.gpus_per_host}"
        if {"CPU", "GPU", "memory"} & set(self.resources):
            yield "resources", OWN_NAMES
        yield from self._class_problems()
        if self.address.startswith("ray://"):
            yield (
                "address",
                "ray:// goes through Ray's client proxy, which loses the run when the link drops; start fedsim on a "
                "machine of the cluster with address: auto, or give host:port",
            )
        elif self.address not in ("local", "auto") and not _is_host_and_port(self.address):
            yield "address", f"must be local, auto or host:port, got {self.address!r}"

    def _class_problems(self) -> Iterator[tuple[str, str]]:
        if self.classes and self.address == "local":
            yield "classes", "are kinds of machines of a cluster: give its address"
        taken: dict[int, int] = {}
        for k, kind in enumerate(self.classes):
            if {"CPU", "GPU", "memory"} & set(kind.resources):
                yield f"classes.{k}.resources", OWN_NAMES
            if kind.hosts > len(kind.nodes):
                text = f"a host runs at least one node: at most {len(kind.nodes)}, got {kind.hosts}"
                yield f"classes.{k}.hosts", text
            for node in kind.nodes:
                if node in taken:
                    yield f"classes.{k}.nodes", f"node {node} belongs to class {taken[node]} already"
                if node >= (self.nodes or DEFAULT_NODES):
                    yield f"classes.{k}.nodes", f"there is no node {node}: nodes is {self.nodes or DEFAULT_NODES}"
                taken.setdefault(node, k)


def _is_host_and_port(text: str) -> bool:
    host, _, port = text.rpartition(":")
    return bool(host) and not any(c in "/ \t" for c in host) and port.isascii() and port.isdigit() and int(port) < 65536


@dataclass(frozen=True, kw_only=True)
class Auto:
    """Whatever is quickest: one process where little is to be done, else processes on this machine's cores.

    It decides when the run starts, by cores and predicted work, and says what it took; no choice changes a bit. With an
    `address` it is Ray, there. `processes` and `serial` say which; GPUs want `ray`.
    """

    kind: Literal["auto"] = "auto"
    nodes: Count | None = None
    """Client groups, part of what decides the bits; the default is min(4, clients)."""
    hosts: Count | Literal["auto"] | None = None
    """Processes that run the nodes, where there are several: 1 to nodes; the default, and auto, is one per core."""
    address: str | None = None
    """A Ray cluster to run on: auto (that of this machine), or host:port; null: this machine, without Ray."""

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield (key, message) for options that exclude each other."""
        yield from Ray(nodes=self.nodes, hosts=self.hosts, address=self.address or "local").problems()


@dataclass(frozen=True, kw_only=True)
class Flower:
    """Flower's own simulation engine, for comparison; slower, the same rules."""

    kind: Literal["flower"] = "flower"
    nodes: Count | None = None
    """Flower nodes, each holding a group of clients; the default is min(4, clients)."""


Engine = Annotated[Auto | Serial | Processes | Ray | Flower, Tagged("kind")]


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Saving a run so that it can be resumed with the same bits."""

    every: Count
    """Save after every so many rounds."""
    keep: Count = 2
    """How many of the last checkpoints stay."""
    path: Annotated[str, MinLen(1)] | None = None
    """Where to: a folder that every host can reach, or an fsspec URL (s3://...); the default is in the run's folder."""

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield (key, message) for a URL of a kind that nobody knows."""
        if self.path is not None and "://" in self.path:
            from fsspec import available_protocols

            kind = self.path.partition("://")[0]
            if kind not in available_protocols():
                yield "path", f"{kind}:// is no kind of place that fsspec knows"


@dataclass(frozen=True, kw_only=True)
class Stop:
    """Reasons to end a run before its last round; any one of them is enough."""

    metric: Annotated[str, MinLen(1)] | None = None
    """A recorded metric that `target` or `patience` looks at, e.g. test_accuracy."""
    target: float | None = None
    """Stop when the metric has reached this."""
    patience: Count | None = None
    """Stop when the metric has not improved in so many evaluations."""
    max_virtual_s: Annotated[float, Gt(0)] | None = None
    """Stop when the virtual clock has passed this."""
    max_bytes: Count | None = None
    """Stop when so many bytes have been sent, up and down together."""

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield (key, message) for conditions that are not complete."""
        watched = self.target is not None or self.patience is not None
        if watched and self.metric is None:
            yield "metric", "is missing; target and patience need to know which metric to look at"
        if self.metric is not None and not watched:
            yield "metric", f"also give target or patience: when should {self.metric} stop the run?"
        if self == Stop():
            yield "", "gives no reason to stop: metric with target or patience, max_virtual_s, or max_bytes"


@dataclass(frozen=True, kw_only=True)
class Probe:
    """Measuring bias and variance of the update by re-drawing the cohort of a round many times."""

    every: Count
    """Probe after every so many rounds."""
    draws: Annotated[int, Ge(2)] = 200
    """How many cohorts are drawn at a probe."""
    betas: Annotated[tuple[Annotated[float, Ge(0)], ...], MinLen(1)] = (0.5,)
    """The betas at which FedStale is shown beside the scenario's own strategy."""


@dataclass(frozen=True, kw_only=True)
class MemoryOptions:
    """How hosts keep what each client sent last, and what that stands for when the learning rate changes."""

    of: MemoryOf | None = None
    """`update`: what was sent counts as it is. `gradient`: it counts lr_t/lr_i times, lr_i being the rate it was made
    with, lr_t the round's. The default is the strategy's own: update for fedstale, gradient for the others."""
    dtype: Literal["float32", "bfloat16", "int8"] = "float32"
    """Number format of the memories; bfloat16 halves them and rounds, int8 quarters them and rounds by keyed chance."""
    tier: Literal["ram", "disk"] = "ram"
    """Where they are: in memory or in memory-mapped files. It changes no bit."""
    audit: Count | None = None
    """Sum all memories anew after every so many rounds and report how far their running mean has drifted."""
