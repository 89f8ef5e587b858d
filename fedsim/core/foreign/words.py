"""The near miss: which of the allowed words was probably meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(given: object, allowed: Iterable[str]) -> str:
    """Return "; did you mean X?", or nothing when no allowed word is close.

    >>> did_you_mean("bernouli", ["full", "bernoulli"])
    "; did you mean 'bernoulli'?"
    """
    names = list(allowed)
    folded = {name.lower().replace("-", "_"): name for name in names}
    close = get_close_matches(str(given).lower().replace("-", "_")[:100], folded, n=1, cutoff=0.6)
    return f"; did you mean {folded[close[0]]!r}?" if close else ""
