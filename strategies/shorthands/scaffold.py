r"""SCAFFOLD as its paper has it: fedavg over the participants, corrected by control variates.

Karimireddy et al., "SCAFFOLD: stochastic controlled averaging for federated learning", ICML 2020, arXiv 1910.06378,
Algorithm 1 with option II:

    every local step   gradient + c - c_i;     then c_i+ = c_i - c - delta_i / (K_i lr)
    on the server      c <- c + sum_S a_i (c_i+ - c_i);     v = (sum_S a_i delta_i) / (sum_S a_i)

The word is short for `{name: fedavg, correction: {name: scaffold}}`; `fedsim.strategies.corrections.scaffold` says what
is kept and where this departs from the paper. Empty cohort: nothing moves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge

from fedsim.strategies.corrections.scaffold import Scaffold
from fedsim.strategies.shorthands.corrected import CorrectedFedAvg


@dataclass(frozen=True, kw_only=True)
class ScaffoldFedAvg(CorrectedFedAvg):
    """FedAvg with SCAFFOLD's control variates (Karimireddy et al. 2020).

    >>> ScaffoldFedAvg().corrected_by()
    Scaffold(name='scaffold', strength=1.0)
    """

    name: Literal["scaffold"] = "scaffold"
    strength: Annotated[float, Ge(0)] = 1.0
    """Share of c - c_i that goes into every gradient; 0 is FedAvg."""

    def corrected_by(self) -> Scaffold:
        """Return the correction."""
        return Scaffold(strength=self.strength)
