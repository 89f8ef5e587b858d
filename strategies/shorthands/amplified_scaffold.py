r"""Amplified SCAFFOLD as its paper has it: fedavg over the participants, corrected and amplified once a period.

Crawshaw & Liu, "Federated learning under periodic client participation and heterogeneity: a new communication-efficient
algorithm and analysis", NeurIPS 2024. In periods of `period` rounds:

    every local step   gradient + c - c_i
    every round        v = (sum_S a_i delta_i) / (sum_S a_i)
    at a period's end  x <- x + (factor - 1)(x - x_last), then c_i and c are renewed

The word is short for `{name: fedavg, correction: {name: amplified_scaffold}}`; the module of the correction says what
is kept and where this departs from the paper. Empty cohort: nothing moves, but that a period may end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from annotated_types import Ge

from fedsim.strategies.corrections.amplified_scaffold import AmplifiedScaffold
from fedsim.strategies.shorthands.corrected import CorrectedFedAvg


@dataclass(frozen=True, kw_only=True)
class AmplifiedScaffoldFedAvg(CorrectedFedAvg):
    """FedAvg with control variates renewed once a period, and amplified steps (Crawshaw & Liu 2024).

    >>> AmplifiedScaffoldFedAvg(period=4, factor=1.5).corrected_by()
    AmplifiedScaffold(name='amplified_scaffold', period=4, factor=1.5)
    """

    linear: ClassVar[bool] = False

    name: Literal["amplified_scaffold"] = "amplified_scaffold"
    period: Annotated[int, Ge(1)] = 1
    """P, rounds in a period."""
    factor: Annotated[float, Ge(0)] = 1.0
    """gamma, what the way of a period is multiplied by at its end."""

    def corrected_by(self) -> AmplifiedScaffold:
        """Return the correction."""
        return AmplifiedScaffold(period=self.period, factor=self.factor)
