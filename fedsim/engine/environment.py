"""Who is there in a round, and whose reply counts: the participation process, and the clients' devices if any."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from fedsim.core import ClientData, LocalWork, Process
from fedsim.core.contracts import Ids
from fedsim.participation.clock import Arrivals, Clock


@dataclass
class Environment:
    """The world as the server meets it, round by round; a pure function of the round, kept for the last one asked.

    Parameters
    ----------
    process : who is scheduled. clock : how long each would take, None when time is not simulated.
    steps : (N,) local steps of each client's round. model_bytes : bytes of the parameters, each way.
    """

    process: Process
    clock: Clock | None
    steps: Ids
    model_bytes: int
    round: int = 0
    scheduled: Ids = field(default_factory=lambda: np.zeros(0, np.int64))
    arrivals: Arrivals | None = None

    def present(self, round: int) -> Ids:
        """Return the clients whose replies count in a round, ascending; the late ones' work is not even simulated."""
        if round != self.round:
            self.round = round
            self.scheduled = self.process.cohort(round)
            if self.clock is not None:
                self.arrivals = self.clock.realise(
                    round, self.scheduled, self.steps[self.scheduled], self.model_bytes, self.model_bytes
                )
        return self.scheduled if self.arrivals is None else self.arrivals.kept


def local_steps(work: LocalWork, data: ClientData) -> Ids:
    """Return how many SGD steps each client takes in a round (N,)."""
    counts = data.num_examples
    if work.epochs is None:
        return np.full(len(counts), work.local_steps or 1, np.int64)
    return work.epochs * -(-counts // work.batch_size)
