"""Injected faults: what goes wrong on purpose, by the same keyed generators as everything else.

A fault is not an absence: the client was scheduled, was invited, and failed. The engine injects what is drawn here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Le

from fedsim.core.contracts import Ids
from fedsim.core.rng import digest, uniforms
from fedsim.participation.coins import Mask

Fault = Literal["crash", "message_loss", "nan"]
FAULTS: tuple[Fault, ...] = ("crash", "message_loss", "nan")


@dataclass(frozen=True, kw_only=True)
class Faults:
    """Probabilities with which a participating client fails in a round, independently over clients and rounds.

    A client has at most one fault a round: a crash comes before a lost message, and that before a NaN. So a message
    is lost with probability (1 - crash) * message_loss, and so on.
    """

    crash: Annotated[float, Ge(0), Le(1)] = 0.0
    """The client dies before it replies."""
    message_loss: Annotated[float, Ge(0), Le(1)] = 0.0
    """The client trains, but its reply never arrives."""
    nan: Annotated[float, Ge(0), Le(1)] = 0.0
    """The reply holds a NaN."""

    def events(self, seed: int, round: int, clients: Ids) -> dict[Fault, Mask]:
        """Return, for each kind of fault, which of the clients it strikes (|clients|,).

        What strikes a client depends on (seed, round, client) only, not on who else takes part.
        """
        sound = np.ones(len(clients), bool)
        struck: dict[Fault, Mask] = {}
        for kind in FAULTS:
            struck[kind] = sound & (uniforms(digest(seed, f"faults.{kind}"), round, clients) < getattr(self, kind))
            sound &= ~struck[kind]
        return struck
