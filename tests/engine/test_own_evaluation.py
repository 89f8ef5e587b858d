"""The global model judged on each client's own examples: hand-made statistics, keyed draws, and no bit of training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import fedsim
from fedsim.api import read
from fedsim.clients.own_evaluation import by_presence, spread
from fedsim.clients.training import Trainer
from fedsim.core import FedsimError, LocalWork, ScenarioError, rng
from fedsim.engine.experiment import Experiment, build
from fedsim.engine.run.run import resume

WORLD: dict[str, Any] = {
    "name": "own",
    "seed": 4,
    "rounds": 4,
    "data": {"dataset": "digits", "clients": 12, "partition": {"kind": "dirichlet", "alpha": 0.5}},
    "model": {"name": "linear"},
    "client": {"local_steps": 3, "batch_size": 8, "lr": 0.2},
    "participation": {"kind": "bernoulli", "probabilities": [round(0.05 * k, 2) for k in range(12, 0, -1)]},
    "strategy": {"name": "fedavg"},
    "engine": {"kind": "serial"},
}
APART = WORLD | {"data": WORLD["data"] | {"test_per_client": 0.25}}
ASKED = {"every": 2, "clients": "all", "personal_epochs": 1}


def made(world: dict[str, Any] = WORLD, **evaluate: Any) -> Experiment:
    return build(read(world | {"evaluate": {"every": 2, "clients": "all"} | evaluate}, {}))


def params_of(experiment: Experiment) -> npt.NDArray[np.float32]:
    size = experiment.trainer.layout.size
    return np.random.default_rng(0).standard_normal(size).astype(np.float32)


def accuracy(params: npt.NDArray[np.float32], experiment: Experiment, data: Any, client: int) -> float:
    """Return a linear model's accuracy on what one client holds in `data`, by hand."""
    weight, bias = experiment.trainer.layout.views(params).values()
    count = int(data.num_examples[client])
    rows = data.rows(np.array([client]), np.arange(count)[None])
    x = rows.x.reshape(count, -1).astype(np.float64)
    return float(((x @ weight.T + bias).argmax(axis=1) == rows.y[0]).mean())


@pytest.mark.parametrize("world", [WORLD, APART], ids=["training examples", "own test part"])
def test_what_is_told_is_what_a_loop_over_clients_finds(world: dict[str, Any]) -> None:
    experiment = made(world)
    assert experiment.judge is not None
    params, data = params_of(experiment), experiment.data
    held: Any = data if world is WORLD else data.own_test  # type: ignore[attr-defined]
    each = np.array([accuracy(params, experiment, held, client) for client in range(12)])
    found = experiment.judge.evaluate(params, 0)
    wanted = {"mean": each.mean(), "sd": each.std(), "worst_decile": np.sort(each)[:2].mean()}  # a tenth of 12, up
    wanted |= {f"q{q}": np.quantile(each, q / 100) for q in (10, 50, 90)}
    for key, value in wanted.items():
        assert found[f"client_accuracy_{key}"] == pytest.approx(value, abs=1e-12), key
    # ids fall as p_i rises: tenths by p_i are [11, 10], [9, 8], [7], [6], ...
    assert found["client_accuracy_p1"] == pytest.approx(each[[11, 10]].mean(), abs=1e-12)
    assert found["client_accuracy_p3"] == pytest.approx(each[7], abs=1e-12)
    assert found["client_accuracy_p10"] == pytest.approx(each[0], abs=1e-12)
    on = "the training examples of each client" if world is WORLD else "the own test part of each client"
    assert dict(experiment.judge.told) == {"metric": "accuracy", "clients": 12, "on": on}
    assert set(found) == set(experiment.judge.names)


def test_a_personal_model_is_the_clients_own_training_judged_alone() -> None:
    experiment = made(APART, personal_epochs=2)
    assert experiment.judge is not None
    params, data, scenario = params_of(experiment), experiment.data, experiment.scenario
    work = LocalWork(local_epochs=2, batch_size=8, lr=0.2)
    trainer = Trainer(scenario.model, work, data, rng.digest(4, "evaluate.personal") >> 65)
    each = []
    for client in range(12):
        (lane,) = trainer.lanes(params, np.array([client]), 3)
        each.append(accuracy(params + lane.deltas[0], experiment, data.own_test, client))  # type: ignore[attr-defined]
    found = experiment.judge.evaluate(params, 3)
    assert found["personal_accuracy_mean"] == pytest.approx(np.mean(each), abs=1e-12)
    assert found["personal_accuracy_sd"] == pytest.approx(np.std(each), abs=1e-12)
    assert found["personal_accuracy_mean"] > found["client_accuracy_mean"]


def test_lower_is_worse_or_better_as_the_metric_says_and_nan_is_nobody() -> None:
    values = np.array([3.0, np.nan, 1.0, 2.0])
    assert spread("client_mse", values, "lower")["client_mse_worst_decile"] == 3.0
    assert spread("client_r2", values, "higher")["client_r2_worst_decile"] == 1.0
    assert spread("client_r2", values, "higher")["client_r2_mean"] == 2.0
    assert spread("client_auroc", np.array([np.nan]), "higher") == {}
    told = by_presence("m", np.arange(11.0), np.full(11, 0.5) + np.arange(11) * 0.01)
    assert [told["m_p1"], told["m_p2"], told["m_p10"]] == [0.5, 2.0, 10.0]


def test_a_few_clients_are_drawn_once_by_key() -> None:
    few = made(clients=5).judge
    assert few is not None
    assert len(few.clients.clients) == 5
    again, other = made(clients=5).judge, made(WORLD | {"seed": 5}, clients=5).judge
    assert again is not None
    assert other is not None
    np.testing.assert_array_equal(few.clients.clients, again.clients.clients)
    assert few.clients.clients.tolist() != other.clients.clients.tolist()
    assert few.probabilities is None  # fewer than ten have no tenths


def test_the_first_metric_of_the_task_gives_the_names(tmp_path: Path) -> None:
    stream = np.random.default_rng(2)
    x = stream.standard_normal((120, 3)).astype(np.float32)
    y = (x @ np.array([1.0, -2.0, 0.5]) + 0.1).astype(np.float32)
    world = WORLD | {"model": {"name": "linear-regression"}, "participation": {"kind": "full"}}
    world["evaluate"] = {"every": 2, "clients": 4}
    np.savez(tmp_path / "numbers.npz", x=x, y=y, client=np.arange(120) % 6)
    partition = {"kind": "natural", "column": "client"}
    world["data"] = {"dataset": "npz", "path": str(tmp_path / "numbers.npz"), "partition": partition}
    final = fedsim.run(world, out=tmp_path / "run").summary["final"]
    assert final["client_mse_worst_decile"] > final["client_mse_q90"] > final["client_mse_mean"] > 0
    assert not any(name.startswith("client_accuracy") for name in final)


def test_it_moves_no_bit_and_a_resumed_run_tells_the_same(tmp_path: Path) -> None:
    plain = fedsim.run(WORLD, out=tmp_path / "plain").summary
    judged = fedsim.run(WORLD, out=tmp_path / "judged", evaluate=ASKED).summary
    for key in ("params_sha256", "scenario_hash", "schedule_hash"):
        assert judged[key] == plain[key], key
    assert plain["final"].items() <= judged["final"].items()
    assert judged["judged"]["on"] == "the training examples of each client"
    half = fedsim.run(WORLD, out=tmp_path / "half", evaluate=ASKED, rounds=2, checkpoint={"every": 2})
    assert resume(half.folder, rounds=4).summary["final"] == judged["final"]
    columns = (tmp_path / "judged" / "rounds.csv").read_text().splitlines()[0].split(",")
    assert {"client_accuracy_mean", "client_accuracy_p10", "personal_accuracy_mean"} <= set(columns)


@pytest.mark.slow
def test_hosts_tell_what_one_process_tells(tmp_path: Path) -> None:
    alone = fedsim.run(APART, out=tmp_path / "alone", evaluate=ASKED).summary
    hosts = fedsim.run(APART, out=tmp_path / "two", evaluate=ASKED, engine={"kind": "processes", "hosts": 2}).summary
    assert hosts["final"] == alone["final"]
    assert hosts["params_sha256"] == alone["params_sha256"]


@pytest.mark.ray
def test_ray_tells_what_one_process_tells(tmp_path: Path) -> None:
    alone = fedsim.run(APART, out=tmp_path / "alone", evaluate=ASKED).summary
    hosts = fedsim.run(APART, out=tmp_path / "ray", evaluate=ASKED, engine={"kind": "ray", "hosts": 2}).summary
    assert hosts["final"] == alone["final"]
    assert hosts["params_sha256"] == alone["params_sha256"]


def test_parts_of_their_own_are_a_share_of_each_client_and_nobody_trains_on_them() -> None:
    whole, apart = made().data, made(APART).data
    own: Any = apart.own_test  # type: ignore[attr-defined]
    np.testing.assert_array_equal(own.num_examples, np.floor(whole.num_examples * 0.25 + 1e-9))
    np.testing.assert_array_equal(own.num_examples + apart.num_examples, whole.num_examples)
    for client in range(12):
        a, b, c = (
            data.order[data.offsets[client] : data.offsets[client + 1]]  # type: ignore[attr-defined]
            for data in (apart, own, whole)
        )
        assert sorted([*a, *b]) == sorted(c)
    test, other = whole.test, apart.test
    assert test is not None
    assert other is not None
    np.testing.assert_array_equal(test.x, other.x)


def test_data_of_ones_own_mark_what_clients_hold_out(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import numpy as np\n"
        "def load(broken=False):\n"
        "    x = np.arange(40, dtype=np.float32).reshape(20, 2)\n"
        "    test = np.arange(20) % 5 == 0\n"
        "    client = np.arange(20) // 5\n"
        "    return {'x': x, 'y': np.arange(20) % 2, 'client': client, 'test': test[1:] if broken else test}\n"
    )
    data = {"dataset": "./mine.py:load", "partition": {"kind": "natural", "column": "client"}}
    world = WORLD | {"data": data, "participation": {"kind": "full"}, "evaluate": {"every": 2, "clients": "all"}}
    (tmp_path / "own.yaml").write_text(json.dumps(world))  # JSON is YAML
    experiment = build(read(tmp_path / "own.yaml", {}))
    own: Any = experiment.data.own_test  # type: ignore[attr-defined]
    assert own.num_examples.tolist() == [1, 1, 1, 1]
    assert experiment.data.num_examples.tolist() == [4, 4, 4, 4]
    assert own.rows(np.array([2]), np.array([[0]])).x.tolist() == [[[20.0, 21.0]]]
    assert experiment.data.test is not None
    assert len(experiment.data.test) == 4  # no x_test: the own parts of all
    with pytest.raises(FedsimError, match=r"test should mark .* shape \(20,\); got bool of shape \(19,\)"):
        build(read(tmp_path / "own.yaml", {"data__broken": True}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"strategy": {"name": "gossip"}}, "gossip has no global model"),
        ({"evaluate": {"clients": 13}}, "there are 12 clients, got 13"),
        ({"evaluate": {"personal_epochs": 1}}, "say who is judged"),
        (
            {"evaluate": {}, "stop": {"metric": "client_accuracy_mean", "target": 0.5}},
            "never measured in this run: give `evaluate.clients`",
        ),
        ({"task": {"metrics": []}}, "first of task.metrics, which is empty"),
        (
            {
                "data": {"dataset": "quadratic", "centers": [[0.0], [1.0]], "curvature": [1.0, 1.0]},
                "model": {"name": "point", "init": [0.0]},
                "participation": {"kind": "full"},
            },
            "quadratic has no examples",
        ),
    ],
    ids=["gossip", "too many", "who", "stop", "no metric", "quadratic"],
)
def test_what_has_no_meaning_is_refused_with_the_reason(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        read(WORLD | {"evaluate": {"clients": "all"}} | changes, {})


def test_an_own_part_that_would_be_empty_is_refused() -> None:
    data = WORLD["data"] | {"test_per_client": 0.001}
    with pytest.raises(ScenarioError, match=r"data.test_per_client: 0.001 of each client's examples"):
        build(read(WORLD | {"data": data}, {}))
