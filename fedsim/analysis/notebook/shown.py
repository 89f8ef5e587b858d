"""Runs and comparisons as a notebook shows them: small escaped HTML that needs nothing else, and figures."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from fedsim.analysis.bands import band
from fedsim.analysis.comparison_tables import tables
from fedsim.analysis.figures import STYLE, Forest, Panel, compose
from fedsim.analysis.tables import Table
from fedsim.core.system.terminal import visible
from fedsim.metrics.registry import HEADLINES, bounds, higher_is_better, of_tasks, unit_words

if TYPE_CHECKING:
    import pandas as pd

    from fedsim.analysis.comparison import Comparison


class NotebookFigure(Figure):
    """A figure that a notebook shows as it is, with no call of pyplot."""

    def _repr_png_(self) -> bytes:
        file = io.BytesIO()
        with rc_context(STYLE):
            self.savefig(file, format="png", dpi=110)
        return file.getvalue()


def plot(title: str, panels: Sequence[Panel | Forest]) -> Figure:
    """Return panels as a figure of matplotlib, which pyplot does not know of."""
    figure = NotebookFigure()
    FigureCanvasAgg(figure)
    compose(figure, visible(title), panels)
    return figure


def plot_run(summary: Mapping[str, Any], rounds: pd.DataFrame) -> Figure:
    """Return the curves of what a run is judged by: the metrics of its task, the headlines, the training loss."""
    reported = set(rounds["metric"])
    named = of_tasks(name for name in summary.get("final", {}) if name != "round")
    panels: list[Panel | Forest] = []
    for metric in dict.fromkeys([*HEADLINES, *named, "train_loss"]):
        if metric not in reported:
            continue
        rows = rounds[rounds["metric"] == metric].sort_values("round")
        curve = band([(rows["round"].to_numpy(), rows["value"].to_numpy())]).within(*bounds(metric))
        if len(curve.rounds):
            curves = {str(summary.get("strategy", "")): curve}
            panels.append(Panel(metric.replace("_", " "), curves, metric, log=not higher_is_better(metric)))
    return plot(str(summary.get("name", "")), panels)


def html_of_run(run: str, folder: str, summary: Mapping[str, Any]) -> str:
    """Return a run as one small table: what it is, how it ended, its last evaluation."""
    told = {"run": run, **{name: summary.get(name) for name in ("strategy", "seed", "clients", "rounds", "status")}}
    told |= {"reason": summary.get("reason"), "folder": folder}
    rows = [(name, str(value)) for name, value in told.items() if value is not None]
    for name, value in summary.get("final", {}).items():
        if name != "round":
            rows.append((name, f"{float(value):.5g} {unit_words(name)}".rstrip()))
    return _html(visible(Table(str(summary.get("name", "")), ("", ""), tuple(rows)).as_html()))


def html_of_comparison(found: Comparison) -> str:
    """Return a comparison as its tables, and which of its runs failed."""
    made = "".join(table.as_html() for table in tables(found))
    lost = [f"{entry.label}, seed {entry.seed}: {entry.outcome.error}" for entry in found.failed]
    title = f"<p><b>{escape(found.name)}</b>, {len(found.seeds)} seeds, in <code>{escape(str(found.folder))}</code></p>"
    return _html(visible(title + made + "".join(f"<p>{escape(line)}</p>" for line in lost)))


def _html(inner: str) -> str:
    return f"<div style='overflow-x:auto'>{inner}</div>"
