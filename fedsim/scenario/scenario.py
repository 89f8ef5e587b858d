"""The scenario itself: one frozen value that holds everything a run depends on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from annotated_types import Ge, Le, MaxLen, MinLen

from fedsim import data, models, strategies
from fedsim.analysis.cards.card import Card
from fedsim.core import LocalWork
from fedsim.core.config.tagged import OneOf
from fedsim.core.uplink import AnyCodec
from fedsim.data import foreign as foreign_data
from fedsim.metrics import MetricsConfig
from fedsim.models import foreign as foreign_models
from fedsim.participation import AnyParticipation
from fedsim.participation.devices import Devices
from fedsim.participation.faults import Faults
from fedsim.participation.processes.full import Full
from fedsim.scenario.sections import (
    DEFAULT_HOSTS,
    DEFAULT_NODES,
    Auto,
    Checkpoint,
    Engine,
    Evaluate,
    MemoryOptions,
    Probe,
    Processes,
    Ray,
    Stop,
)
from fedsim.scenario.tree import Keys
from fedsim.strategies import foreign as foreign_strategies
from fedsim.strategies.fedavg import FedAvg
from fedsim.task import LearningTask

AnyStrategy = Annotated[Any, OneOf("name", strategies.catalogue, foreign_strategies.DOOR)]
"""A `fedsim.core.Rule` with the field `name`, which the abstract rule has not."""


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A line of `compare:` that is a whole scenario: its place in the list, its name, and the scenario."""

    position: int
    name: str
    scenario: Scenario


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What a scenario was read from, before defaults: the tree with places, for sweeps and `sources`."""

    file: str
    folder: str
    tree: Keys
    variants: tuple[Variant, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One simulation: data, model, who participates when, strategy, and how it is run and recorded."""

    name: Annotated[str, MinLen(1), MaxLen(200)]
    """Any text; folders use its slug."""
    seed: Annotated[int, Ge(0), Le(2**63 - 1)] = 0
    """Every random draw of the run is a function of it."""
    rounds: Annotated[int, Ge(1), Le(10**9)]
    """Training rounds."""
    data: Annotated[Any, OneOf("dataset", data.catalogue, foreign_data.DOOR)]
    """The dataset, and how it is dealt to clients."""
    model: Annotated[Any, OneOf("name", models.catalogue, foreign_models.DOOR)]
    """What is trained."""
    client: LocalWork = field(default_factory=LocalWork)
    """What a client does in one round."""
    participation: AnyParticipation = field(default_factory=Full)
    """Who is there in which round."""
    strategy: AnyStrategy = field(default_factory=FedAvg)
    """How the server makes an update of what the clients send."""
    evaluate: Evaluate = field(default_factory=Evaluate)
    """When the global model is evaluated."""
    engine: Engine = field(default_factory=Auto)
    """What the clients run on; it changes no bit, except by `nodes`."""
    metrics: MetricsConfig = field(default_factory=MetricsConfig)
    """Where what is measured goes."""
    checkpoint: Checkpoint | None = None
    """When the run is saved; null means at its end and on an interrupt only."""
    on_client_error: Literal["fail", "drop"] = "fail"
    """A client that raises or returns nonsense stops the run, or is counted as crashed and left out."""
    on_divergence: Literal["stop", "continue"] = "stop"
    """What happens when the global model is no longer finite."""
    stop: Stop | None = None
    """Reasons to end before the last round."""
    probe: Probe | None = None
    """Measures bias and variance of the update."""
    devices: Devices | None = None
    """How fast the clients' devices are, and what the server does about the slow ones."""
    faults: Faults | None = None
    """What goes wrong on purpose; give `on_client_error: drop` to go on without those struck."""
    task: LearningTask | None = None
    """What is learnt from the targets, and by what it is judged; the default follows the targets."""
    uplink: AnyCodec | None = None
    """How clients send their vectors; null: as they are."""
    memory: MemoryOptions = field(default_factory=MemoryOptions)
    """How hosts keep the clients' last deltas."""
    compare: Annotated[tuple[AnyStrategy, ...], MinLen(1)] | None = None
    """What `fedsim compare` runs on the same schedule: strategies, and variants, which have a name of their own and any
    keys of the scenario: `{name: "all, x10", strategy: {name: fedavg}, client: {lr: 0.05}}`."""
    sweep: Annotated[Mapping[str, Annotated[tuple[Any, ...], MinLen(1)]], MinLen(1)] | None = None
    """Dotted keys and the values each takes; the grid of all combinations is run by `fedsim sweep`."""
    card: Card | None = None
    """What makes this the set-up of a paper, for `fedsim reproduce`: source, claims, a quick form."""
    folder: str = "."
    """Where relative input paths start; the default is the folder of the scenario file."""
    origin: Origin | None = field(default=None, compare=False, repr=False, metadata={"internal": True})

    @property
    def num_clients(self) -> int | None:
        """N, or None when only the data file knows it."""
        count: int | None = self.data.num_clients
        return count

    @property
    def rescales(self) -> bool:
        """Whether clients' memories are used at another learning rate than they were made with."""
        return (self.memory.of or self.strategy.memory_of) == "gradient" and not self.client.constant_rate

    def nodes_for(self, num_clients: int) -> int:
        """Return the number of nodes: as given, else min(4, N)."""
        return self.engine.nodes or min(DEFAULT_NODES, num_clients)

    def hosts_for(self, num_clients: int) -> int | Literal["auto"]:
        """Return the number of hosts: as given, else min(2, nodes); 1 where there are no host processes."""
        if not isinstance(self.engine, Ray | Processes):
            return 1
        return self.engine.hosts or min(DEFAULT_HOSTS, self.nodes_for(num_clients))
