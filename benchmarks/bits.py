"""The bits of some forty small runs: which parameters and which numbers every rule, grid and form of gossip ends with.

    python -m benchmarks.bits --write before.json
    python -m benchmarks.bits --compare before.json [--only fedstale ray]

A change that is meant to move no bit is made between the two. The table holds, for each run, the sha256 of its
parameters and of what rounds.csv says (without what depends on the hour), its columns, its schedule, and the probe's
last numbers. Bits hold for one kind of CPU; compare on the machine that wrote. `--skip ray flower` leaves grids out.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import fedsim
from fedsim.metrics.registry import METRICS

WORLD: dict[str, Any] = {
    "seed": 3,
    "rounds": 6,
    "data": {"dataset": "digits", "clients": 13, "partition": {"kind": "dirichlet", "alpha": 0.3}},
    "model": {"name": "mlp", "hidden": [16]},
    "client": {"local_epochs": 1, "batch_size": 8, "lr": 0.1},
    "participation": {"kind": "bernoulli", "probabilities": {"law": "uniform", "low": 0.2, "high": 0.9}},
    "evaluate": {"every": 3},
    "engine": {"kind": "serial", "nodes": 3},
}
"""Unequal clients in odd numbers, which come with unequal probabilities."""

RULES: dict[str, dict[str, Any]] = {
    "fedavg": {"name": "fedavg"},
    "fedavg-examples": {"name": "fedavg", "weights": "examples"},
    "fedavg-population": {"name": "fedavg", "normalise": "population"},
    "fedavg-ip": {"name": "fedavg", "normalise": "inverse_probability"},
    "fedavg-estimated": {"name": "fedavg", "normalise": "inverse_probability", "probabilities": "estimated"},
    "fedau": {"name": "fedau"},
    "fedau-cutoff": {"name": "fedau", "cutoff": 2},
    "fedau-none": {"name": "fedau", "cutoff": None},
    "fedvarp": {"name": "fedvarp"},
    "fedvarp-skip": {"name": "fedvarp", "on_empty": "skip"},
    "fedvarp-ip": {"name": "fedvarp", "normalise": "inverse_probability", "weights": "examples"},
    "fedstale": {"name": "fedstale", "beta": 0.7},
    "fedstale-examples": {"name": "fedstale", "weights": "examples"},
    "fedstale-estimated": {"name": "fedstale", "probabilities": "estimated"},
    "fedstale-listed": {"name": "fedstale", "probabilities": [0.5] * 13},
    "mifa": {"name": "mifa"},
    "mifa-wait": {"name": "mifa", "init": "wait"},
    "momentum": {"name": "fedstale", "server_optimizer": {"kind": "momentum"}, "server_lr": 0.5},
    "adam": {"name": "fedavg", "server_optimizer": {"kind": "adam"}, "server_lr": 0.05},
}
MEMORIES: dict[str, dict[str, Any]] = {
    "bfloat16": {"strategy": {"name": "fedvarp"}, "memory": {"dtype": "bfloat16", "audit": 2}},
    "disk": {"strategy": {"name": "fedstale"}, "memory": {"tier": "disk", "audit": 2}},
}
WORLDS: dict[str, dict[str, Any]] = {
    "empty-rounds": {
        "strategy": {"name": "fedvarp"},
        "participation": {"kind": "schedule", "cohorts": [[0, 3], [], [1, 2, 5]]},
    },
    "empty-skipped": {
        "strategy": {"name": "fedstale", "on_empty": "skip", "probabilities": "estimated"},
        "participation": {"kind": "schedule", "cohorts": [[0, 3], [], [1, 2, 5]]},
    },
    "faults": {
        "strategy": {"name": "fedstale"},
        "faults": {"crash": 0.2, "message_loss": 0.1, "nan": 0.1},
        "on_client_error": "drop",
    },
    "devices": {"strategy": {"name": "mifa"}, "devices": {"deadline_s": 0.2, "jitter": 0.5}},
    "quadratic": {
        "strategy": {"name": "fedstale"},
        "data": {"dataset": "quadratic", "centers": [[0.0], [2.0], [6.0]], "noise": 0.1},
        "model": {"name": "point", "init": [4.0]},
    },
    "lanes": {"strategy": {"name": "fedau"}, "client": {"local_steps": 3, "batch_size": 8, "lr": 0.1, "lane": 4}},
    "single-file": {"strategy": {"name": "mifa"}, "client": {"local_steps": 3, "batch_size": 8, "lr": 0.1, "lane": 1}},
    "probe-fedstale": {"strategy": {"name": "fedstale", "beta": 0.7}, "probe": {"every": 3, "draws": 20}},
    "probe-fedau": {"strategy": {"name": "fedau"}, "probe": {"every": 3, "draws": 20}},
    "probe-chain": {
        "strategy": {"name": "fedavg"},
        "participation": {"kind": "markov", "probabilities": 0.4, "activation": 0.2},
        "probe": {"every": 2, "draws": 20},
    },
    "stock": {"strategy": {"name": "stock", "flower": "FedAdam"}, "engine": {"kind": "serial", "nodes": 13}},
}
GOSSIP: dict[str, dict[str, Any]] = {
    "gossip": {},
    "gossip-corrected": {"preset": "corrected", "topology": {"kind": "regular", "degree": 4}},
    "gossip-tian2024": {"preset": "tian2024", "edge_drop_fraction": 0.2, "initialisation": "common"},
    "gossip-asynchronous": {
        "preset": "corrected",
        "asynchronous": {"interval": [1, 3], "buffer": 2, "delay": {"kind": "uniform", "low": 0, "high": 3}},
    },
}
DISTRIBUTED = ("fedavg", "fedstale", "mifa", "faults", "probe-fedstale", "gossip-corrected")
ENGINES: dict[str, dict[str, Any]] = {
    "ray": {"kind": "ray", "nodes": 3, "hosts": 2},
    "flower": {"kind": "flower", "nodes": 3},
}


def cases() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every run by name: all of them in one process, then some of them on Ray and under Flower's engine."""
    serial = {name: {"strategy": strategy} for name, strategy in RULES.items()} | MEMORIES | WORLDS
    serial |= {name: {"strategy": {"name": "gossip", **options}} for name, options in GOSSIP.items()}
    yield from serial.items()
    for kind, engine in ENGINES.items():
        for name in DISTRIBUTED:
            if kind == "ray" or not (name.startswith("gossip") or name.startswith("probe")):
                yield f"{name}-{kind}", serial[name] | {"engine": engine}


def bits(scenario: Mapping[str, Any]) -> dict[str, Any]:
    """Run a scenario; return what must not change."""
    with tempfile.TemporaryDirectory() as folder:
        run = fedsim.run({"name": "bits", **WORLD, **scenario}, out=Path(folder) / "run")
        with (Path(folder) / "run" / "rounds.csv").open() as file:
            rows = list(csv.DictReader(file))
    told = [{name: value for name, value in row.items() if METRICS[name].reproducible} for row in rows]
    return {
        "params_sha256": run.summary["params_sha256"],
        "schedule_hash": run.summary["schedule_hash"],
        "rounds_sha256": sha256(json.dumps(told).encode()).hexdigest(),
        "columns": ",".join(rows[0]),
        "probe": {tag: str(found) for tag, found in (run.summary.get("probe") or {}).items()},
    }


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for each thing in which a run ends otherwise; a probe may show more strategies than it did."""
    for name, value in before.items():
        if name == "probe":
            yield from (f"probe.{tag}: {now[name].get(tag)}, was {was}" for tag, was in value.items()
                        if now[name].get(tag) != was)  # fmt: skip
        elif now[name] != value:
            yield f"{name}: {now[name]}, was {value}"


def main() -> int:
    """Write the table, or compare with one; 1 when any run differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    doing = parser.add_mutually_exclusive_group(required=True)
    doing.add_argument("--write", type=Path)
    doing.add_argument("--compare", type=Path)
    parser.add_argument("--only", nargs="*", default=[""], help="runs whose names hold one of these words")
    parser.add_argument("--skip", nargs="*", default=[], help="runs whose names end in one of these words")
    asked = parser.parse_args()
    before = json.loads(asked.compare.read_text()) if asked.compare else {}
    table, wrong = {}, 0
    for name, scenario in cases():
        if not any(word in name for word in asked.only) or name.endswith(tuple(asked.skip)):
            continue
        table[name] = bits(scenario)
        found = list(differences(before[name], table[name])) if asked.compare else []
        wrong += bool(found)
        print(name, table[name]["params_sha256"][:16], *(["DIFFERS", *found] if found else []), sep="  ", flush=True)
    if asked.write:
        asked.write.write_text(json.dumps(table, indent=1) + "\n")
    print(f"{len(table)} runs" + (f", {wrong} differ" if asked.compare else ""))
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
