"""Whole runs of gossip, in one process: exact numbers, absences, failures, clocks, and going on after a stop."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import fedsim
from fedsim.api import read
from fedsim.core import ClientError, ScenarioError
from fedsim.engine.experiment import build
from fedsim.engine.run.folder import params_sha256
from fedsim.engine.run.run import execute, resume

pytestmark = pytest.mark.slow

POINTS: dict[str, Any] = {
    "name": "points",
    "seed": 2,
    "rounds": 1,
    "data": {"dataset": "quadratic", "centers": [[0.0] * 4] * 2},
    "model": {"name": "point", "init": [[1, 2, 3, 4], [4, 1, 2, 3]]},
    "client": {"lr": 0},
    "strategy": {"name": "gossip", "topology": {"kind": "complete"}, "mixing": "uniform", "tensors": "all"},
}
DIGITS: dict[str, Any] = {
    "name": "digits",
    "seed": 4,
    "rounds": 6,
    "data": {"dataset": "digits", "clients": 12, "partition": {"kind": "dirichlet", "alpha": 0.5}},
    "model": {"name": "mlp", "hidden": [16, 16]},
    "client": {"local_steps": 2, "batch_size": 8, "lr": 0.2, "momentum": 0.5},
    "participation": {"kind": "bernoulli", "probabilities": 0.7},
    "strategy": {"name": "gossip", "topology": {"kind": "regular", "degree": 4}, "correction": "variance"},
    "evaluate": {"every": 3},
}
TICKS = {"interval": [1, 3], "buffer": 2, "delay": {"kind": "uniform", "low": 0, "high": 3}, "loss": 0.1}


def gossip(scenario: Mapping[str, Any], **options: Any) -> dict[str, Any]:
    return {**scenario, "strategy": {**scenario["strategy"], **options}}


def nodes(run: fedsim.Run) -> npt.NDArray[np.float32]:
    with np.load(run.folder / "params.npz") as arrays:
        return np.array(arrays["nodes"])


def series(run: fedsim.Run, metric: str) -> list[float]:
    return list(run.rounds.query(f"metric == '{metric}'").sort_values("round")["value"])


def test_a_hand_check_runs_from_a_scenario(tmp_path: Path) -> None:
    plain = fedsim.run(gossip(POINTS, correction="none"), out=tmp_path / "plain")
    assert nodes(plain).tolist() == [[2.5, 1.5, 2.5, 3.5]] * 2
    corrected = fedsim.run(gossip(POINTS, correction="variance"), out=tmp_path / "corrected")
    np.testing.assert_allclose(nodes(corrected), [[2.5, 0.9188611699, 2.5, 4.0811388301]] * 2, rtol=1e-7)


def test_params_hold_all_models_and_their_mean_by_name(tmp_path: Path) -> None:
    run = fedsim.run(gossip(POINTS, self_weight=1.0), out=tmp_path / "run")
    with np.load(run.folder / "params.npz") as arrays:
        assert set(arrays) == {"nodes", "point"}
        assert arrays["nodes"].tolist() == POINTS["model"]["init"]
        assert arrays["point"].tolist() == [2.5, 1.5, 2.5, 3.5]
        assert run.summary["params_sha256"] == params_sha256(arrays["nodes"])


def test_weights_that_are_no_matrix_are_left_alone_by_default(tmp_path: Path) -> None:
    scenario = {**POINTS, "strategy": {"name": "gossip", "topology": {"kind": "complete"}, "correction": "variance"}}
    run = fedsim.run(scenario, out=tmp_path / "run")
    assert nodes(run).tolist() == [[2.5, 1.5, 2.5, 3.5]] * 2


def test_an_absent_client_neither_trains_nor_merges(tmp_path: Path) -> None:
    scenario = {
        **POINTS,
        "data": {"dataset": "quadratic", "centers": [[0.0], [0.0], [0.0]]},
        "model": {"name": "point", "init": [[3.0], [6.0], [9.0]]},
        "client": {"lr": 0.5},
        "participation": {"kind": "schedule", "cohorts": [[0, 2], []]},
        "rounds": 2,
    }
    run = fedsim.run(scenario, out=tmp_path / "run")
    assert nodes(run).tolist() == [[3.0], [6.0], [3.0]]  # (1.5 + 4.5) / 2, then nobody
    assert series(run, "cohort_size") == [2, 0]
    assert series(run, "messages_attempted") == [2, 0]


def test_the_mean_of_the_models_descends_like_the_gradient_of_the_mean(tmp_path: Path) -> None:
    # doubly stochastic mixing keeps the mean, and with one curvature the mean's gradient is the mean gradient
    centers = [[float(k), 1.0] for k in range(6)]
    scenario = {
        **POINTS,
        "rounds": 5,
        "data": {"dataset": "quadratic", "centers": centers},
        "model": {"name": "point", "init": [[float(k * k), 0.0] for k in range(6)]},
        "client": {"lr": 0.25},
        "strategy": {"name": "gossip", "topology": {"kind": "ring"}},
    }
    run = fedsim.run(scenario, out=tmp_path / "run")
    start, goal = np.mean([[k * k, 0.0] for k in range(6)], axis=0), np.mean(centers, axis=0)
    np.testing.assert_allclose(nodes(run).mean(axis=0), goal + 0.75**5 * (start - goal), rtol=1e-5)


def test_edges_that_are_down_carry_nothing(tmp_path: Path) -> None:
    run = fedsim.run(gossip(POINTS, edge_drop_fraction=1.0), out=tmp_path / "run")
    assert nodes(run).tolist() == POINTS["model"]["init"]
    assert [series(run, f"messages_{what}") for what in ("attempted", "dropped", "delivered")] == [[2], [2], [0]]
    assert series(run, "bytes_exchanged") == [0]


def test_models_start_independent_or_from_the_same_draw(tmp_path: Path) -> None:
    still = {**DIGITS, "client": {"lr": 0}, "rounds": 1}
    apart = fedsim.run(gossip(still, self_weight=1.0), out=tmp_path / "independent")
    experiment = build(read(still, {}))
    assert nodes(apart)[3].tobytes() == experiment.trainer.initial(3).tobytes()
    assert len({row.tobytes() for row in nodes(apart)}) == 12
    same = fedsim.run(gossip(still, initialisation="common"), out=tmp_path / "common")
    assert {row.tobytes() for row in nodes(same)} == {experiment.trainer.initial().tobytes()}
    assert series(same, "consensus_distance") == [0.0, 0.0]


def test_evaluations_say_what_the_models_are(tmp_path: Path) -> None:
    run = fedsim.run(DIGITS, out=tmp_path / "run")
    experiment, models = build(read(DIGITS, {})), nodes(run)
    judged = [experiment.evaluator.evaluate(model) for model in models]
    accuracies = [found["accuracy"] for found in judged]
    mean = models.astype(np.float64).mean(axis=0)
    final = run.final
    assert final["node_accuracy_mean"] == pytest.approx(np.mean(accuracies))
    assert final["node_accuracy_std"] == pytest.approx(np.std(accuracies))
    assert (final["node_accuracy_min"], final["node_accuracy_max"]) == (min(accuracies), max(accuracies))
    assert final["node_accuracy_q10"] == pytest.approx(np.quantile(accuracies, 0.1))
    assert final["node_loss_mean"] == pytest.approx(np.mean([found["loss"] for found in judged]))
    assert final["test_accuracy"] == experiment.evaluator.evaluate(mean.astype(np.float32))["accuracy"]
    assert final["consensus_distance"] == pytest.approx(((models - mean) ** 2).sum(axis=1).mean(), rel=1e-9)
    assert 0 < final["spectral_gap"] < 1


def test_variances_are_told_per_layer_and_biases_have_none(tmp_path: Path) -> None:
    scenario = {**DIGITS, "client": {"lr": 0}, "participation": {"kind": "full"}, "rounds": 1}
    run = fedsim.run(gossip(scenario, correction="none"), out=tmp_path / "run")
    experiment, told = build(read(scenario, {})), run.rounds["metric"]
    layout = experiment.trainer.layout
    tagged = {name.split(".", 1)[1] for name in told if name.startswith("variance_merged.")}
    assert tagged == {name for name, shape in zip(layout.names, layout.shapes, strict=True) if len(shape) == 2}
    first = layout.names[0]
    starts = np.stack([layout.views(experiment.trainer.initial(k))[first].astype(np.float64) for k in range(12)])
    ends = layout.views(nodes(run))[first].astype(np.float64)
    before = np.mean([start.var() for start in starts])
    assert series(run, f"variance_before.{first}") == [pytest.approx(before)]
    assert series(run, f"variance_trained.{first}") == [pytest.approx(before)]
    assert series(run, f"variance_merged.{first}") == [pytest.approx(np.mean([end.var() for end in ends]), rel=1e-6)]
    (factor,), (largest,) = (series(run, f"correction_factor{kind}.{first}") for kind in ("", "_max"))
    assert factor == pytest.approx(np.sqrt(5), rel=0.1)
    assert largest >= factor


def test_only_the_sampled_nodes_are_evaluated(tmp_path: Path) -> None:
    one = fedsim.run(gossip(DIGITS, evaluate_nodes=1), out=tmp_path / "one")
    everyone = fedsim.run(DIGITS, out=tmp_path / "all")
    assert one.final["node_accuracy_std"] == 0
    assert one.summary["params_sha256"] == everyone.summary["params_sha256"]


@pytest.mark.parametrize("ticks", [None, TICKS], ids=["rounds", "ticks"])
def test_messages_balance_over_a_run(ticks: Any, tmp_path: Path) -> None:
    scenario = gossip({**DIGITS, "rounds": 12}, edge_drop_fraction=0.2, asynchronous=ticks)
    run = fedsim.run(scenario, out=tmp_path / "run")
    attempted, dropped, delivered, flying = (
        np.array(series(run, f"messages_{what}")) for what in ("attempted", "dropped", "delivered", "in_flight")
    )
    assert (np.concatenate([[0], flying[:-1]]) + attempted == dropped + delivered + flying).all()
    assert dropped.sum() > 0
    assert (flying.sum() > 0) == (ticks is not None)


def test_ticks_without_waiting_are_synchronous_rounds(tmp_path: Path) -> None:
    scenario = gossip({**DIGITS, "participation": {"kind": "full"}}, correction="variance")
    rounds = fedsim.run(scenario, out=tmp_path / "rounds")
    ticks = fedsim.run(gossip(scenario, asynchronous={"interval": [1, 1], "buffer": 4}), out=tmp_path / "ticks")
    assert ticks.summary["params_sha256"] == rounds.summary["params_sha256"]


def test_late_models_are_merged_as_they_were_sent(tmp_path: Path) -> None:
    # two clients on a path halve towards 0 each tick; a model sent in tick 1 arrives in tick 3
    scenario = {
        **POINTS,
        "rounds": 3,
        "data": {"dataset": "quadratic", "centers": [[0.0], [0.0]]},
        "model": {"name": "point", "init": [[16.0], [32.0]]},
        "client": {"lr": 0.5},
        "strategy": {
            "name": "gossip",
            "topology": {"kind": "path"},
            "asynchronous": {"delay": {"kind": "constant", "ticks": 2}},
        },
    }
    run = fedsim.run(scenario, out=tmp_path / "run")
    assert nodes(run).tolist() == [[(2 + 16) / 2], [(4 + 8) / 2]]
    assert series(run, "messages_in_flight") == [2, 4, 4]
    assert series(run, "messages_delivered") == [0, 0, 2]


def test_clients_train_within_their_interval(tmp_path: Path) -> None:
    scenario = {**DIGITS, "participation": {"kind": "full"}, "rounds": 40, "evaluate": {"every": 100}}
    run = fedsim.run(gossip(scenario, asynchronous={"interval": [2, 4]}), out=tmp_path / "run")
    assert np.mean(series(run, "cohort_size")) == pytest.approx(12 / 3, rel=0.15)
    assert series(run, "cohort_size")[0] == 0


@pytest.mark.parametrize("option", ["edge_drop_fraction", "self_weight"])
def test_every_numeric_option_moves_the_result(option: str, tmp_path: Path) -> None:
    plain = fedsim.run(DIGITS, out=tmp_path / "plain")
    moved = fedsim.run(gossip(DIGITS, **{option: 0.3}), out=tmp_path / "moved")
    assert plain.summary["params_sha256"] != moved.summary["params_sha256"]


def test_momentum_stays_with_the_client_from_round_to_round(tmp_path: Path) -> None:
    # one client, alone: w = 4; v = 4, w = 0; v = 0.5 * 4 + 0, w = -2
    scenario = {
        **POINTS,
        "rounds": 2,
        "data": {"dataset": "quadratic", "centers": [[0.0]]},
        "model": {"name": "point", "init": [[4.0]]},
        "client": {"lr": 1.0, "momentum": 0.5},
    }
    run = fedsim.run(scenario, out=tmp_path / "run")
    assert nodes(run).tolist() == [[-2.0]]


def test_the_number_of_nodes_moves_no_merge(tmp_path: Path) -> None:
    still = {**DIGITS, "client": {"lr": 0}}
    hashes = {
        fedsim.run({**still, "engine": {"kind": "serial", "nodes": count}}, out=tmp_path / str(count)).summary[
            "params_sha256"
        ]
        for count in (1, 4, 12)
    }
    assert len(hashes) == 1


def test_who_crashes_keeps_the_model_and_is_left_out(tmp_path: Path) -> None:
    scenario = {**DIGITS, "faults": {"crash": 0.3, "nan": 0.1}, "on_client_error": "drop", "rounds": 4}
    run = fedsim.run(scenario, out=tmp_path / "run")
    assert np.isfinite(nodes(run)).all()
    assert sum(series(run, "num_crashed")) > 0
    with pytest.raises(ClientError, match="injected crash"):
        fedsim.run({**scenario, "on_client_error": "fail", "faults": {"crash": 1.0}}, out=tmp_path / "failed")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the limit may strike a destructor
def test_who_takes_too_long_is_left_out(tmp_path: Path) -> None:
    scenario = {**DIGITS, "rounds": 1, "on_client_error": "drop"}
    scenario["client"] = {**DIGITS["client"], "local_steps": 20_000, "timeout_s": 0.02}
    run = fedsim.run(gossip(scenario, self_weight=1.0), out=tmp_path / "run")
    still = fedsim.run(gossip({**scenario, "client": {"lr": 0}}, self_weight=1.0), out=tmp_path / "still")
    assert series(run, "cohort_size") == [0]
    assert run.summary["params_sha256"] == still.summary["params_sha256"]


class StopError(BaseException):
    """Ends a run in its middle, as a killed process would."""


@pytest.mark.parametrize("ticks", [None, TICKS], ids=["rounds", "ticks"])
@pytest.mark.parametrize("saved", [2, None], ids=["saved", "never saved"])
def test_a_run_that_goes_on_has_the_bits_of_one_that_never_stopped(ticks: Any, saved: Any, tmp_path: Path) -> None:
    scenario = {**DIGITS, "rounds": 9, "participation": {"kind": "full"}}
    base = gossip(scenario, asynchronous=ticks, edge_drop_fraction=0.1)
    if saved:
        base["checkpoint"] = {"every": saved}
    whole = fedsim.run(base, out=tmp_path / "whole")

    def stop(phase: str, round: int) -> None:
        if round == 6:
            raise StopError

    with pytest.raises(StopError):
        execute(read(base, {}), out=tmp_path / "part", at=stop)
    assert (tmp_path / "part" / "checkpoints" / "round-00000004").exists() == (saved is not None)
    done = resume(tmp_path / "part")
    assert done.summary["params_sha256"] == whole.summary["params_sha256"]
    assert done.final == whole.final
    for metric in ("messages_in_flight", "spectral_gap", "bytes_up", "correction_factor.layers.0.weight"):
        assert series(done, metric) == series(whole, metric)


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"topology": {"kind": "regular", "degree": 13}}, "strategy.topology.degree"),
        ({"topology": {"kind": "ringg"}}, "strategy.topology.kind"),
        ({"topology": {"kind": "edges", "pairs": [[0, 1]]}}, "strategy.topology"),
        ({"asynchronous": {"interval": [3, 1]}}, "strategy.asynchronous.interval"),
        ({"asynchronous": {"delay": {"kind": "uniform", "low": 3, "high": 1}}}, "strategy.asynchronous.delay.high"),
        ({"self_weight": 1.5}, "strategy.self_weight"),
        ({"server_lr": 0.5}, "strategy.server_lr"),
    ],
)
def test_wrong_options_are_refused_by_name(change: dict[str, Any], key: str) -> None:
    with pytest.raises(ScenarioError) as error:
        read(gossip(DIGITS, **change), {})
    assert key in {problem.key for problem in error.value.problems}


def test_what_needs_a_server_model_is_refused() -> None:
    for section, key in (({"engine": {"kind": "flower"}}, "engine.kind"), ({"probe": {"every": 1}}, "probe")):
        with pytest.raises(ScenarioError) as error:
            read({**DIGITS, **section}, {})
        assert [problem.key for problem in error.value.problems] == [key]


def test_a_resolved_scenario_reads_back_as_itself(tmp_path: Path) -> None:
    run = fedsim.run(gossip({**DIGITS, "rounds": 1}, preset="tian2024"), out=tmp_path / "one")
    again = fedsim.run(run.folder / "scenario.yaml", out=tmp_path / "two")
    assert again.summary["scenario_hash"] == run.summary["scenario_hash"]
    assert json.loads((again.folder / "summary.json").read_text())["params_sha256"] == run.summary["params_sha256"]
