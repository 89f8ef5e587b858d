"""Floor 0: the contracts that every other room is written against.

Nothing here imports a framework: numpy and the standard library only.
"""

from fedsim.core.client_half import ClientHalf, Order
from fedsim.core.contracts import (
    Cohort,
    Diagnostics,
    Dot,
    Ids,
    LinearSum,
    Parameters,
    PeerRule,
    Population,
    Process,
    Rule,
    Strategy,
    Sums,
    Vector,
    World,
)
from fedsim.core.correction import Correction
from fedsim.core.data import ClientData, Examples, Targets
from fedsim.core.errors import (
    CapacityError,
    ClientError,
    ClusterLostError,
    DiskError,
    FedsimError,
    LockedError,
    NoCheckpointError,
    NonFiniteError,
    Problem,
    ScenarioError,
)
from fedsim.core.layout import Buffers, Layout
from fedsim.core.local_work import LocalWork
from fedsim.core.messages import Failure, Reply, Task

__all__ = [
    "Buffers",
    "CapacityError",
    "ClientData",
    "ClientError",
    "ClientHalf",
    "ClusterLostError",
    "Cohort",
    "Correction",
    "Diagnostics",
    "DiskError",
    "Dot",
    "Examples",
    "Failure",
    "FedsimError",
    "Ids",
    "Layout",
    "LinearSum",
    "LocalWork",
    "LockedError",
    "NoCheckpointError",
    "NonFiniteError",
    "Order",
    "Parameters",
    "PeerRule",
    "Population",
    "Problem",
    "Process",
    "Reply",
    "Rule",
    "ScenarioError",
    "Strategy",
    "Sums",
    "Targets",
    "Task",
    "Vector",
    "World",
]
