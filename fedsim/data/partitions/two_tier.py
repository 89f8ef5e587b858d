"""Label skew that goes with the tier of a client's device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from annotated_types import Ge, Gt, Lt

from fedsim.core import ScenarioError
from fedsim.core.rng import stream
from fedsim.data.partitions.config import Dealing
from fedsim.data.partitions.dealing import Ints, by_label, cut, must_suffice, top_up


@dataclass(frozen=True, kw_only=True)
class TwoTier(Dealing):
    """Label skew that goes with speed: each label is cut between two tiers of clients, then inside each by Dirichlet.

    The first round(share * N) clients are the fast tier, as in the law `two_level` of speeds and of probabilities, so
    that who is fast, or often there, has other labels. A label's share for the fast tier is a draw of Dirichlet(tilt
    (share, 1 - share)), with mean `share`; inside a tier it is cut by Dirichlet(alpha). A large tilt makes it the
    partition `dirichlet` in each tier, with no connection between speed and labels.
    """

    kind: Literal["two_tier"] = "two_tier"
    share: Annotated[float, Gt(0), Lt(1)] = 0.5
    """Share of the clients in the fast tier, which are the first."""
    alpha: Annotated[float, Gt(0)]
    """Concentration inside a tier: 0.1 gives most clients one or two labels, 100 is close to equal."""
    tilt: Annotated[float, Gt(0)] = 0.5
    """Concentration between the tiers: small gives most labels to one tier, large gives both the same labels."""
    min_examples: Annotated[int, Ge(1)] = 1
    """A client below this receives random examples of the clients that have most."""

    def owners(self, labels: Ints, clients: int, seed: int) -> Ints:
        """Return the client of each example, shape (n,).

        Raises
        ------
        ScenarioError : there are too few examples, or a tier without clients.
        """
        must_suffice(len(labels), clients, self.min_examples)
        fast = round(self.share * clients)
        if not 0 < fast < clients:
            text = f"{self.share:g} of {clients} clients leaves one tier empty"
            raise ScenarioError(f"data.partition.share: {text}")
        order = by_label(labels, seed)
        owners = np.empty(len(labels), np.int64)
        start = 0
        for label, count in enumerate(np.bincount(labels).tolist()):
            if count:
                rng = stream(seed, "partition.two_tier", label)
                between = rng.dirichlet(self.tilt * np.array([self.share, 1 - self.share]))
                inside = [rng.dirichlet(np.full(size, self.alpha)) for size in (fast, clients - fast)]
                shares = np.concatenate([part * draw for part, draw in zip(between, inside, strict=True)])
                owners[order[start : start + count]] = cut(count, shares)
                start += count
        return top_up(owners, clients, self.min_examples, seed)

    @property
    def by_label(self) -> bool:
        """It looks at labels."""
        return True

    @property
    def least(self) -> int:
        """The examples that each client is sure to have."""
        return self.min_examples
