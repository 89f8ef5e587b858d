"""The same scenario gives the same bits in one process and on one, two or three hosts, under every rule."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import fedsim
from fedsim import strategies
from fedsim.core import Rule

# Unequal clients in odd numbers, some of whom crash, some of whose messages are lost; an empty round now and then.
WORLD: dict[str, Any] = {
    "name": "bits",
    "seed": 3,
    "rounds": 6,
    "data": {"dataset": "digits", "clients": 23, "partition": {"kind": "dirichlet", "alpha": 0.3}},
    "model": {"name": "mlp", "hidden": [16]},
    "client": {"local_epochs": 1, "batch_size": 8, "lr": 0.1, "momentum": 0.5},
    "participation": {"kind": "bernoulli", "probabilities": 0.3},
    "faults": {"crash": 0.2, "message_loss": 0.1, "nan": 0.1},
    "on_client_error": "drop",
    "evaluate": {"every": 3},
}
LANES = {"client": {"local_steps": 3, "batch_size": 8, "lr": 0.1, "lane": 4}}
SINGLE = {"client": {"local_steps": 3, "batch_size": 8, "lr": 0.1, "lane": 1}}
LARGE = {"model": {"name": "mlp", "hidden": [512]}, "rounds": 3}  # too large to travel inside the call
EVERYBODY = {"client": {"local_steps": 1, "batch_size": 8, "lr": 0.1}, "participation": {"kind": "full"}}
CASES: dict[str, dict[str, Any]] = {
    **{name: {"strategy": {"name": name}} for name, kind in strategies.catalogue().items() if issubclass(kind, Rule)},
    "scaffnew": {"strategy": {"name": "scaffnew"}, **EVERYBODY},
    "stale-dyn": {"strategy": {"name": "fedstale", "correction": {"name": "feddyn"}}, "memory": {"dtype": "int8"}},
    "mime": {"strategy": {"name": "fedau", "correction": {"name": "mime-lite"}}, **LANES},
    "admm": {"strategy": {"name": "fedavg", "correction": {"name": "fedadmm"}}, **SINGLE},
    "estimated": {"strategy": {"name": "fedstale", "probabilities": "estimated", "weights": "examples"}},
    "auto-beta": {"strategy": {"name": "fedstale", "beta": "auto"}},
    "coarse-memory": {"strategy": {"name": "fedvarp"}, "memory": {"dtype": "bfloat16"}},
    "lanes": {"strategy": {"name": "mifa"}, **LANES},
    "single-file": {"strategy": {"name": "fedstale"}, **SINGLE},
    "large-model": {"strategy": {"name": "fedstale"}, **LARGE},
    "server-adam": {"strategy": {"name": "fedavg", "server_optimizer": {"kind": "adam"}}},
    "server-lamb": {"strategy": {"name": "fedavg", "server_optimizer": {"kind": "lamb"}, "server_lr": 0.1}},
}
HOSTS = {"fedavg": (1, 2, 3), "fedstale": (1, 2, 3)}
"""How many hosts carry a case out; the others are dealt to three, the least even way."""


def _bits(summary: Any) -> tuple[Any, ...]:
    return (
        summary["params_sha256"],
        summary["schedule_hash"],
        summary["scenario_hash"],
        summary["final"]["test_loss"],
        summary["final"]["test_accuracy"],
    )


@pytest.mark.ray
@pytest.mark.parametrize("case", CASES)
def test_any_number_of_hosts_gives_the_bits_of_one_process(case: str, cluster: str, tmp_path: Path) -> None:
    scenario = WORLD | CASES[case]
    serial = fedsim.run(scenario | {"engine": {"kind": "serial"}}, out=tmp_path / "serial")
    rows = (tmp_path / "serial" / "rounds.csv").read_text().splitlines()
    assert len(rows) == 1 + scenario["rounds"]
    for hosts in HOSTS.get(case, (3,)):
        engine = {"kind": "ray", "hosts": hosts, "address": cluster}
        run = fedsim.run(scenario | {"engine": engine}, out=tmp_path / f"ray-{hosts}")
        assert len(run.summary["engine"]["hosts"]) == hosts
        assert _bits(run.summary) == _bits(serial.summary)


def test_a_second_run_and_another_rhythm_of_evaluation_change_no_bit(tmp_path: Path) -> None:
    scenario = WORLD | {"strategy": {"name": "fedstale"}}
    first, second, rarely = (
        fedsim.run(scenario, out=tmp_path / f"{number}", evaluate__every=every)
        for number, every in enumerate((3, 3, 100))
    )
    assert _bits(first.summary) == _bits(second.summary) == _bits(rarely.summary)
    assert rarely.rounds.query("metric == 'test_loss'")["round"].tolist() == [0, 6]


def test_another_seed_is_another_run(tmp_path: Path) -> None:
    one, two = (fedsim.run(WORLD, out=tmp_path / str(seed), seed=seed) for seed in (1, 2))
    for key in ("params_sha256", "schedule_hash", "scenario_hash"):
        assert one.summary[key] != two.summary[key]


def test_more_rounds_change_neither_the_scenario_nor_what_came_before(tmp_path: Path) -> None:
    short, long = (fedsim.run(WORLD, out=tmp_path / str(rounds), rounds=rounds) for rounds in (3, 6))
    assert short.summary["scenario_hash"] == long.summary["scenario_hash"]
    losses = [run.rounds.query("metric == 'train_loss'").set_index("round")["value"] for run in (short, long)]
    assert losses[0].to_dict() == losses[1].loc[:3].to_dict()
