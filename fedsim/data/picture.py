"""A picture of a split: sizes above, stacked label shares below, clients ordered by their main label."""

from __future__ import annotations

import io
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from fedsim.data.summary import DataSummary

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Paul Tol's "muted" scheme, safe for colour-blind readers
_COLOURS = (
    *("#332288", "#88CCEE", "#44AA99", "#117733", "#999933"),
    *("#DDCC77", "#CC6677", "#882255", "#AA4499", "#C3C3C3"),
)
_INK, _FAINT = "#333333", "#8A8A8A"
_MOST_BARS = 200
"""Beyond this, neighbours in the order share a bar."""

Floats = npt.NDArray[np.float64]


def draw(summary: DataSummary, title: str, subtitle: str) -> bytes:
    """Return the PNG of a split with labels; for more than 200 clients each bar is the mean of neighbours."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    order = _order(summary)
    bars = min(len(order), _MOST_BARS)
    edges = np.linspace(0, len(order), bars + 1).round().astype(np.int64)
    shares = np.add.reduceat(summary.shares[order], edges[:-1]) / np.diff(edges)[:, None]
    sizes = summary.num_examples[summary.looked_at][order]

    figure = Figure(figsize=(10, 5.6), dpi=160, facecolor="white")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(
        nrows=2,
        ncols=2,
        height_ratios=(1, 2.6),
        width_ratios=(40, 1),
        hspace=0.09,
        wspace=0.025,
        left=0.075,
        right=0.905,
        top=0.855,
        bottom=0.095,
    )
    above, below, whole = (figure.add_subplot(place) for place in (grid[0, 0], grid[1, 0], grid[1, 1]))
    shown = title if len(title) <= 70 else f"{title[:69]}…"
    figure.text(0.075, 0.945, shown, fontsize=14, fontweight="bold", color=_INK, parse_math=False)
    figure.text(0.075, 0.9, subtitle, fontsize=9.5, color=_FAINT, parse_math=False)

    colours = _colours(shares.shape[1])
    _draw_sizes(above, sizes, edges)
    _draw_shares(below, shares, edges, colours)
    _draw_shares(whole, summary.overall[None], np.array([0, 1]), colours)
    for axes in (above, below, whole):
        _clean(axes)
    below.set_ylabel("share of each label", color=_INK)
    below.set_xlabel(_x_label(summary, bars), color=_INK)
    _name_clients(below, summary.looked_at[order])
    whole.set_yticks([])
    whole.set_xticks([0.5], ["all"])
    _legend(whole, summary.overall, colours)
    figure.align_ylabels((above, below))
    file = io.BytesIO()
    figure.savefig(file, format="png", metadata={"Software": None})
    return file.getvalue()


def _order(summary: DataSummary) -> npt.NDArray[np.int64]:
    """Return the clients looked at by main label, the purest first."""
    shares = summary.shares
    return np.lexsort((-shares.max(axis=1), shares.argmax(axis=1)))


def _colours(labels: int) -> list[str]:
    if labels <= len(_COLOURS):
        return list(_COLOURS[:labels])
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    return [to_hex(colormaps["viridis"](k / (labels - 1))) for k in range(labels)]


def _draw_sizes(axes: Axes, sizes: npt.NDArray[np.int64], edges: npt.NDArray[np.int64]) -> None:
    median = [float(np.median(sizes[a:b])) for a, b in pairwise(edges.tolist())]
    width = np.diff(edges) * (0.84 if len(edges) <= 101 else 1.0)
    axes.bar((edges[:-1] + edges[1:]) / 2, median, width=width, color="#5B6C8F")
    if len(sizes) > len(median):  # grouped: show the largest client of each group as well
        axes.stairs(np.maximum.reduceat(sizes, edges[:-1]), edges, color=_FAINT, linewidth=0.8)
    if sizes.max() > 30 * np.median(sizes):
        axes.set_yscale("log")
        axes.minorticks_off()
    axes.set_xlim(0, len(sizes))
    axes.set_xticks([])
    axes.set_ylabel("examples", color=_INK)


def _draw_shares(axes: Axes, shares: Floats, edges: npt.NDArray[np.int64], colours: list[str]) -> None:
    tops = np.zeros((shares.shape[1] + 1, len(edges)))
    tops[1:, :-1] = np.cumsum(shares, axis=1).T
    tops[:, -1] = tops[:, -2]  # a step needs its last value twice
    for label, colour in enumerate(colours):
        axes.fill_between(edges, tops[label], tops[label + 1], step="post", color=colour, linewidth=0)
    if 1 < len(shares) <= 100:
        gap = 0.16 * 0.875 * 72 * 9.2 / len(shares)  # the same gap as between the bars above, in points
        axes.vlines(edges, 0, 1, color="white", linewidth=min(gap, 3))
    axes.set_xlim(0, edges[-1])
    axes.set_ylim(0, 1)


def _name_clients(axes: Axes, clients: npt.NDArray[np.int64]) -> None:
    if len(clients) <= 50:
        axes.set_xticks(np.arange(len(clients)) + 0.5, [str(c) for c in clients], fontsize=7.5)
        axes.tick_params(axis="x", length=0)
    else:
        axes.set_xticks([])


def _x_label(summary: DataSummary, bars: int) -> str:
    shown, total = len(summary.looked_at), len(summary.num_examples)
    which = "clients" if shown == total else f"{shown:,} of {total:,} clients"
    text = f"{which}, ordered by main label"
    if bars == shown:
        return text
    return f"{text}; each bar is the mean of about {shown / bars:.0f} (line above: the largest)"


def _clean(axes: Axes) -> None:
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_visible(False)
    axes.tick_params(colors=_FAINT, labelsize=8.5, length=2)


def _legend(axes: Axes, overall: Floats, colours: list[str]) -> None:
    """Name the labels beside the bar of all: each one, or every so many where there are many."""
    middles = np.cumsum(overall) - overall / 2
    step = -(-len(colours) // 20)
    held = [k for k in range(0, len(colours), step) if overall[k] > 0]
    for label, height in zip(held, _apart(middles[held], 0.042), strict=True):
        axes.text(1.45, height, str(label), va="center", fontsize=8.5, color=_INK, clip_on=False)
    axes.text(1.45, 1.02, "label", va="bottom", fontsize=8.5, color=_FAINT, clip_on=False)


def _apart(heights: Floats, least: float) -> Floats:
    """Return heights moved up just enough to be `least` apart, then down where they leave the top."""
    moved = heights.copy()
    for k in range(1, len(moved)):
        moved[k] = max(moved[k], moved[k - 1] + least)
    for k in range(len(moved) - 1, -1, -1):
        moved[k] = min(moved[k], 0.985 - least * (len(moved) - 1 - k))
    return moved
