r"""FedDyn as its paper has it: fedavg over the participants, with dynamic regularisation.

Acar et al., "Federated learning based on dynamic regularization", ICLR 2021, arXiv 2111.04263, Algorithm 1:

    every local step   gradient - l_i + alpha (w - x);     then l_i <- l_i - alpha delta_i
    on the server      h <- h - alpha sum_S a_i delta_i;     v = (sum_S a_i delta_i) / (sum_S a_i) - h / alpha

The word is short for `{name: fedavg, correction: {name: feddyn}}`; `fedsim.strategies.corrections.feddyn` says what is
kept and where this departs from the paper. Empty cohort: nothing moves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from annotated_types import Ge

from fedsim.strategies.corrections.feddyn import FedDyn
from fedsim.strategies.shorthands.corrected import CorrectedFedAvg


@dataclass(frozen=True, kw_only=True)
class FedDynFedAvg(CorrectedFedAvg):
    """FedAvg with dynamic regularisation (Acar et al. 2021).

    >>> FedDynFedAvg(alpha=0.5).corrected_by()
    FedDyn(name='feddyn', alpha=0.5)
    """

    linear: ClassVar[bool] = False

    name: Literal["feddyn"] = "feddyn"
    alpha: Annotated[float, Ge(0)] = 1.0
    """Strength of the pull towards the model, and of the linear term; 0 is FedAvg."""

    def corrected_by(self) -> FedDyn:
        """Return the correction."""
        return FedDyn(alpha=self.alpha)
