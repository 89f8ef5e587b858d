"""What variance-corrected gossip brings and costs: three tables and a figure.

python benchmarks/gossip.py                       all of it, several minutes
python benchmarks/gossip.py phenomenon            steps to 50 % accuracy, three seeds, 3 and 5 layers
python benchmarks/gossip.py scale --hosts 2       1,000 clients x 20,000 parameters, seconds a round and memory
python benchmarks/gossip.py merge                 what the correction adds to a merge of 1,000 models
python benchmarks/gossip.py figure layers.png     layer variances over rounds, plain, corrected, common start
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from statistics import mean, median
from time import process_time
from typing import Any

import numpy as np

import fedsim
from fedsim.clients.gossip.merge import Row, Tensors, merge, moments
from fedsim.core import Layout, World
from fedsim.graphs.topology import Regular
from fedsim.strategies.peers.mixing import rows

VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {"preset": "plain"},
    "corrected": {"preset": "corrected"},
    "common start": {"preset": "plain", "initialisation": "common"},
}
STARS = "-" * 78


def digits(hidden: list[int], seed: int, rounds: int, **strategy: Any) -> dict[str, Any]:
    """Fifty clients on an 8-regular graph, one step a round."""
    return {
        "name": "gossip",
        "seed": seed,
        "rounds": rounds,
        "data": {"dataset": "digits", "clients": 50},
        "model": {"name": "mlp", "hidden": hidden},
        "client": {"local_steps": 1, "batch_size": 16, "lr": 0.05},
        "strategy": {"name": "gossip", "topology": {"kind": "regular", "degree": 8}, **strategy},
        "evaluate": {"every": 1},
        "engine": {"kind": "serial", "nodes": 1},
    }


def steps_to_half(scenario: dict[str, Any]) -> tuple[int | None, float]:
    """Return the steps until the nodes' mean accuracy reaches 50 %, evaluated every step, and the best accuracy."""
    scenario = {**scenario, "stop": {"metric": "node_accuracy_mean", "target": 0.5}}
    with tempfile.TemporaryDirectory() as folder:
        found = fedsim.run(scenario, out=Path(folder) / "run").rounds
    curve = found[found["metric"] == "node_accuracy_mean"]
    reached = curve[curve["value"] >= 0.5]["round"]
    return (int(reached.min()) if len(reached) else None), float(curve["value"].max())


def phenomenon(rounds: int = 2500) -> None:
    """Print steps to 50 % accuracy for every variant, seed and depth."""
    for hidden in ([64, 64], [64] * 4):
        limit = rounds if len(hidden) == 2 else 600
        print(f"\nsteps to 50 % mean node accuracy, {len(hidden) + 1} layers (at most {limit} steps)\n{STARS}")
        steps: dict[str, list[int]] = {}
        for name, options in VARIANTS.items():
            cells = []
            for seed in (1, 2, 3):
                taken, best = steps_to_half(digits(hidden, seed, limit, evaluate_nodes=10, **options))
                steps.setdefault(name, []).append(taken or limit)
                cells.append(f"{taken}" if taken else f">{limit} (best {best:.3f})")
            print(
                f"{name:14s} {'  '.join(f'{cell:>20s}' for cell in cells)}   mean {mean(steps[name]):.0f}", flush=True
            )
        plain, corrected, common = (mean(steps[name]) for name in VARIANTS)
        print(f"plain / corrected {plain / corrected:.1f}    corrected / common start {corrected / common:.2f}")


def scale(hosts: int, rounds: int = 6) -> None:
    """Print seconds a round and peak memory of 1,000 clients with 20,000 parameters each."""
    engine = {"kind": "ray", "nodes": 4, "hosts": hosts} if hosts else {"kind": "serial"}
    print(f"\n1,000 clients x 19,882 parameters, 8-regular, one step a round, {engine}\n{STARS}")
    for name, options in {
        "plain, untracked": {"preset": "plain", "track_variance": False},
        "plain": {"preset": "plain"},
        "corrected": {"preset": "corrected"},
    }.items():
        scenario = {
            **digits([108, 108], 1, rounds, evaluate_nodes=20, **options),
            "data": {"dataset": "synthetic", "clients": 1000},
            "model": {"name": "mlp", "hidden": [108, 108]},
            "evaluate": {"every": rounds},
            "engine": engine,
        }
        with tempfile.TemporaryDirectory() as folder:
            run = fedsim.run(scenario, out=Path(folder) / "run")
        timing, peak = run.summary["timing"], run.summary["peak_rss_bytes"]
        print(f"{name:18s} {timing['round_s_median']:.3f} s a round    peak memory {peak / 2**20:.0f} MB", flush=True)


def merging(count: int = 1000, repeats: int = 5) -> None:
    """Print what one merge of 1,000 models costs, with and without the correction."""
    layout = Layout(
        ("a", "a.bias", "b", "b.bias", "c", "c.bias"), ((108, 64), (108,), (108, 108), (108,), (10, 108), (10,))
    )
    tensors, nothing = Tensors.of(layout, "weights"), Tensors((), (), layout.size)
    graph = Regular(degree=8).graph(World(1, count), 1)
    mixed = rows(graph.receivers, graph.senders, np.ones_like(graph.senders), graph.out_degrees[graph.senders], 1)
    models = np.random.default_rng(1).normal(size=(count, layout.size)).astype(np.float32)
    out = np.empty_like(models)

    def once(parts: Tensors, correct: bool) -> tuple[float, float]:
        began = process_time()
        found = moments(models, parts)
        owned = process_time()
        made = []
        for k in range(count):
            entries = slice(mixed.starts[k], mixed.starts[k + 1])
            who, share = mixed.senders[entries], mixed.weights[entries]
            made.append(Row(list(models[who]), found.means[who], found.variances[who], share, share))
        merge(made, out, parts, correct=correct)
        return process_time() - owned, owned - began

    print(f"\none merge of {count} models of {layout.size} parameters, 8 neighbours each, CPU seconds\n{STARS}")
    times: dict[str, list[tuple[float, float]]] = {"plain": [], "corrected": []}
    for _ in range(repeats):  # in turns, and in CPU seconds: other work on the machine counts for neither
        times["plain"].append(once(nothing, False))
        times["corrected"].append(once(tensors, True))
    plain = median(taken for taken, _ in times["plain"])
    corrected, owner = (median(column) for column in zip(*times["corrected"], strict=True))
    print(f"plain merge                    {plain:.3f} s")
    print(f"corrected merge                {corrected:.3f} s   (+ {100 * (corrected / plain - 1):.0f} % of plain)")
    print(f"variances, once by the owner   {owner:.3f} s   (+ {100 * owner / plain:.0f} % of plain)")
    print(f"the correction's share of the whole {100 * (corrected + owner - plain) / (corrected + owner):.0f} %")


def figure(path: str, rounds: int = 200) -> None:
    """Draw each layer's weight variance, relative to its start, over the rounds."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(12, 3.6), layout="constrained")
    FigureCanvasAgg(drawn)
    panels = drawn.subplots(1, len(VARIANTS), sharey=True)
    for panel, (name, options) in zip(panels, VARIANTS.items(), strict=True):
        scenario = {**digits([64] * 4, 1, rounds, **options), "evaluate": {"every": rounds}}
        with tempfile.TemporaryDirectory() as folder:
            found = fedsim.run(scenario, out=Path(folder) / "run").rounds
        start = found[found["metric"].str.startswith("variance_before.") & (found["round"] == 1)]
        for number, (metric, first) in enumerate(zip(start["metric"], start["value"], strict=True), start=1):
            curve = found[found["metric"] == metric.replace("before", "merged")].sort_values("round")
            panel.semilogy(curve["round"], curve["value"] / first, label=f"layer {number}")
        panel.set(title=name, xlabel="round")
    panels[0].set_ylabel("weight variance after the merge\n(start = 1)")
    panels[-1].legend(frameon=False)
    drawn.savefig(path, dpi=130)
    print(f"wrote {path}")


def main(arguments: list[str]) -> None:
    """Run what was asked for, or everything."""
    asked, rest = (arguments[0], arguments[1:]) if arguments else ("all", [])
    if asked in ("all", "phenomenon"):
        phenomenon()
    if asked in ("all", "merge"):
        merging()
    if asked in ("all", "scale"):
        scale(int(rest[1]) if rest[:1] == ["--hosts"] else 0)
    if asked in ("all", "figure"):
        figure(rest[0] if rest else "gossip-layers.png")


if __name__ == "__main__":
    main(sys.argv[1:])
