"""FedStale's `beta: auto` against fixed betas on the six offline twins in scenarios/cards, seed by seed.

python benchmarks/auto_beta.py --seeds 10 --kept auto-beta.json     about an hour on one core
python benchmarks/auto_beta.py --seeds 0 --kept auto-beta.json      the table of what is there already

A run is judged by its test accuracy, the mean of the last three evaluations. All betas of a seed see the same data,
first parameters and absences. `auto - best` is the paired difference to the fixed beta that is best on average over all
seeds, which nobody knows beforehand, with Student's 95 % interval; `cost` says how far the worst fixed beta is from the
best. In the two twins of FedVARP five clients of a hundred come together, so that clients are not independent, and auto
is a heuristic there: it is given p_i = 0.05 as a list.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import fedsim
from fedsim.analysis.paired import t_interval

TWINS = [f"{paper}-{data}" for paper in ("fedau", "fedvarp", "fedstale") for data in ("digits", "synthetic")]
FIXED: tuple[float, ...] = (0.0, 0.2, 0.5, 0.8, 1.0)
AUTO = "auto"
Kept = dict[str, dict[str, dict[str, float]]]


def accuracy(twin: str, beta: float | str, seed: int) -> tuple[float, float]:
    """Return the accuracy that a run ends with, and its mean beta in the second half of the rounds."""
    strategy: dict[str, Any] = {"name": "fedstale", "beta": beta}
    if twin.startswith("fedvarp") and beta == AUTO:
        strategy["probabilities"] = [0.05] * 100
    with tempfile.TemporaryDirectory() as folder:
        run = fedsim.run(
            f"scenarios/cards/{twin}.yaml", out=f"{folder}/run", seed=seed, strategy=strategy, probe=None, compare=None
        )
        rounds = run.rounds
    ends = rounds[rounds["metric"] == "test_accuracy"]["value"].tail(3)
    curve = rounds[rounds["metric"] == "beta"]["value"]
    return float(ends.mean()), float(curve.tail(len(curve) // 2).mean()) if len(curve) else float(beta)


def learn(kept: Kept, path: Path, seeds: range) -> None:
    """Run what is not there yet, seed after seed, and keep it after each."""
    for seed in seeds:
        for twin in TWINS:
            for beta in (*FIXED, AUTO):
                known = kept.setdefault(twin, {}).setdefault(str(beta), {})
                if str(seed) not in known:
                    known[str(seed)], mean = accuracy(twin, beta, seed)
                    if beta == AUTO:
                        kept[twin].setdefault("curve", {})[str(seed)] = mean
            path.write_text(json.dumps(kept, indent=1))


def table(kept: Kept) -> list[str]:
    """Return the comparison as lines of Markdown, over the seeds that every beta has."""
    words = ("twin", "seeds", *(f"beta {beta:g}" for beta in FIXED), AUTO, "auto - best fixed", "cost", "auto's beta")
    lines = ["| " + " | ".join(words) + " |", "|" + "---|" * len(words)]
    for twin, found in kept.items():
        seeds = sorted(set.intersection(*(set(found[str(beta)]) for beta in (*FIXED, AUTO))), key=int)
        ends = {beta: np.array([found[str(beta)][seed] for seed in seeds]) for beta in (*FIXED, AUTO)}
        best = max(FIXED, key=lambda beta: ends[beta].mean())
        worst = min(ends[beta].mean() for beta in FIXED)
        difference = t_interval(100 * (ends[AUTO] - ends[best]))
        cells = [
            twin,
            str(len(seeds)),
            *(f"{100 * ends[beta].mean():.1f}" for beta in (*FIXED, AUTO)),
            f"{difference.mean:+.2f} ± {difference.half:.2f} ({best:g})",
            f"{100 * (worst - ends[best].mean()):.1f}",
            f"{np.mean([found['curve'][seed] for seed in seeds]):.2f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def main() -> None:
    """Run what is asked for, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--kept", type=Path, default=Path("auto-beta.json"))
    options = parser.parse_args()
    kept: Kept = json.loads(options.kept.read_text()) if options.kept.exists() else {}
    learn(kept, options.kept, range(options.first, options.first + options.seeds))
    print("\n".join(table(kept)))


if __name__ == "__main__":
    main()
