"""Who is there in a round, and whose reply counts: the participation process, and the clients' devices if any."""

from __future__ import annotations

from dataclasses import dataclass, field

from fedsim.core import ClientData, LocalWork, Process
from fedsim.core.contracts import Ids
from fedsim.participation.clock import Arrivals, Clock


@dataclass(frozen=True)
class Attendance:
    """Who was there in a round: asked to train, and, where time is simulated, how long each took.

    `model_bytes` : bytes of the parameters, each way.
    """

    round: int
    scheduled: Ids
    arrivals: Arrivals | None
    model_bytes: int

    @property
    def present(self) -> Ids:
        """The clients whose replies count, ascending; the late ones' work is not even simulated."""
        return self.scheduled if self.arrivals is None else self.arrivals.kept


@dataclass
class Environment:
    """The world as the server meets it: a pure function of the round.

    Parameters
    ----------
    process : who is scheduled. clock : how long each would take, None when time is not simulated.
    steps : (N,) local steps of each client's round. model_bytes : bytes of the parameters, each way.
    up_bytes : bytes of what comes up, where a codec makes it another number; a first, whole message counts as the rest.
    """

    process: Process
    clock: Clock | None
    steps: Ids
    model_bytes: int
    up_bytes: int | None = None
    _last: Attendance | None = field(default=None, init=False, repr=False)

    def attend(self, round: int) -> Attendance:
        """Return who is there in a round; the last answer is kept, for a round is asked for more than once."""
        if self._last is None or self._last.round != round:
            scheduled, size = self.process.cohort(round), self.model_bytes
            up = size if self.up_bytes is None else self.up_bytes
            clock = self.clock
            arrivals = None if clock is None else clock.realise(round, scheduled, self.steps[scheduled], size, up)
            self._last = Attendance(round, scheduled, arrivals, size)
        return self._last

    def present(self, round: int) -> Ids:
        """Return the clients whose replies count in a round, ascending."""
        return self.attend(round).present


def local_steps(work: LocalWork, data: ClientData) -> Ids:
    """Return how many SGD steps each client takes in a round (N,)."""
    return work.steps(data.num_examples)
