"""Clients that raise, hang, or return nonsense: named and fatal, or left out as if they had never been invited."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fedsim
from fedsim.api import read
from fedsim.cli import main
from fedsim.clients.kernels import LaneResult
from fedsim.clients.training import Trainer
from fedsim.core import ClientError, FedsimError, NonFiniteError
from fedsim.engine.experiment import build
from fedsim.engine.run.run import Run
from fedsim.metrics.summary import read_summary
from fedsim.participation.faults import FAULTS
from fedsim.store.database import Store
from tests.faults.scenes import scene

pytestmark = pytest.mark.faults

COHORTS = [[0, 3, 4, 8, 11], [1, 2, 4, 9, 17, 19], [4, 5, 7, 16], [0, 4, 6, 12, 13]]
BAD, ROUND = 4, 3


def world(strategy: str, cohorts: list[list[int]]) -> dict[str, Any]:
    named = {"name": "fedstale", "probabilities": [0.4] * 20} if strategy == "fedstale" else {"name": strategy}
    participation = {"kind": "schedule", "cohorts": cohorts}
    return scene("fedavg") | {"strategy": named, "participation": participation, "rounds": 8, "client": WORK}


BOOM = """
name: boom
rounds: 12
data: {dataset: quadratic, centers: [[0.0], [2.0]]}
model: {name: point, init: [4.0]}
client: {local_steps: 1, lr: 0.5}
strategy: {name: fedavg, server_lr: 1.0e+38}
checkpoint: {every: 2}
"""
WORK = {"local_steps": 2, "batch_size": 8, "lr": 0.1, "lane": 3}


def masked() -> list[list[int]]:
    """Return eight rounds of cohorts in which the bad client is absent from the bad round."""
    return [[c for c in COHORTS[r % 4] if (r + 1, c) != (ROUND, BAD)] for r in range(8)]


def raises(result: LaneResult) -> LaneResult:
    raise ValueError("the client's disk is empty")


def sleeps(result: LaneResult) -> LaneResult:
    time.sleep(600.0)
    return result


def returns(value: float) -> Callable[[LaneResult], LaneResult]:
    def poisoned(result: LaneResult) -> LaneResult:
        result.deltas[result.clients == BAD, 7] = value
        return result

    return poisoned


def returns_another_shape(result: LaneResult) -> LaneResult:
    return replace(result, deltas=np.concatenate([result.deltas, result.deltas], axis=1))


MISDEEDS: dict[str, tuple[Callable[[LaneResult], LaneResult], str, type[FedsimError], str]] = {
    "raises": (raises, "raised", ClientError, "the client's disk is empty"),
    "hangs": (sleeps, "timeout", ClientError, "took longer than 0.3 s (client.timeout_s)"),
    "returns NaN": (returns(np.nan), "non-finite", NonFiniteError, "1 of 650 entries not finite"),
    "returns infinity": (returns(np.inf), "non-finite", NonFiniteError, "1 of 650 entries not finite"),
}


@pytest.fixture
def misbehave(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[LaneResult], LaneResult]], None]:
    """Have the bad client do something in the bad round."""

    def install(deed: Callable[[LaneResult], LaneResult]) -> None:
        lanes = Trainer.lanes

        def spoiled(self: Trainer, params: Any, clients: Any, round: int, *rest: Any) -> Iterator[LaneResult]:
            for result in lanes(self, params, clients, round, *rest):
                yield deed(result) if round == ROUND and BAD in result.clients else result

        monkeypatch.setattr(Trainer, "lanes", spoiled)

    return install


@pytest.mark.parametrize("strategy", ["fedavg", "fedstale", "gossip"])
@pytest.mark.parametrize("deed", MISDEEDS)
def test_a_dropped_client_leaves_the_bits_of_a_run_in_which_it_was_absent(
    deed: str, strategy: str, misbehave: Callable[[Any], None], tmp_path: Path
) -> None:
    do, kind, _, text = MISDEEDS[deed]
    # a delta is judged when its whole lane has trained, and the last bits of a client depend on its company there
    client = WORK | ({"lane": 1} if kind == "non-finite" else {})
    absent = fedsim.run(world(strategy, masked()) | {"client": client}, out=tmp_path / "absent")
    misbehave(do)
    client |= {"timeout_s": 0.3} if deed == "hangs" else {}
    run = fedsim.run(world(strategy, COHORTS) | {"client": client, "on_client_error": "drop"}, out=tmp_path / "run")
    assert run.summary["params_sha256"] == absent.summary["params_sha256"]
    assert run.final == absent.final
    crashed = run.rounds.query("metric == 'num_crashed'").set_index("round")["value"]
    assert crashed[crashed > 0].to_dict() == {ROUND: 1.0}
    assert not run.rounds["value"].isna().any()
    with opened(run) as store:
        (told,) = [notice for notice in store.notices(run.id) if notice["client"] is not None]
    assert (told["round"], told["client"], told["kind"]) == (ROUND, BAD, kind)
    assert text in told["text"]


@pytest.mark.parametrize("deed", MISDEEDS)
def test_by_default_a_failed_client_stops_the_run_with_its_name(
    deed: str, misbehave: Callable[[Any], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    do, _, error, text = MISDEEDS[deed]
    misbehave(do)
    client = WORK | ({"timeout_s": 0.3} if deed == "hangs" else {})
    with pytest.raises(error) as stopped:
        fedsim.run(world("fedstale", COHORTS) | {"client": client}, out=tmp_path / "run")
    assert str(stopped.value).startswith(f"round {ROUND}, client {BAD}: ")
    assert text in str(stopped.value)
    assert "`on_client_error: drop`" in str(stopped.value)
    assert stopped.value.exit_code == (6 if error is NonFiniteError else 3)
    if deed == "raises":
        assert f"{__file__}:" in str(stopped.value)


def test_a_delta_of_another_shape_is_nobodys_memory(misbehave: Callable[[Any], None], tmp_path: Path) -> None:
    misbehave(returns_another_shape)
    run = fedsim.run(world("fedstale", COHORTS) | {"on_client_error": "drop"}, out=tmp_path / "run")
    with opened(run) as store:
        told = [notice for notice in store.notices(run.id) if notice["client"] is not None]
    assert {notice["kind"] for notice in told} == {"shape"}
    assert BAD in {notice["client"] for notice in told}
    assert "delta of shape (1300,), expected (650,)" in told[0]["text"]


def test_a_thousand_rounds_with_crashes_losses_and_nans_add_up(tmp_path: Path) -> None:
    faults = {"crash": 0.05, "message_loss": 0.05, "nan": 0.05}
    scenario = scene(
        "fedstale", rounds=1000, faults=faults, on_client_error="drop", checkpoint=None, evaluate={"every": 1000}
    )
    run = fedsim.run(scenario, out=tmp_path / "run")
    assert (run.status, run.summary["rounds"]) == ("completed", 1000)
    table = run.rounds.pivot_table(index="round", columns="metric", values="value", aggfunc=list)
    assert table.drop(index=0).notna()["cohort_size"].all()
    wide = run.rounds.pivot(index="round", columns="metric", values="value").drop(index=0)
    experiment = build(read(scenario, {}))
    for round, row in wide.iterrows():
        invited = experiment.process.cohort(int(round))
        struck = experiment.scenario.faults.events(experiment.scenario.seed, int(round), invited)
        crash, loss, nan = (int(struck[kind].sum()) for kind in FAULTS)
        assert row["num_invited"] == len(invited)
        assert row["num_crashed"] == crash + nan
        assert row["num_lost"] == loss
        assert row["cohort_size"] == len(invited) - crash - loss - nan
    failed = wide["num_crashed"].sum() + wide["num_lost"].sum()
    assert failed == pytest.approx(0.14 * wide["num_invited"].sum(), rel=0.1)
    assert np.isfinite(wide["params_norm"]).all()
    with opened(run) as store:
        assert sum(notice["client"] is not None for notice in store.notices(run.id)) == failed


def test_a_diverging_model_ends_the_run_with_6_and_every_row_before_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "s.yaml").write_text(BOOM)
    folder = tmp_path / "run"
    assert main(["run", str(tmp_path / "s.yaml"), "--out", str(folder), "--quiet"]) == 6
    summary = read_summary(folder)
    assert (summary["status"], summary["rounds"]) == ("diverged", 2)
    assert capsys.readouterr().err == "round 2: the global model is no longer finite\n"
    assert len((folder / "rounds.csv").read_text().splitlines()) == 1 + 2


def test_a_diverging_model_may_be_watched_to_the_end(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(BOOM)
    run = fedsim.run(tmp_path / "s.yaml", out=tmp_path / "run", on_divergence="continue", on_client_error="drop")
    assert (run.status, run.summary["rounds"]) == ("completed", 12)


def opened(run: Run) -> Store:
    return Store(run.store, create=False)
