"""Where every rule under every correction ends on a problem whose optimum is 3: the table of docs/corrections.md.

    python -m benchmarks.corrections

f_i(w) = k_i / 2 (w - c_i)^2, k = (1, 3), c = (0, 4), two local steps of rate 0.1, each of two clients present with
probability 0.5, 1500 rounds in float64. Where a rule does not settle, the range of its last 200 rounds is shown.
"""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np

from fedsim.core import Rule
from fedsim.laws import Problem, play
from fedsim.laws.play import bernoulli
from fedsim.strategies.corrections import catalogue
from fedsim.strategies.fedau import FedAU
from fedsim.strategies.fedavg import FedAvg
from fedsim.strategies.fedstale import FedStale
from fedsim.strategies.fedvarp import FedVARP
from fedsim.strategies.mifa import MIFA

RULES: dict[str, Rule] = {
    "fedavg": FedAvg(),
    "fedavg, normalise: population": FedAvg(normalise="population"),
    "fedavg, normalise: inverse_probability": FedAvg(normalise="inverse_probability"),
    "fedau": FedAU(),
    "fedstale": FedStale(),
    "fedvarp": FedVARP(),
    "mifa": MIFA(),
}
NAMES = ("scaffold", "feddyn", "fedadmm", "mime-lite")
ROUNDS, LAST = 1500, 200


def ends(rule: Rule) -> str:
    """Return where a rule ends, or between what it wanders."""
    with np.errstate(all="ignore"):
        seen = [float(now.params[0]) for now in play(rule, Problem(), bernoulli(ROUNDS, 2, 0.5, 7))][-LAST:]
    low, high = min(seen), max(seen)
    if not np.isfinite(seen).all() or max(-low, high) > 1e3:
        return "diverges"
    return f"{seen[-1]:.4f}" if high - low < 1e-6 else f"{low:.2f} to {high:.2f}"


def table() -> str:
    """Return the table."""
    lines = [f"| rule | none | {' | '.join(NAMES)} |", "|---|--:|" + "--:|" * len(NAMES)]
    for name, rule in RULES.items():
        corrected = (replace(rule, correction=catalogue()[word]()) for word in NAMES)
        lines.append(f"| {name} | {' | '.join(ends(one) for one in (rule, *corrected))} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(table() + "\n")
