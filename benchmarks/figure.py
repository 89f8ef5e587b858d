"""Draw the README's figure: who comes, what it costs, and what remembering buys.

    python benchmarks/figure.py [docs/figures/coming-and-going.png]

Runs the quickstart on one process: three strategies times five seeds, and one probed run; about two minutes.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap

import fedsim
from fedsim.api import read
from fedsim.engine.experiment import build

SCENARIO = Path(__file__).parent.parent / "scenarios" / "quickstart.yaml"
CENTRALISED = SCENARIO.with_name("centralised.yaml")
SEEDS = (1, 2, 3, 4, 5)
SHOWN_ROUNDS = 120
GREY, ORANGE, BLUE, INK = "#8d99a6", "#e07a3f", "#2b6cb0", "#1f2933"
FEDAVG = {"name": "fedavg"}
UNBIASED = {"name": "fedavg", "normalise": "inverse_probability"}
FEDSTALE = {"name": "fedstale", "beta": 0.5}
CURVES = (
    ("FedAvg, mean of who came", FEDAVG, GREY),
    ("FedAvg, weighted by 1/p", UNBIASED, ORANGE),
    ("FedStale", FEDSTALE, BLUE),
)
VARIANCES = (("fedavg_inverse_probability", "FedAvg, 1/p", ORANGE), ("fedstale_0.5", "FedStale", BLUE))


def accuracy(folder: Path, strategy: dict[str, object]) -> pd.DataFrame:
    """Return test accuracy by round (rows) and seed (columns)."""
    out = folder / "-".join(str(value) for value in strategy.values())
    columns = {}
    for seed in SEEDS:
        run = fedsim.run(SCENARIO, out=out / str(seed), strategy=strategy, seed=seed, engine={"kind": "serial"})
        columns[seed] = run.rounds.query("metric == 'test_accuracy'").set_index("round")["value"]
    return pd.DataFrame(columns)


def variances(folder: Path) -> pd.DataFrame:
    """Return the variance of each strategy's update along one FedStale run, by round."""
    probe = {"every": 10, "draws": 200, "betas": [0.5]}
    run = fedsim.run(SCENARIO, out=folder / "probe", engine={"kind": "serial"}, probe=probe)
    rows = run.rounds[run.rounds["metric"].str.startswith("probe_variance.")]
    return rows.assign(tag=rows["metric"].str.partition(".")[2]).pivot_table("value", "round", "tag")


def draw_presence(axes: Axes) -> None:
    """Who is there, round by round; the most frequent clients on top."""
    experiment = build(read(SCENARIO, {}))
    there = np.zeros((experiment.population.num_clients, SHOWN_ROUNDS), bool)
    for round in range(1, SHOWN_ROUNDS + 1):
        there[experiment.process.cohort(round), round - 1] = True
    assert experiment.population.probabilities is not None
    order = np.argsort(-experiment.population.probabilities, kind="stable")
    axes.imshow(there[order], aspect="auto", interpolation="none", cmap=ListedColormap(["#f4f6f8", BLUE]),
                extent=(0.5, SHOWN_ROUNDS + 0.5, 100.5, 0.5))  # fmt: skip
    axes.set(xlabel="round", ylabel="clients, by how often they can come", yticks=[])
    axes.set_title("Who comes")


def draw_accuracy(axes: Axes, folder: Path) -> None:
    """Test accuracy of three strategies over the same absences."""
    for label, strategy, color in CURVES:
        found = accuracy(folder, strategy)
        axes.fill_between(found.index, found.min(axis=1), found.max(axis=1), color=color, alpha=0.15, linewidth=0)
        axes.plot(found.index, found.mean(axis=1), color=color, linewidth=2, label=label)
    ceiling = fedsim.run(CENTRALISED, out=folder / "ceiling").final["test_accuracy"]
    axes.axhline(ceiling, color=INK, linewidth=1, linestyle=(0, (4, 3)), label="all data in one place")
    axes.set(xlabel="round", ylabel="test accuracy", ylim=(0.6, 1.0), xlim=(0, found.index[-1]))
    axes.legend(loc="lower right", frameon=False, fontsize=9)
    axes.set_title("What is learnt: mean and range of 5 seeds")


def draw_variance(axes: Axes, folder: Path) -> None:
    """Variance of the server's update, measured at the same models and memories."""
    found = variances(folder)
    for tag, label, color in VARIANCES:
        axes.plot(found.index, found[tag], color=color, linewidth=2, label=label)
    ratio = float((found[VARIANCES[0][0]] / found[VARIANCES[1][0]]).iloc[len(found) // 2 :].median())
    axes.set(xlabel="round", ylabel="variance of the update", yscale="log", xlim=(0, found.index[-1]))
    axes.minorticks_off()
    axes.legend(loc="upper right", frameon=False, fontsize=9)
    axes.set_title(f"Chance in an update: {ratio:.0f} times less")


def main(path: str) -> None:
    """Run what is shown and draw it."""
    plt.rcParams |= {
        "font.family": "DejaVu Sans", "font.size": 10, "axes.titlesize": 11, "axes.titleweight": "bold",
        "axes.titlelocation": "left", "axes.spines.top": False, "axes.spines.right": False, "text.color": INK,
        "axes.labelcolor": INK, "axes.edgecolor": "#c3ccd5", "xtick.color": INK, "ytick.color": INK,
        "axes.grid": True, "grid.color": "#e4e9ee", "axes.axisbelow": True,
    }  # fmt: skip
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(13, 3.9), layout="constrained")
    left.grid(visible=False)
    with tempfile.TemporaryDirectory() as folder:
        draw_presence(left)
        draw_accuracy(middle, Path(folder))
        draw_variance(right, Path(folder))
    figure.savefig(path, dpi=160)
    print(f"wrote {path}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "docs/figures/coming-and-going.png")
