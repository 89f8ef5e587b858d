"""What a paper takes: the table in LaTeX, Markdown and CSV, and figures in PDF and SVG."""

from __future__ import annotations

import io
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fedsim.analysis.bands import band
from fedsim.analysis.comparison import ComparedRun, Comparison
from fedsim.analysis.figures import Forest, Panel
from fedsim.analysis.outcome import RunResult
from fedsim.analysis.paired import paired_difference
from fedsim.analysis.paper_figure import COLUMN, TEXT, figure
from fedsim.analysis.paper_table import as_csv, as_markdown, as_tex, best
from fedsim.metrics import Evaluated, RunEnded
from fedsim.store.database import Store
from tests.metrics.conftest import started

Levels = Mapping[str, Sequence[float]]


def compared(folder: Path, levels: Levels, metric: str = "test_accuracy", failed: Sequence[str] = ()) -> Comparison:
    """Return a comparison of strategies whose runs end at these levels, seed by seed."""
    entries = []
    store = folder / "fedsim.db"
    with Store(store) as opened:
        for label, values in levels.items():
            for seed, value in enumerate(values):
                run = f"{label}-{seed}"
                opened.write([started(run, name="toy", seed=seed, rounds=2)])
                opened.write([Evaluated(run=run, round=r, values={metric: v}) for r, v in ((0, 0.1), (2, value))])
                opened.write([RunEnded(run=run, status="completed", summary={})])
                about = {"run": run, "store": str(store)}
                entries.append(ComparedRun(label, seed, RunResult(folder, "completed", about, int(label in failed))))
    seeds = tuple(range(len(next(iter(levels.values())))))
    return Comparison("to_y", folder, dict.fromkeys(levels), next(iter(levels)), seeds, tuple(entries))


CLEAR = {"fed_avg": [0.60, 0.62, 0.64], "b&c": [0.70, 0.725, 0.74], "mifa": [0.65, 0.66, 0.70]}
CLOSE = {**CLEAR, "mifa": [0.60, 0.75, 0.80]}


def test_the_best_is_bold_where_it_beats_every_other_by_the_paired_test(tmp_path: Path) -> None:
    found = compared(tmp_path, CLEAR)
    assert best(found, found.measures[0]) == "b&c"
    assert as_tex(found).count(r"\mathbf{") == 1
    assert r"b\&c & $\mathbf{0.722} \pm 0.050$" in as_tex(found)
    assert "| b&c | **0.722** ± 0.050 |" in as_markdown(found)


def test_a_higher_mean_that_the_test_does_not_tell_apart_is_not_bold(tmp_path: Path) -> None:
    found = compared(tmp_path, CLOSE)
    assert paired_difference(CLOSE["b&c"], CLOSE["fed_avg"]).p_value < 0.05  # the baseline alone is beaten
    assert paired_difference(CLOSE["b&c"], CLOSE["mifa"]).p_value > 0.05
    assert best(found, found.measures[0]) is None
    assert "mathbf" not in as_tex(found)
    assert "**" not in as_markdown(found)


def test_the_lowest_loss_is_the_best(tmp_path: Path) -> None:
    found = compared(tmp_path, CLEAR, metric="test_loss")
    assert best(found, found.measures[0]) == "fed_avg"
    assert r"test loss $\downarrow$" in as_tex(found)


def test_one_seed_makes_nothing_bold(tmp_path: Path) -> None:
    found = compared(tmp_path, {label: values[:1] for label, values in CLEAR.items()})
    assert best(found, found.measures[0]) is None
    assert "$0.7$" in as_tex(found)


def test_a_strategy_whose_runs_all_failed_has_a_dash_and_is_not_compared_with(tmp_path: Path) -> None:
    found = compared(tmp_path, CLOSE, failed=["mifa"])
    assert best(found, found.measures[0]) == "b&c"
    assert re.search(r"^mifa & -- &", as_tex(found), re.MULTILINE)
    assert "3 runs that failed are left out" in as_markdown(found)


def test_the_latex_table_is_booktabs_with_as_many_cells_in_every_row_as_columns(tmp_path: Path) -> None:
    lines = [line for line in as_tex(compared(tmp_path, CLEAR)).splitlines() if not line.startswith("%")]
    assert lines[0] == r"\begin{tabular}{lrr}"
    assert [lines[k] for k in (1, 3, -2, -1)] == [r"\toprule", r"\midrule", r"\bottomrule", r"\end{tabular}"]
    rows = [lines[2], *lines[4:-2]]
    assert len(rows) == 4
    assert all(row.endswith(r" \\") and len(re.findall(r"(?<!\\)&", row)) == 2 for row in rows)
    assert all("_" not in row.replace(r"\_", "") for row in rows)


def test_the_csv_has_the_numbers_unrounded(tmp_path: Path) -> None:
    table = pd.read_csv(io.StringIO(as_csv(compared(tmp_path, CLEAR))), index_col="strategy")
    assert table.loc["fed_avg", "test_accuracy"] == pytest.approx(0.62)
    assert table.loc["fed_avg", "test_accuracy_high"] == pytest.approx(0.62 + 4.302653 * 0.02 / 3**0.5)
    assert table["test_accuracy_best"].tolist() == [False, True, False]


@pytest.mark.slow  # and only where pdflatex is: ./check leaves it out elsewhere, and says so
def test_the_latex_table_compiles_with_pdflatex(tmp_path: Path) -> None:
    found = compared(tmp_path, {**CLEAR, r"a\b^~<%>#{}$|": [1e-7, 2e-7, 3e-7]})
    preamble, end = r"\documentclass{article}\usepackage{booktabs}\begin{document}", r"\end{document}"
    text = f"{preamble}\n{as_tex(found)}{end}\n"
    (tmp_path / "paper.tex").write_text(text)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout[-2000:]


def panels(count: int = 1) -> list[Panel | Forest]:
    series = [(np.array([0, 1, 2]), np.array([0.1, level, 0.99])) for level in (0.5, 1.0)]
    return [Panel("test accuracy", {"fedavg": band(series).within(0, 1)}, "test_accuracy") for _ in range(count)]


@pytest.mark.parametrize(("count", "width"), [(1, COLUMN), (3, COLUMN), (4, TEXT)])
def test_a_figure_is_as_wide_as_a_column_or_as_the_text(count: int, width: float) -> None:
    box = re.search(rb"/MediaBox \[ 0 0 ([0-9.]+) ", figure("x", panels(count), "pdf"))
    assert box is not None
    assert float(box[1]) / 72 == pytest.approx(width, abs=0.01)


def test_fonts_are_in_the_pdf_as_truetype() -> None:
    made = figure("x", panels(), "pdf")
    assert b"/FontFile2" in made
    assert b"/Type3" not in made


def test_an_svg_needs_no_font() -> None:
    made = figure("x", panels(), "svg").decode()
    assert made.startswith("<?xml")
    assert "<text" not in made


@pytest.mark.parametrize("kind", ["pdf", "svg"])
def test_the_same_input_gives_the_same_bytes(kind: str) -> None:
    assert figure("x", panels(), kind) == figure("x", panels(), kind)  # type: ignore[arg-type]


def test_a_band_of_an_accuracy_ends_at_0_and_at_1(tmp_path: Path) -> None:
    found = compared(tmp_path, {"fedavg": [0.5, 0.99, 0.999]})
    raw = band(found.series("test_accuracy", "fedavg"))
    curve = found.curves("test_accuracy")["fedavg"]
    assert raw.high[-1] > 1
    assert (curve.high.max(), curve.mean.tolist()) == (1.0, raw.mean.tolist())
    assert curve.low.min() >= 0


def test_a_band_of_a_loss_ends_at_0(tmp_path: Path) -> None:
    found = compared(tmp_path, {"fedavg": [0.01, 0.5, 3.0]}, metric="test_loss")
    assert band(found.series("test_loss", "fedavg")).low[-1] < 0
    assert found.curves("test_loss")["fedavg"].low[-1] == 0


def test_axes_show_whole_rounds_and_units() -> None:
    from matplotlib.figure import Figure

    from fedsim.analysis.figures import draw_curves

    one = band([(np.array([0, 1, 2]), np.array([1.0, 2.0, 2.0]))])
    axes = Figure().add_subplot()
    draw_curves(axes, Panel("clients that came", {"a": one}, "cohort_size"), ["a"])
    assert axes.get_ylabel() == "clients"
    assert all(tick == int(tick) for tick in (*axes.get_xticks(), *axes.get_yticks()))


def test_a_long_title_has_several_lines_in_latex(tmp_path: Path) -> None:
    made = as_tex(compared(tmp_path, CLEAR, metric="consensus_distance"))
    assert r" & \shortstack[r]{consensus distance\\(norm\textsuperscript{2}) $\downarrow$} & " in made
