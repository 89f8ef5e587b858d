"""FedAvg under a correction, as one word: `{name: scaffold}` is `{name: fedavg, correction: {name: scaffold}}`."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

from fedsim.core import Correction
from fedsim.core.contracts import Cohort, Parameters, Population, Rule, Sums, Vector
from fedsim.core.sums import LinearSum
from fedsim.strategies.fedavg import FedAvg
from fedsim.strategies.inverse import Inverse


@dataclass(frozen=True, kw_only=True)
class CorrectedFedAvg(Rule):
    """FedAvg over the participants, with a correction that the word brings along."""

    @abstractmethod
    def corrected_by(self) -> Correction:
        """Return the correction, with the options that stand beside the word."""

    def problems(self) -> Iterator[tuple[str, str]]:
        """There is one correction."""
        if self.correction is not None:
            yield "correction", "this strategy is fedavg with a correction already; write it under another one"

    @property
    def _fedavg(self) -> FedAvg:
        return FedAvg(weights=self.weights)

    def start(self, params: Parameters, population: Population) -> Inverse:
        """Start as fedavg does."""
        return self._fedavg.start(params, population)

    def ask(self, state: Inverse, cohort: Cohort) -> dict[str, LinearSum]:
        """Ask for sum a_i delta_i."""
        return self._fedavg.ask(state, cohort)

    def step(self, state: Inverse, cohort: Cohort, sums: Sums) -> tuple[Inverse, Vector | None]:
        """Divide by the weight of those who came."""
        return self._fedavg.step(state, cohort, sums)
