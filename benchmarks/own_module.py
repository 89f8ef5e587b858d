"""The shipped layers against the same ones by reference: `python -m benchmarks.own_module [--rounds 150] [--pairs 5]`.

W1 and W2 of `benchmarks/results.md`, once with the shipped model and once with a module in a file beside the scenario,
the runs taking turns in one process. Both start from the module's own values, so that they must end at the same bits.
Printed is how many rounds a second each makes, and the ratio.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import fedsim
from benchmarks.workloads import WORKLOADS

NET = """
from torch import nn


class Net(nn.Sequential):
    def __init__(self, input_shape, num_classes, hidden: tuple[int, ...] = ()):
        widths = [input_shape[0], *hidden, num_classes]
        layers = [nn.Flatten(), nn.Linear(*widths[:2])]
        for inside, outside in zip(widths[1:-1], widths[2:]):
            layers += [nn.ReLU(), nn.Linear(inside, outside)]
        super().__init__(*layers)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=150)
    parser.add_argument("--pairs", type=int, default=5)
    chosen = parser.parse_args()
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "net.py").write_text(NET)
        for word, hidden in (("W1", []), ("W2", [200])):
            workload = WORKLOADS[word]
            scenario = workload.scenario(workload.write(folder / f"{word}.npz"), chosen.rounds, {"kind": "serial"})
            shipped = {"name": "mlp", "hidden": hidden, "init": "module"}
            models = {"shipped": shipped, "reference": {"name": f"{folder / 'net.py'}:Net", "hidden": hidden}}
            rates: dict[str, list[float]] = {kind: [] for kind in models}
            hashes = set()
            for pair in range(chosen.pairs):
                for kind, model in list(models.items())[:: 1 if pair % 2 else -1]:
                    run = fedsim.run({**scenario, "model": model}, out=folder / "run", overwrite=True)
                    rows = run.rounds[(run.rounds.metric == "round_s") & (run.rounds["round"] > 5)]
                    rates[kind].append(1.0 / float(rows.value.median()))
                    hashes.add(run.summary["params_sha256"])
            assert len(hashes) == 1, f"{word}: not the same bits"
            medians = {kind: median(found) for kind, found in rates.items()}
            told = "  ".join(f"{kind} {rate:8.1f} rounds/s" for kind, rate in medians.items())
            print(f"{word}  {told}  ratio {medians['reference'] / medians['shipped']:.3f}  same bits")


if __name__ == "__main__":
    main()
