"""A strategy of one's own: three pure functions of a state."""

from dataclasses import dataclass

import numpy as np

from fedsim.core import LinearSum, Rule


@dataclass(frozen=True, kw_only=True)
class Fading(Rule):
    """Average whoever came, and step less and less."""

    fade: float = 0.05

    def start(self, params, population):
        """Return how many rounds there have been."""
        return 0

    def ask(self, state, cohort):
        """Ask for the sum of what the clients send: who will reply, nobody knows yet."""
        return {"sum": LinearSum(np.ones(len(cohort)))}

    def step(self, state, cohort, sums):
        """Step by the mean over those who replied, less and less."""
        return state + 1, sums["sum"] / max(1, len(cohort)) / (1 + self.fade * state)
