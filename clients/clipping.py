"""A bound on what one client can do: its whole delta is no longer than a given norm."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_ROOM = 1 - 2.0**-22
"""Room for the rounding of factor and product to float32, so that nothing ends up longer than the bound."""


def shorten(deltas: npt.NDArray[np.float32], bound: float) -> None:
    """Scale each row (C, d) that is longer than `bound` by bound / |row|, in place (McMahan et al. 2018, alg. 1).

    Others are left as they are, bit for bit, and so are rows that are not finite. The norm is taken in float64, row by
    row, so that it does not depend on who else is in the lane.

    >>> rows = np.array([[3.0, 4.0], [0.3, 0.4]], np.float32)
    >>> shorten(rows, 1.0)
    >>> rows.round(6).tolist() == np.array([[0.6, 0.8], [0.3, 0.4]], np.float32).round(6).tolist()
    True
    """
    norms = np.sqrt(np.einsum("ij,ij->i", deltas, deltas, dtype=np.float64))
    for place in np.flatnonzero(np.isfinite(norms) & (norms > bound)):
        deltas[place] *= np.float32(bound / norms[place] * _ROOM)
