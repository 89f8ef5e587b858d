"""What a notebook has of a run: callbacks, progress, tables and figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fedsim
from fedsim.core import ScenarioError
from fedsim.core.foreign.failures import ForeignError

TOY: dict[str, Any] = {
    "name": "toy <b>",
    "seed": 4,
    "rounds": 6,
    "data": {"dataset": "quadratic", "centers": [[0.0], [2.0], [6.0]]},
    "model": {"name": "point", "init": [4.0]},
    "client": {"local_steps": 1, "lr": 0.5},
    "participation": {"kind": "bernoulli", "probabilities": 0.7},
    "strategy": {"name": "fedavg"},
    "evaluate": {"every": 2},
}


def test_a_callback_hears_every_evaluation_and_moves_no_bit(tmp_path: Path) -> None:
    heard: list[tuple[int, float]] = []

    def look(round: int, metrics: dict[str, float]) -> None:
        heard.append((round, metrics["test_loss"]))
        metrics.clear()

    plain = fedsim.run(TOY, out=tmp_path / "plain")
    told = fedsim.run(TOY, out=tmp_path / "told", callbacks=[look])
    for name in ("params_sha256", "scenario_hash", "schedule_hash", "final", "status"):
        assert told.summary[name] == plain.summary[name]
    losses = plain.rounds.query("metric == 'test_loss'")
    assert heard == list(zip(losses["round"], losses["value"], strict=True))
    assert [round for round, _ in heard] == [0, 2, 4, 6]


def test_true_stops_the_run_where_a_shorter_one_ends(tmp_path: Path) -> None:
    short = fedsim.run(TOY | {"rounds": 4}, out=tmp_path / "short")
    run = fedsim.run(TOY, out=tmp_path / "run", callbacks=lambda round, metrics: round >= 3)
    assert (run.status, run.summary["rounds"]) == ("stopped", 4)
    assert "evaluation of round 4" in run.summary["reason"]
    assert run.summary["params_sha256"] == short.summary["params_sha256"]
    assert fedsim.resume(run.folder).summary["rounds"] == 4


@pytest.mark.slow
def test_hosts_that_train_ahead_stop_after_the_same_round(tmp_path: Path) -> None:
    engines: list[dict[str, Any]] = [{"kind": "serial"}, {"kind": "processes", "hosts": 2}]
    ends = {}
    for engine in engines:
        heard: list[int] = []

        def enough(round: int, metrics: dict[str, float], heard: list[int] = heard) -> bool:
            heard.append(round)
            return round == 2

        run = fedsim.run(TOY | {"engine": engine}, out=tmp_path / engine["kind"], callbacks=enough)
        assert heard == [0, 2]
        ends[str(engine)] = run.status, run.summary["rounds"], run.summary["params_sha256"]
    assert len(set(ends.values())) == 1


def test_a_callback_that_raises_is_told_with_its_line_and_the_run_goes_on_later(tmp_path: Path) -> None:
    def wrong(round: int, metrics: dict[str, float]) -> None:
        if round == 4:
            raise ValueError("no such thing")

    line = wrong.__code__.co_firstlineno + 2
    with pytest.raises(ForeignError, match=f"round 4, callback wrong: .*test_notebook.py:{line}: ValueError: no such"):
        fedsim.run(TOY | {"checkpoint": {"every": 2}}, out=tmp_path / "run", callbacks=[wrong])
    whole = fedsim.run(TOY, out=tmp_path / "whole")
    assert fedsim.resume(tmp_path / "run").summary["params_sha256"] == whole.summary["params_sha256"]


def test_what_cannot_be_called_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="callbacks: give functions"):
        fedsim.run(TOY, out=tmp_path / "run", callbacks=["print"])  # type: ignore[list-item]
    assert not (tmp_path / "run").exists()


def test_a_run_shows_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    quiet = fedsim.run(TOY, out=tmp_path / "quiet")
    assert capsys.readouterr().out == ""
    fedsim.run(TOY, out=tmp_path / "loud", verbose=True)
    assert "round 6/6" in capsys.readouterr().out
    assert repr(quiet) == f"Run({quiet.id}, toy <b>, completed after 6 rounds, {tmp_path / 'quiet'})"
    html = quiet._repr_html_()
    assert "toy &lt;b&gt;" in html
    assert "<b>" not in html
    assert f"{quiet.final['test_loss']:.5g}" in html
    axes = quiet.plot().axes
    loss = next(one for one in axes if one.get_title("left") == "test loss" or one.get_title() == "test loss")
    assert np.asarray(loss.lines[0].get_xdata())[-1] == 6
    assert np.asarray(loss.lines[0].get_ydata())[-1] == pytest.approx(quiet.final["test_loss"])


def test_a_comparison_shows_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    two = ["fedavg", "fedstale:beta=0.3"]
    found = fedsim.compare(TOY, two, 2, out=tmp_path / "c", parallel=1, verbose=True)
    assert capsys.readouterr().out.count("completed") == 4
    assert repr(found).startswith("Comparison(toy <b>: fedavg, fedstale")
    assert "\n" not in repr(found)
    html = found._repr_html_()
    assert "<b>toy &lt;b&gt;</b>" in html
    assert "difference to fedavg" in html
    assert "<script" not in html
    figure = found.plot()
    assert any(axes.collections for axes in figure.axes), "curves have bands"
    assert figure._repr_png_().startswith(b"\x89PNG")  # type: ignore[attr-defined]
