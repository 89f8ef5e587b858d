"""What a client does in one round: the `client:` section of a scenario."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from annotated_types import Ge, Gt, Lt

from fedsim.core.client_work import AnyWork, OwnWork
from fedsim.core.config.inputs import InputPath, place_of
from fedsim.core.config.plain import LATER
from fedsim.core.flower_project import Value, read_project
from fedsim.core.schedules import AnySchedule

Counts = npt.NDArray[np.int64]
STEP = (
    *("momentum", "weight_decay", "proximal_mu", "lane", "lane_bytes"),
    *("optimizer", "nesterov", "betas", "eps", "clip_norm", "carry_batches"),
)
"""Options of the step, which foreign work takes by itself."""
COUNT = ("local_steps", "local_epochs", "drop_last", "augment")
Beta = Annotated[float, Ge(0), Lt(1)]


@dataclass(frozen=True, kw_only=True)
class LocalWork:
    """Local training: SGD, or another optimiser, on the client's own examples, starting from the global parameters.

    Exactly one of `local_steps` and `local_epochs` is given; neither means one epoch. `local_epochs` walks a fresh
    permutation per epoch, the last batch short; `local_steps` walks on through permutations, reshuffling when one is
    used up.
    """

    local_steps: Annotated[int, Ge(1)] | None = None
    """SGD steps per round."""
    local_epochs: Annotated[int, Ge(1)] | None = None
    """Passes over the client's examples per round."""
    batch_size: Annotated[int, Ge(1)] = 32
    """Examples per step; a client with fewer uses all it has."""
    lr: Annotated[float, Ge(0)] = 0.1
    """Learning rate of the first round."""
    lr_decay: Annotated[float, Gt(0)] = 1.0
    """The rate of round r is lr * lr_decay**(r - 1): a short word for a schedule."""
    momentum: Annotated[float, Ge(0), Lt(1)] = 0.0
    """Heavy-ball momentum of sgd inside one client's round; starts at zero every round."""
    weight_decay: Annotated[float, Ge(0)] = 0.0
    """L2 coefficient added to every gradient; with adamw each step shrinks the weights by lr * weight_decay instead."""
    proximal_mu: Annotated[float, Ge(0)] = 0.0
    """FedProx (Li et al. 2020, eq. 2): adds mu * (w - w_global) to every gradient."""
    lane: Annotated[int, Ge(1)] | Literal["auto"] = "auto"
    """How many clients train in one batched stream; 1 is the plain loop, auto a formula of model and device type."""
    lane_bytes: Annotated[int, Ge(1)] | None = None
    """What a lane of `auto` may occupy; the default depends on the device type only."""
    timeout_s: Annotated[float, Gt(0)] | None = None
    """A client that takes longer counts as failed."""
    optimizer: str = field(default="sgd", metadata=LATER)
    """What makes a step of a gradient: sgd, adam, adamw or adagrad, with torch.optim's arithmetic; what it keeps starts
    at zero every round, and in gossip stays with the client."""
    nesterov: bool = field(default=False, metadata=LATER)
    """Nesterov's form of sgd's momentum."""
    betas: tuple[Beta, Beta] | None = field(default=None, metadata=LATER)
    """How slowly the two moments of adam and adamw forget; the default is [0.9, 0.999]."""
    eps: Annotated[float, Gt(0)] | None = field(default=None, metadata=LATER)
    """Added to the root below the fraction; the default is 1e-8 for adam and adamw, 1e-10 for adagrad."""
    clip_norm: Annotated[float, Gt(0)] | None = field(default=None, metadata=LATER)
    """The norm over all parameters to which each step's gradient is shortened when it is longer; FedProx's term is part
    of that gradient, weight decay is not."""
    clip_update: Annotated[float, Gt(0)] | None = field(default=None, metadata=LATER)
    """The norm over all parameters to which a client's whole delta is shortened when it is longer, before anything is
    made of it: sums, memories and controls have the shortened one, and no client moves a sum of weight 1 by more."""
    schedule: AnySchedule | None = field(default=None, metadata=LATER)
    """How the rate changes from its first value lr: by round, or by the local steps of each round."""
    work: AnyWork = field(default_factory=OwnWork, hash=False, metadata=LATER)
    """What a client does: sgd, or a class of your own, `./work.py:Name`, alone or as a mapping with its options."""
    app: InputPath | None = field(default=None, metadata=LATER)
    """Folder of a Flower app whose ClientApp trains instead, as it is: it gets the model's `state_dict` as `arrays`,
    and `partition-id` with `num-partitions`, the number of clients; it reads its own training data."""
    run_config: Mapping[str, Value] = field(default_factory=dict, hash=False, metadata=LATER)
    """Values over the app's own options, as of `flwr run --run-config`."""
    train_config: Mapping[str, Value] = field(default_factory=dict, hash=False, metadata=LATER)
    """What the app finds in `config` beside `server-round`; `lr` is its own option `lr` or `learning-rate`, else
    client.lr."""

    drop_last: bool = field(default=False, metadata=LATER)
    """Leave out what remains of each pass over a client's examples after its last whole batch. A client with fewer
    examples than a batch still takes one with all it has."""
    carry_batches: bool = field(default=False, metadata=LATER)
    """Carry one shuffled pass over from round to round: a client goes on where it was after the last round in which it
    delivered, and its examples are shuffled anew when all were used. Otherwise each round begins a pass of its own."""
    augment: tuple[Literal["crop", "flip"], ...] = field(default=(), metadata=LATER)
    """What happens to images in training, in this order, anew in each step: crop pads by 4 black pixels and crops to
    the old size anywhere, flip mirrors left to right with probability 1/2."""

    def problems(self) -> Iterator[tuple[str, str]]:
        """Yield (key, message) for options that exclude each other."""
        if self.app is None:
            for key in ("run_config", "train_config"):
                if getattr(self, key):
                    yield key, "is for a Flower app: give client.app"
        elif not isinstance(self.work, OwnWork):
            yield "work", "give client.work or client.app, not both"
        given = {f.name: getattr(self, f.name) for f in fields(self) if f.default is not MISSING}
        held = {f.name: f.default for f in fields(self)}
        for key in () if isinstance(self.work, OwnWork) and self.app is None else (*STEP, *(COUNT if self.app else ())):
            if given[key] != held[key]:
                yield key, "the app has options of its own: client.run_config" if self.app else "client.work trains"
        if self.local_steps is not None and self.local_epochs is not None:
            yield "local_epochs", "give local_steps or local_epochs, not both"
        if self.schedule is not None and self.lr_decay != 1.0:
            yield "schedule", "give lr_decay or a schedule, not both"
        if len(set(self.augment)) < len(self.augment):
            yield "augment", f"each once, got {', '.join(self.augment)}"

    def problems_in(self, folder: str) -> Iterator[tuple[str, str]]:
        """Yield (key, message) for an app that is not there, or has no such options."""
        if self.app is None:
            return
        try:
            project = read_project(place_of(self.app, folder))
        except ValueError as error:
            yield "app", str(error)
            return
        if project.module is None:
            yield "app", f"{project.folder} has no module {project.client.partition(':')[0]}, where its ClientApp is"
        for key in self.run_config:
            if key not in project.options:
                yield f"run_config.{key}", f"the app has no such option; it has {', '.join(project.options) or 'none'}"

    def inputs(self, folder: str) -> Mapping[str, Mapping[str, Path]]:
        """Return the files by which an app is known."""
        return {} if self.app is None else {"app": read_project(place_of(self.app, folder)).sources()}

    @property
    def epochs(self) -> int | None:
        """Local epochs, or None when the work is counted in steps."""
        return None if self.local_steps is not None else (self.local_epochs or 1)

    def steps(self, counts: Counts) -> Counts:
        """Return how many local steps clients with `counts` (C,) examples take in a round.

        >>> LocalWork(batch_size=4, drop_last=True).steps(np.array([3, 4, 7, 8])).tolist()
        [1, 1, 1, 2]
        """
        if self.local_steps is not None:
            return np.full(len(counts), self.local_steps, np.int64)
        whole = np.maximum(counts // self.batch_size, np.minimum(counts, 1))
        return (self.epochs or 1) * (whole if self.drop_last else -(-counts // self.batch_size))

    def rate(self, round: int, step: int = 1) -> float:
        """Return the learning rate of a local step in a round, both counted from 1.

        >>> LocalWork(lr=0.5, lr_decay=0.5).rate(3)
        0.125
        """
        if self.schedule is None:
            return self.lr * self.lr_decay ** (round - 1)
        return self.schedule.rate(self.lr, step if self.schedule.by == "step" else round)

    @property
    def ours(self) -> bool:
        """Whether clients train by this file's own options, not by somebody else's work or app."""
        return isinstance(self.work, OwnWork) and self.app is None

    @property
    def constant_rate(self) -> bool:
        """Whether all rounds have the same learning rates."""
        if self.schedule is None:
            return self.lr_decay == 1.0 or self.lr == 0.0
        return self.schedule.by == "step" or self.schedule.kind == "constant"

    @property
    def rate_by_step(self) -> bool:
        """Whether the rate changes inside a round."""
        return self.schedule is not None and self.schedule.by == "step"
