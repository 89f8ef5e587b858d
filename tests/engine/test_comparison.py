"""Comparisons: the same world for every strategy, numbers that can be checked by hand, nothing done twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import fedsim
from fedsim.analysis.comparison import ComparedRun, Comparison, Target
from fedsim.analysis.comparison_tables import tables
from fedsim.analysis.paired import Reached
from fedsim.core import ScenarioError
from fedsim.data.quadratic import Quadratic
from fedsim.engine.ray import session as ray_session
from fedsim.strategies.fedau import FedAU
from fedsim.strategies.fedstale import FedStale
from fedsim.study.compare import compare
from fedsim.study.strategies import label, lineup, parse, read_with_strategies

pytestmark = pytest.mark.slow

# the toy that is worked out by hand: fedavg ends at 63/16, mifa at 275/108, the optimum is 8/3
TOY: dict[str, Any] = {
    "name": "toy",
    "rounds": 5,
    "data": {"dataset": "quadratic", "centers": [[0.0], [2.0], [6.0]]},
    "model": {"name": "point", "init": [4.0]},
    "client": {"local_steps": 1, "lr": 0.5},
    "participation": {"kind": "schedule", "cohorts": [[0, 1], [0, 2], [], [0, 1], [2]]},
    "evaluate": {"every": 1},
}
NOISY: dict[str, Any] = {
    **TOY,
    "name": "noisy",
    "seed": 3,
    "rounds": 12,
    "data": {"dataset": "quadratic", "centers": [[0.0], [2.0], [6.0]], "noise": 1.0},
    "participation": {"kind": "bernoulli", "probabilities": 0.5},
}


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    return fedsim.compare(TOY, ["fedavg", "mifa"], seeds=2, out=tmp_path_factory.mktemp("toy") / "all")


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    strategies = "fedavg,fedstale:beta=0.3,fedvarp,mifa"
    return fedsim.compare(NOISY, strategies, seeds=3, baseline="mifa", out=tmp_path_factory.mktemp("noisy") / "all")


def test_means_and_paired_differences_are_those_of_paper_and_pencil(toy: Comparison) -> None:
    fedavg, mifa = abs(63 / 16 - 8 / 3), abs(275 / 108 - 8 / 3)
    assert toy.table.loc["fedavg", "distance"] == pytest.approx(fedavg, abs=1e-6)
    assert toy.table.loc["mifa", "distance"] == pytest.approx(mifa, abs=1e-6)
    assert toy.table.loc["mifa", "distance_difference"] == pytest.approx(mifa - fedavg, abs=1e-6)
    assert toy.baseline == "fedavg"
    assert pd.isna(toy.table.loc["fedavg", "distance_difference"])


def test_rounds_to_target_are_those_of_paper_and_pencil(toy: Comparison) -> None:
    # distances of mifa's 3, 8/3, 7/3, 43/18, 275/108 from 8/3: within 0.3 first in round 2; of fedavg's 5/2, ...: in 1
    found = Comparison(toy.name, toy.folder, toy.strategies, "fedavg", toy.seeds, toy.entries, Target("distance", 0.3))
    assert [one.round for one in found.reached["fedavg"]] == [1, 1]
    assert [one.round for one in found.reached["mifa"]] == [2, 2]
    assert found.table.loc["mifa", "rounds_to_target_difference"] == 1.0
    never = Comparison(toy.name, toy.folder, toy.strategies, "fedavg", toy.seeds, toy.entries, Target("distance", -1.0))
    assert bool(never.table.loc["mifa", "rounds_to_target_censored"])
    assert never.table.loc["mifa", "rounds_to_target"] == 5
    assert pd.isna(never.table.loc["mifa", "rounds_to_target_difference"])
    assert pd.isna(never.table.loc["mifa", "rounds_to_target_p_logrank"])


def test_who_never_reached_the_target_is_not_level_with_who_did_in_the_last_round(toy: Comparison) -> None:
    late, there = [Reached(5, censored=True)] * 2, [Reached(5)] * 2
    found = Comparison(toy.name, toy.folder, toy.strategies, "fedavg", toy.seeds, toy.entries, Target("distance", 0.3))
    vars(found)["reached"] = {"fedavg": there, "mifa": late}
    assert pd.isna(found.table.loc["mifa", "rounds_to_target_difference"])
    table = tables(found)[-1]
    assert [row[1:] for row in table.rows] == [("5", "2/2", "baseline", ""), (">5", "0/2", "–", "0.083")]
    assert table.header[-1] == "p (log-rank)"


def test_final_values_may_be_means_of_the_last_evaluations(toy: Comparison) -> None:
    found = Comparison(toy.name, toy.folder, toy.strategies, "fedavg", toy.seeds, toy.entries, last=2)
    expected = (abs(43 / 18 - 8 / 3) + abs(275 / 108 - 8 / 3)) / 2
    assert found.table.loc["mifa", "distance"] == pytest.approx(expected, abs=1e-6)


def test_without_a_target_one_is_chosen_and_said_to_be(toy: Comparison) -> None:
    assert toy.target is not None
    assert toy.target.chosen
    assert toy.target.metric == "test_loss"


def test_strategies_of_a_seed_meet_the_same_absences_and_seeds_different_ones(noisy: Comparison) -> None:
    hashes = {seed: {e.outcome.summary["schedule_hash"] for e in noisy.entries if e.seed == seed} for seed in (3, 4, 5)}
    assert all(len(found) == 1 for found in hashes.values())
    assert len(set.union(*hashes.values())) == 3


def test_the_table_agrees_with_the_rows_of_the_store(noisy: Comparison) -> None:
    frame = noisy.rounds
    assert set(frame["label"]) == {"fedavg", "fedstale:beta=0.3", "fedvarp", "mifa"}
    assert set(frame["seed"]) == {3, 4, 5}
    last = frame[(frame["metric"] == "test_loss") & (frame["round"] == 12)].pivot(
        index="seed", columns="label", values="value"
    )
    assert noisy.table.loc["fedvarp", "test_loss"] == pytest.approx(last["fedvarp"].mean())
    difference = (last["fedvarp"] - last["mifa"]).mean()
    assert noisy.table.loc["fedvarp", "test_loss_difference"] == pytest.approx(difference)
    variance = frame[(frame["metric"] == "update_variance") & (frame["label"] == "mifa")]
    assert noisy.table.loc["mifa", "update_variance"] == pytest.approx(variance.groupby("seed")["value"].mean().mean())


def test_every_run_has_a_folder_and_all_share_one_store(noisy: Comparison) -> None:
    folders = [entry.outcome.folder for entry in noisy.entries]
    assert len(set(folders)) == 12
    assert all((folder / "summary.json").exists() and folder.parent == noisy.folder for folder in folders)
    runs = {entry.outcome.summary["run"] for entry in noisy.entries}
    assert set(fedsim.load(noisy.folder)["run"]) == runs


def test_results_are_left_as_csv_json_png_and_a_page_that_needs_no_network(noisy: Comparison) -> None:
    table = pd.read_csv(noisy.folder / "comparison.csv", index_col="strategy")
    assert table.loc["fedvarp", "test_loss"] == pytest.approx(noisy.table.loc["fedvarp", "test_loss"])
    content = json.loads((noisy.folder / "comparison.json").read_text())
    assert [found["label"] for found in content["strategies"]] == noisy.labels
    assert content["strategies"][1]["options"]["beta"] == 0.3
    assert len(content["strategies"][0]["measures"]["test_loss"]["values"]) == 3
    assert (noisy.folder / "comparison.png").read_bytes().startswith(b"\x89PNG")
    page = (noisy.folder / "comparison.html").read_text()
    assert "<script src" not in page
    assert "fedstale:beta=0.3" in page
    assert "<table>" in page


def test_what_a_paper_takes_is_left_beside_the_results(noisy: Comparison) -> None:
    header, *rows = (noisy.folder / "table.md").read_text().splitlines()[:6]
    assert [row.split("|")[1].strip().replace("\\", "") for row in rows[1:]] == noisy.labels
    assert header.count("|") == rows[1].count("|")
    assert r"\toprule" in (noisy.folder / "table.tex").read_text()
    table = pd.read_csv(noisy.folder / "table.csv", index_col="strategy")
    assert table.loc["fedvarp", "test_loss"] == pytest.approx(noisy.table.loc["fedvarp", "test_loss"])
    assert (noisy.folder / "comparison.pdf").read_bytes().startswith(b"%PDF")


def test_finished_runs_are_recognised_and_a_new_strategy_is_added(noisy: Comparison) -> None:
    told: list[ComparedRun] = []
    scenario = read_with_strategies(NOISY, "fedavg,fedstale:beta=0.3,fedvarp,fedau", [])
    again = compare(scenario, seeds=3, out=noisy.folder, tell=told.append)
    assert [entry.outcome.recognised for entry in told] == [True, True, True, False] * 3
    assert again.table.loc["fedvarp", "test_loss"] == noisy.table.loc["fedvarp", "test_loss"]


def test_another_number_of_rounds_is_another_run(toy: Comparison) -> None:
    told: list[ComparedRun] = []
    compare(read_with_strategies(TOY, "fedavg", ["rounds=6"]), seeds=1, out=toy.folder, tell=told.append)
    assert not told[0].outcome.recognised
    assert told[0].outcome.summary["rounds"] == 6


def test_data_are_loaded_once_for_each_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded, load = [], Quadratic.load

    def counted(self: Quadratic, seed: int, folder: str = ".") -> Any:
        loaded.append(seed)
        return load(self, seed, folder)

    monkeypatch.setattr(Quadratic, "load", counted)
    fedsim.compare(NOISY, "fedavg,mifa", seeds=[7, 9], out=tmp_path / "all")
    assert loaded == [7, 7, 9]  # once to look at every strategy's run before any begins, then once for each seed


def test_a_run_that_diverges_is_listed_and_the_others_go_on(tmp_path: Path) -> None:
    found = fedsim.compare({**TOY, "client": {"lr": 0.5}}, "mifa,fedavg:server_lr=1e30", seeds=2, out=tmp_path / "all")
    assert found.exit_code == 6
    assert [(entry.label, entry.outcome.status) for entry in found.failed] == [
        ("fedavg:server_lr=1e+30", "diverged"),
        ("fedavg:server_lr=1e+30", "diverged"),
    ]
    assert found.table.loc["fedavg:server_lr=1e+30", "failed"] == 2
    assert np.isnan(found.table.loc["fedavg:server_lr=1e+30", "distance"])
    assert found.table.loc["mifa", "distance"] == pytest.approx(13 / 108, abs=1e-6)


def test_strategies_that_do_not_fit_are_refused_all_at_once_and_nothing_runs(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError) as refused:
        fedsim.compare(
            TOY, "fedavg,fedstale:beta=-1,fedvrap,fedvarp:normalise=inverse_probability", out=tmp_path / "all"
        )
    text = str(refused.value)
    assert "compare.1.beta" in text
    assert "did you mean 'fedvarp'?" in text
    assert not (tmp_path / "all").exists()


def test_what_only_the_process_can_tell_is_refused_too(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"compare\.1\.probabilities: .* does not know it"):
        fedsim.compare(TOY, "fedavg,fedstale", out=tmp_path / "all")


def test_the_same_strategy_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="mifa is there twice"):
        fedsim.compare(TOY, "mifa,fedavg,mifa", out=tmp_path / "all")


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear all")
    with pytest.raises(ScenarioError, match="are no runs"):
        fedsim.compare(TOY, "mifa", out=tmp_path)
    fedsim.run(TOY, out=tmp_path / "run", strategy={"name": "mifa"})
    with pytest.raises(ScenarioError, match="is the folder of a single run"):
        fedsim.compare(TOY, "mifa", out=tmp_path / "run")


def test_the_baseline_is_named_by_label_or_by_an_unambiguous_name(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="'fedavgg' is none of the strategies; did you mean 'fedavg'"):
        fedsim.compare(TOY, "mifa,fedavg", baseline="fedavgg", out=tmp_path / "all")
    with pytest.raises(ScenarioError, match="several strategies have the name 'fedau'"):
        fedsim.compare(TOY, "fedau:cutoff=2,fedau:cutoff=3", baseline="fedau", out=tmp_path / "all")


def test_strategies_come_as_text_as_blocks_or_as_rules() -> None:
    scenario = read_with_strategies(
        NOISY, ["fedau:cutoff=2", {"name": "fedavg"}, FedStale(beta=0.25), FedAU(cutoff=None)], []
    )
    assert list(lineup(scenario)) == ["fedau:cutoff=2", "fedavg", "fedstale:beta=0.25", "fedau:cutoff=null"]


def test_the_file_s_own_list_is_used_when_none_is_given() -> None:
    scenario = read_with_strategies({**NOISY, "compare": [{"name": "mifa"}, {"name": "fedvarp"}]}, None, [])
    assert list(lineup(scenario)) == ["mifa", "fedvarp"]


def test_a_strategy_takes_nothing_over_from_the_scenario_s_own() -> None:
    scenario = read_with_strategies({**NOISY, "strategy": {"name": "mifa", "server_lr": 0.5}}, "mifa", [])
    assert label(lineup(scenario)["mifa"]) == "mifa"


@pytest.mark.parametrize("text", ["", "fedavg,", "fedstale:beta", "fedstale:beta=", "beta=0.3", ":beta=1"])
def test_a_list_that_cannot_be_read_says_how_to_write_it(text: str) -> None:
    with pytest.raises(ScenarioError, match=r"--strategies: .*write"):
        parse(text)


@pytest.mark.ray
def test_all_runs_share_one_ray_session_and_have_the_serial_bits(
    noisy: Comparison, cluster: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, session = [], ray_session.session

    def counted(*arguments: Any, **options: Any) -> Any:
        opened.append(arguments)
        return session(*arguments, **options)

    monkeypatch.setattr(ray_session, "session", counted)
    ray = {**NOISY, "engine": {"kind": "ray", "hosts": 2, "address": cluster}}
    found = fedsim.compare(ray, "fedavg,mifa", seeds=1, out=tmp_path / "all")
    assert len(opened) == 1
    serial = {(e.label, e.seed): e.outcome.summary["params_sha256"] for e in noisy.entries}
    assert [e.outcome.summary["params_sha256"] for e in found.entries] == [serial["fedavg", 3], serial["mifa", 3]]
