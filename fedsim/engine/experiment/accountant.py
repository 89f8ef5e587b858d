"""What a sequence of sampled Gaussian sums has spent of privacy: Renyi divergences, added up and turned into epsilon.

Of one round, with q the share of clients sampled and s the noise's deviation over the most that two neighbouring runs'
sums can differ by, for whole orders a:

    poisson      (1/(a-1)) log sum_k C(a,k) (1-q)^(a-k) q^k exp((k^2 - k) / (2 s^2))
                 a client added or taken away; Mironov, Talwar, Zhang, arXiv 1908.10530, section 3.3
    fixed size   (1/(a-1)) log (1 + q^2 C(a,2) min(4 (e^r(2) - 1), 2 e^r(2))
                                  + sum_{j=3..a} q^j C(a,j) min(2 e^((j-1) r(j)), 4 sqrt(B(j-) B(j+))))
                 with r(j) = j / (2 s^2), j- and j+ the even numbers around j,
                 B(l) = sum_i (-1)^i C(l,i) e^((i-1) r(i)), and never more than r(a): one client in place of another;
                 Wang, Balle, Kasiviswanathan, AISTATS 2019 (arXiv 1808.00087), theorem 27; here for j > 64 the first
                 term of the second min alone, which is a bound too

Rounds add up; epsilon at delta is the least over a of rdp + log(1 - 1/a) - log(a delta) / (a - 1) (Canonne, Kamath,
Steinke, NeurIPS 2020, proposition 12).
"""

from __future__ import annotations

from decimal import Decimal, localcontext
from functools import lru_cache
from math import comb, log, log1p
from typing import Literal

import numpy as np
from scipy.special import gammaln, logsumexp

from fedsim.core.sums import Vector

Sampling = Literal["poisson", "fixed size"]
ORDERS: tuple[int, ...] = (*range(2, 65), 80, 96, 128, 192, 256, 512, 1024)
TIGHT = 64
"""Up to which j the tighter terms are formed."""


@lru_cache(maxsize=16)
def _one_round(sampling: Sampling, share: float, ratio: float) -> tuple[float, ...]:
    """Return the divergence of one round at each of `ORDERS`."""
    plain = [order / (2 * ratio**2) for order in ORDERS]
    if share == 1.0:
        return tuple(plain)
    each = _poisson if sampling == "poisson" else _fixed
    return tuple(min(each(order, share, ratio), most) for order, most in zip(ORDERS, plain, strict=True))


def _choose(order: int, k: Vector) -> Vector:
    """Return log C(order, k)."""
    found: Vector = gammaln(order + 1) - gammaln(k + 1) - gammaln(order - k + 1)
    return found


def _poisson(order: int, share: float, ratio: float) -> float:
    k = np.arange(order + 1, dtype=np.float64)
    terms = _choose(order, k) + (order - k) * np.log1p(-share) + k * log(share) + (k * k - k) / (2 * ratio**2)
    return float(logsumexp(terms)) / (order - 1)


def _fixed(order: int, share: float, ratio: float) -> float:
    j = np.arange(2, order + 1, dtype=np.float64)
    terms = _choose(order, j) + j * log(share) + j * (j - 1) / (2 * ratio**2) + log(2)
    alternating = _alternating(ratio)
    for place, one in enumerate(range(3, min(order, TIGHT) + 1), start=1):
        other = log(4) + (alternating[one // 2] + alternating[(one + 1) // 2]) / 2
        terms[place] -= max(0.0, log(2) + one * (one - 1) / (2 * ratio**2) - other)
    if (second := 1 / ratio**2) < log(2):  # 4 (e^r - 1) is below 2 e^r
        terms[0] += log(2) + np.log(np.expm1(second)) - second
    return float(logsumexp(np.append(terms, 0.0))) / (order - 1)


@lru_cache(maxsize=16)
def _alternating(ratio: float) -> tuple[float, ...]:
    """Return log B(0), log B(2), ... log B(`TIGHT`): in 1000 digits, for the terms cancel almost wholly."""
    with localcontext() as context:
        context.prec = 1000
        moments = [(Decimal(i * (i - 1)) / (2 * Decimal(ratio) ** 2)).exp() for i in range(TIGHT + 1)]
        found = [0.0]
        for many in range(2, TIGHT + 1, 2):
            total = sum((1 - i % 2 * 2) * comb(many, i) * moments[i] for i in range(many + 1))
            found.append(float(Decimal(total).ln()))
        return tuple(found)


def epsilon(sampling: Sampling, share: float, ratio: float, rounds: int, delta: float) -> float:
    """Return epsilon at `delta` of so many rounds.

    >>> epsilon("poisson", 0.1, 1.0, 0, 1e-5)
    0.0
    >>> round(epsilon("poisson", 1.0, 2.0, 1, 1e-5), 3) < round(epsilon("poisson", 1.0, 1.0, 1, 1e-5), 3)
    True
    """
    if rounds == 0:
        return 0.0
    found = [
        rounds * rdp + log1p(-1 / order) - log(order * delta) / (order - 1)
        for order, rdp in zip(ORDERS, _one_round(sampling, share, ratio), strict=True)
    ]
    return max(0.0, min(found))
