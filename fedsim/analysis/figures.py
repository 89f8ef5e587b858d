"""Figures of a comparison: curves with bands and paired differences, as a PNG and as a page that works offline.

Colours are those of Okabe and Ito (2008), which stay apart for colour-blind readers; dashes tell strategies apart once
more. matplotlib and plotly are loaded when something is drawn, without a window and without global state.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10
from typing import TYPE_CHECKING, Any

import numpy as np

from fedsim.analysis.bands import Band
from fedsim.analysis.paired import Difference
from fedsim.core.system.terminal import visible
from fedsim.metrics.registry import find, unit_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#2B2B2B", "#8A7B00")
DASHES = ("-", (0, (5, 1.5)), (0, (1, 1.2)), (0, (6, 1.5, 1, 1.5)), (0, (3, 1)), (0, (8, 2)), "-", (0, (2, 2)))
_PLOTLY_DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot", "solid", "dash")
INK, SOFT, GRID = "#2B2B2B", "#9A9A9A", "#E8E8E8"
STYLE: dict[Any, Any] = {
    "text.parse_math": False,
    "font.size": 9.5,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 9,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
}


@dataclass(frozen=True)
class Panel:
    """Curves of one metric over rounds, by label; `target` is drawn as a line."""

    title: str
    curves: Mapping[str, Band]
    metric: str
    log: bool = False
    target: float | None = None

    @property
    def unit(self) -> str:
        """What an axis says of the unit; nothing for a pure number."""
        return unit_words(self.metric)


@dataclass(frozen=True)
class Forest:
    """Paired differences to a baseline, by label: a dot and its interval each."""

    title: str
    rows: Mapping[str, Difference]


def labels_of(panels: Sequence[Panel | Forest]) -> list[str]:
    """Return every label that a curve has, in order of appearance: its place decides its colour."""
    return list(dict.fromkeys(label for panel in panels if isinstance(panel, Panel) for label in panel.curves))


def draw(title: str, panels: Sequence[Panel | Forest]) -> bytes:
    """Return the figure as a PNG."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure()
    FigureCanvasAgg(figure)
    compose(figure, title, panels)
    file = io.BytesIO()
    with rc_context(STYLE):
        figure.savefig(file, format="png", dpi=130, metadata={"Title": title})
    return file.getvalue()


def compose(figure: Figure, title: str, panels: Sequence[Panel | Forest]) -> None:
    """Draw a grid of panels, one legend for all, into an empty figure, and give it the size that they need."""
    from matplotlib import rc_context
    from matplotlib.lines import Line2D

    labels = labels_of(panels)
    columns = 1 if len(panels) == 1 else 2 if len(panels) in (2, 4) else 3
    rows = max(1, ceil(len(panels) / columns))
    across = 4 if max(map(len, labels), default=0) < 28 else 3
    legend_rows = ceil(len(labels) / across)
    height = 3.55 * rows + 0.6 + 0.24 * legend_rows
    with rc_context(STYLE):
        figure.set_size_inches(5.4 * columns, height)
        top = 1 - (0.5 + 0.24 * legend_rows) / height
        figure.set_layout_engine("constrained", w_pad=0.13, h_pad=0.12, rect=(0, 0, 1, top))
        figure.text(0.013, 1 - 0.13 / height, title, ha="left", va="top", fontsize=14, fontweight="bold")
        handles = [
            Line2D([], [], color=COLOURS[k % len(COLOURS)], ls=DASHES[k % len(DASHES)], lw=2)
            for k in range(len(labels))
        ]
        figure.legend(
            handles,
            labels,
            loc="upper left",
            ncols=across,
            bbox_to_anchor=(0.006, 1 - 0.4 / height),
            handlelength=2.6,
            columnspacing=1.8,
            fontsize=9.5,
        )
        for place, panel in enumerate(panels):
            axes = figure.add_subplot(rows, columns, place + 1)
            if isinstance(panel, Panel):
                draw_curves(axes, panel, labels)
            else:
                draw_forest(axes, panel, labels)


def draw_curves(axes: Axes, panel: Panel, labels: Sequence[str], scale: float = 1.0) -> None:
    """Draw the curves of a panel with their bands; `scale` is that of lines and dots."""
    from matplotlib.ticker import MaxNLocator

    positive = _floor(panel)
    for label, curve in panel.curves.items():
        k = labels.index(label)
        colour = COLOURS[k % len(COLOURS)]
        mean = np.where(curve.mean > 0, curve.mean, np.nan) if positive else curve.mean
        if (curve.count > 1).any():
            low = np.maximum(curve.low, positive) if positive else curve.low
            axes.fill_between(curve.rounds, low, curve.high, color=colour, alpha=0.16, lw=0)
        dots = "o" if len(curve.rounds) <= 3 else ""
        axes.plot(
            curve.rounds, mean, color=colour, ls=DASHES[k % len(DASHES)], lw=1.7 * scale, marker=dots, ms=4 * scale
        )
    if panel.target is not None:
        axes.axhline(panel.target, color=SOFT, lw=1, ls=":")
        axes.annotate(
            f"target {panel.target:g}",
            (0.012, panel.target),
            xycoords=("axes fraction", "data"),
            xytext=(0, 3),
            textcoords="offset points",
            color="#6A6A6A",
            fontsize="small",
        )
    if positive:
        _log_scale(axes, panel)
    axes.set(title=panel.title, xlabel="round", ylabel=panel.unit)
    if find(panel.metric).whole and not positive:
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7))
    axes.margins(x=0.01)
    axes.grid(axis="y", color=GRID, lw=0.8)
    axes.set_axisbelow(True)


def _log_scale(axes: Axes, panel: Panel) -> None:
    """Make the y axis logarithmic from a little below the lowest mean, with plain numbers where they fit."""
    from matplotlib.ticker import LogLocator, NullFormatter

    low, high = _range(panel)
    axes.set_yscale("log")
    axes.set_ylim(bottom=low / 1.35)
    if high / low < 100:
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())


def _range(panel: Panel) -> tuple[float, float]:
    """Return the lowest and the highest positive mean, (0, 0) when there is none."""
    means = np.concatenate([np.zeros(0), *(curve.mean[curve.mean > 0] for curve in panel.curves.values())])
    return (float(means.min()), float(means.max())) if len(means) else (0.0, 0.0)


def _floor(panel: Panel) -> float | None:
    """Return where bands that reach below zero end on a log axis; None for a linear one, as short ranges have it."""
    low, high = _range(panel)
    return low / 3 if panel.log and high > 5 * low > 0 else None


def draw_forest(axes: Axes, panel: Forest, labels: Sequence[str], scale: float = 1.0) -> None:
    """Draw paired differences, a row each; `scale` is that of lines and dots."""
    from matplotlib.patheffects import withStroke

    count = len(panel.rows)
    axes.axvline(0, color=SOFT, lw=1)
    for row, (label, found) in enumerate(panel.rows.items()):
        k = labels.index(label) if label in labels else row
        colour = COLOURS[k % len(COLOURS)]
        axes.plot([found.low, found.high], [row, row], color=colour, lw=2.4 * scale, solid_capstyle="round")
        filled = colour if found.verdict else "white"
        axes.plot([found.mean], [row], ls="", marker="o", ms=7.5 * scale, mfc=filled, mec=colour, mew=1.8 * scale)
        axes.annotate(
            label,
            (0, row),
            xycoords=("axes fraction", "data"),
            xytext=(0, 6 * scale),
            textcoords="offset points",
            va="bottom",
            fontsize="medium",
            path_effects=[withStroke(linewidth=3, foreground="white")],
        )
    axes.set_yticks([])
    axes.set_ylim(count - 0.5, -0.75)
    axes.spines["left"].set_visible(False)
    axes.set(title=panel.title, xlabel="mean over seeds with 95 % interval; filled: it leaves out zero")
    axes.margins(x=0.08)
    axes.grid(axis="x", color=GRID, lw=0.8)
    axes.set_axisbelow(True)


def page(title: str, panels: Sequence[Panel | Forest], table: str = "") -> str:
    """Return a page with the same panels to point at and zoom into; plotly's script is inside, nothing is fetched.

    `table` is ready HTML below the figure.
    """
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    labels = labels_of(panels)
    columns = 1 if len(panels) == 1 else 2
    rows = max(1, ceil(len(panels) / columns))
    figure = make_subplots(
        rows=rows,
        cols=columns,
        subplot_titles=[panel.title for panel in panels],
        horizontal_spacing=0.09,
        vertical_spacing=0.35 / rows if rows > 1 else 0,
    )
    for place, panel in enumerate(panels):
        row, column = place // columns + 1, place % columns + 1
        traces = _curve_traces(go, panel, labels) if isinstance(panel, Panel) else _forest_traces(go, panel, labels)
        for trace in traces:
            figure.add_trace(trace, row=row, col=column)
        if isinstance(panel, Panel):
            last = max((curve.rounds[-1] for curve in panel.curves.values()), default=0)
            figure.update_xaxes(title_text="round", dtick=1 if last <= 8 else None, row=row, col=column)
            figure.update_yaxes(title_text=panel.unit or None, row=row, col=column)
            if _floor(panel):
                low, high = _range(panel)
                ends = [log10(low / 1.35), log10(high * 1.5)]
                figure.update_yaxes(type="log", range=ends, dtick=1, exponentformat="power", row=row, col=column)
                if high / low < 100:
                    places = [d * 10.0**k for k in range(floor(ends[0]), ceil(ends[1])) for d in (1, 2, 5)]
                    texts = [f"{place:g}" for place in places]
                    figure.update_yaxes(tickvals=places, ticktext=texts, row=row, col=column)
            if panel.target is not None:
                figure.add_hline(panel.target, line={"dash": "dot", "color": SOFT, "width": 1}, row=row, col=column)
        else:
            ends = [len(panel.rows) - 0.4, -0.8]
            figure.update_yaxes(range=ends, ticklabelposition="inside top", row=row, col=column)
            figure.add_vline(0, line={"color": SOFT, "width": 1}, row=row, col=column)
    seen: set[str] = set()
    for trace in figure.data:  # one entry in the legend for each strategy, whichever panel has it first
        if trace.showlegend is None and trace.legendgroup not in seen:
            seen.add(trace.legendgroup)
            trace.showlegend = True
        elif trace.showlegend is None:
            trace.showlegend = False
    figure.update_layout(
        template="plotly_white",
        height=400 * rows + 60,
        margin={"l": 60, "r": 24, "t": 60, "b": 50},
        font={"family": "system-ui, sans-serif", "color": INK, "size": 13},
        hovermode="closest",
        legend={"orientation": "h", "y": -0.14 / rows, "yanchor": "top"},
    )
    body = figure.to_html(full_html=False, include_plotlyjs="inline", config={"displaylogo": False, "responsive": True})
    return _PAGE.format(title=escape(visible(title)), body=body, table=visible(table))


def _curve_traces(go: Any, panel: Panel, labels: Sequence[str]) -> list[Any]:
    lowest = _floor(panel)
    traces = []
    for label, curve in panel.curves.items():
        k = labels.index(label)
        colour, name = COLOURS[k % len(COLOURS)], escape(label)
        if (curve.count > 1).any():
            there = np.isfinite(curve.high)
            low = np.maximum(curve.low, lowest) if lowest else curve.low
            x = np.concatenate([curve.rounds[there], curve.rounds[there][::-1]])
            y = np.concatenate([curve.high[there], low[there][::-1]])
            traces.append(
                go.Scatter(
                    x=x,
                    y=y,
                    fill="toself",
                    fillcolor=_faint(colour),
                    mode="lines",
                    line={"width": 0},
                    hoverinfo="skip",
                    legendgroup=label,
                    showlegend=False,
                )
            )
        mean = np.where(curve.mean > 0, curve.mean, np.nan) if lowest else curve.mean
        line = {"color": colour, "width": 2, "dash": _PLOTLY_DASHES[k % len(_PLOTLY_DASHES)]}
        hover = f"{name}<br>round %{{x:.0f}}: %{{y:.5g}}<extra></extra>"
        traces.append(
            go.Scatter(
                x=curve.rounds, y=mean, name=name, line=line, mode="lines", legendgroup=label, hovertemplate=hover
            )
        )
    return traces


def _forest_traces(go: Any, panel: Forest, labels: Sequence[str]) -> list[Any]:
    traces = []
    for row, (label, found) in enumerate(panel.rows.items()):
        k = labels.index(label) if label in labels else row
        colour, name = COLOURS[k % len(COLOURS)], escape(label)
        reach = [found.high - found.mean] if np.isfinite(found.high) else [0.0]
        text = f"{name}<br>%{{x:.5g}} [{found.low:.4g}, {found.high:.4g}], p = {found.p_value:.3g}<extra></extra>"
        marker = {"color": colour, "size": 11, "symbol": "circle" if found.verdict else "circle-open"}
        bars = {"type": "data", "array": reach, "color": colour, "thickness": 2.5, "width": 0}
        traces.append(
            go.Scatter(
                x=[found.mean],
                y=[name],
                error_x=bars,
                marker=marker,
                mode="markers",
                hovertemplate=text,
                legendgroup=label,
                showlegend=False,
            )
        )
    return traces


def _faint(colour: str) -> str:
    red, green, blue = (int(colour[k : k + 2], 16) for k in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.16)"


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="data:,">
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; color: #2b2b2b; margin: 0 auto; max-width: 1200px; padding: 1rem; }}
h1 {{ font-size: 1.4rem; margin: .4rem 0 0; }}
.wide {{ overflow-x: auto; }}
table {{ border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; }}
caption {{ text-align: left; font-weight: 600; padding-bottom: .3rem; }}
th, td {{ padding: .25rem .8rem; border-bottom: 1px solid #e0e0e0; text-align: right; white-space: nowrap; }}
th:first-child, td:first-child {{ text-align: left; }}
</style>
</head>
<body>
<h1>{title}</h1>
{body}
<div class="wide">{table}</div>
</body>
</html>
"""
