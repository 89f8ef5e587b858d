r"""Scaffnew as its paper has it: one local step a round, and the mean of all clients when a coin falls heads.

Mishchenko, Malinovsky, Stich & Richtarik, "ProxSkip: yes! Local gradient steps provably lead to communication
acceleration! Finally!", ICML 2022, arXiv 2202.09357, Algorithm 2. With p = `probability`:

    x^_i = x_i - lr (gradient - h_i)
    heads   x = mean_i x^_i;  x_i <- x;  h_i <- h_i + (p / lr) (x - x^_i)            tails   x_i <- x^_i

The word is short for `{name: fedavg, correction: {name: scaffnew}}`; the module of the correction says what is kept,
and why the global model is the mean of the clients' in every round. It needs `participation: {kind: full}` and
`client.local_steps: 1`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Gt, Le

from fedsim.strategies.corrections.scaffnew import Scaffnew
from fedsim.strategies.shorthands.corrected import CorrectedFedAvg


@dataclass(frozen=True, kw_only=True)
class ScaffnewFedAvg(CorrectedFedAvg):
    """One local step a round, averages when a coin falls heads (Mishchenko et al. 2022).

    >>> ScaffnewFedAvg(probability=0.2).corrected_by()
    Scaffnew(name='scaffnew', probability=0.2)
    """

    name: Literal["scaffnew"] = "scaffnew"
    probability: Annotated[float, Gt(0), Le(1)] = 0.5
    """p, how often models are averaged."""

    def corrected_by(self) -> Scaffnew:
        """Return the correction."""
        return Scaffnew(probability=self.probability)
