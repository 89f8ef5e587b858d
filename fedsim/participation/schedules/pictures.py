"""Pictures of a process: who is there when, how many, how long the gaps are, and whose labels come.

Colours are those of Okabe and Ito (2008), which stay apart for colour-blind readers and in grey. matplotlib is loaded
when a picture is drawn, without a window and without its global state.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fedsim.core.contracts import Vector
from fedsim.participation.schedules.statistics import Counts, ScheduleSummary, correlations, label_shares

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, INK, SOFT = "#0072B2", "#E69F00", "#009E73", "#2B2B2B", "#9A9A9A"
_STYLE: dict[Any, Any] = {
    "text.parse_math": False,
    "font.size": 9.5,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 9,
}


def write_pictures(
    folder: Path, title: str, found: ScheduleSummary, label_counts: Counts | None, rates: Vector
) -> list[Path]:
    """Write participation.png (all panels) and one file for each panel; return their paths.

    `label_counts` (n, C) and `rates` (n,) belong to the same clients (all, or a sample); without labels that panel is
    left out.
    """
    from matplotlib import rc_context

    labels = label_counts if label_counts is not None and label_counts.shape[1] > 1 else None
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    with rc_context(_STYLE):
        for name in ("participation", "presence", "cohorts", "gaps", "labels"):
            if name == "labels" and labels is None:
                continue
            figure = _overview(title, found, labels, rates) if name == "participation" else _figure(7.2, 3.9)
            if name == "presence":
                draw_presence(figure.add_subplot(), found)
            elif name == "cohorts":
                draw_cohorts(figure.add_subplot(), found)
            elif name == "gaps":
                draw_gaps(figure.add_subplot(), found)
            elif name == "labels" and labels is not None:
                draw_labels(figure.add_subplot(), labels, rates)
            path = folder / f"{name}.png"
            figure.savefig(path, dpi=150)
            written.append(path)
    return written


def _figure(width: float, height: float) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    figure.set_layout_engine("constrained", w_pad=0.14, h_pad=0.12)
    FigureCanvasAgg(figure)
    return figure


def _overview(title: str, found: ScheduleSummary, labels: Counts | None, rates: Vector) -> Figure:
    figure = _figure(12, 7.6)
    figure.suptitle(title, x=0.012, ha="left", fontsize=14, fontweight="bold")
    below = "gaps labels" if labels is not None else "gaps gaps"
    panels: list[Any] = [["presence", "cohorts"], below.split()]
    axes = figure.subplot_mosaic(panels, width_ratios=[1.1, 1.0])
    draw_presence(axes["presence"], found)
    draw_cohorts(axes["cohorts"], found)
    draw_gaps(axes["gaps"], found)
    if labels is not None:
        draw_labels(axes["labels"], labels, rates)
    return figure


def draw_presence(axes: Axes, found: ScheduleSummary) -> None:
    """Draw clients x rounds: dark where a client is there; in a large population, how many of a band are."""
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.ticker import MaxNLocator

    ramp = LinearSegmentedColormap.from_list("presence", ["#FFFFFF", "#CFE3F1", "#56A0D3", "#00508A", "#002B4F"])
    exact = found.presence.shape == (found.num_clients, found.rounds)
    top = 1.0 if exact else float(found.presence.max()) or 1.0
    extent = (0.5, found.rounds + 0.5, found.num_clients - 0.5, -0.5)
    image = axes.imshow(
        found.presence, aspect="auto", interpolation="nearest", cmap=ramp, vmin=0, vmax=top, extent=extent
    )
    axes.spines[:].set_visible(True)
    axes.set(xlabel="round", ylabel="client", title="Who is there")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    if not exact:
        bar = axes.figure.colorbar(image, ax=axes, pad=0.02, fraction=0.05)
        bar.outline.set_visible(False)
        axes.set_title(_cell(found), loc="right", fontsize=8.5, fontweight="normal", color="#6A6A6A")


def _cell(found: ScheduleSummary) -> str:
    clients, rounds = -(-found.num_clients // found.presence.shape[0]), -(-found.rounds // found.presence.shape[1])
    of_clients = f"{clients:,} clients" if clients > 1 else "1 client"
    of_rounds = f"{rounds:,} rounds" if rounds > 1 else "1 round"
    return f"a cell: share of {of_clients} x {of_rounds}"


def draw_cohorts(axes: Axes, found: ScheduleSummary) -> None:
    """Draw the cohort size over rounds, with what is expected and the empty rounds marked."""
    rounds = np.arange(1, found.rounds + 1)
    edges, low, high, middle = _thinned(found.sizes.astype(np.float64))
    if len(edges) < found.rounds:
        axes.fill_between(edges, low, high, color=BLUE, alpha=0.25, lw=0, label="smallest to largest")
        axes.plot(edges, middle, color=BLUE, lw=1.4, label="mean")
    else:
        axes.plot(rounds, found.sizes, color=BLUE, lw=1.2, marker="." if found.rounds <= 80 else "", label="cohort")
    if found.probabilities is not None:
        axes.axhline(float(found.probabilities.sum()), color=ORANGE, lw=1.6, ls="--", label="expected")
    empty = rounds[found.sizes == 0]
    if empty.size:
        marks = axes.plot(empty, np.zeros(empty.size), ls="", marker="v", ms=6, color=INK, zorder=5)
        marks[0].set(clip_on=False, label=f"empty ({empty.size:,})")
    axes.set(xlabel="round", ylabel="clients", title="Cohort size", xlim=(1, max(found.rounds, 2)))
    axes.set_ylim(0, max(float(found.sizes.max()), 1.0) * 1.18)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.6g}")
    axes.grid(axis="y", color="#E8E8E8", lw=0.8)
    axes.set_axisbelow(True)
    axes.legend(loc="upper right", ncols=4, borderaxespad=0.1, handlelength=1.6, columnspacing=1.2)


def _thinned(values: Vector, places: int = 400) -> tuple[Vector, Vector, Vector, Vector]:
    """Return round, smallest, largest and mean of at most `places` stretches of rounds."""
    parts = np.array_split(np.arange(len(values)), min(places, len(values)))
    middle = [float(part.mean()) + 1 for part in parts]
    summed = [(values[part].min(), values[part].max(), values[part].mean()) for part in parts]
    low, high, mean = np.array(summed).T
    return np.array(middle), low, high, mean


def draw_gaps(axes: Axes, found: ScheduleSummary) -> None:
    """Draw how many rounds lie between two participations of a client."""
    from matplotlib.ticker import MaxNLocator

    axes.set(xlabel="rounds from a client's participation to its next", ylabel="share of gaps", title="Gaps")
    total = int(found.gaps.sum())
    if total == 0:
        axes.text(0.5, 0.5, "no client came twice", ha="center", va="center", transform=axes.transAxes, color=SOFT)
        axes.set(xticks=[], yticks=[])
        return
    longest = int(np.flatnonzero(found.gaps)[-1])
    shares = found.gaps[1 : longest + 1] / total
    width = max(1, -(-longest // 60))
    bars = np.add.reduceat(shares, np.arange(0, longest, width))
    starts = 1 + width * np.arange(len(bars))
    axes.bar(starts + (width - 1) / 2, bars, width=0.86 * width, color=GREEN)
    axes.set_xlim(0.5 - 0.2 * width, starts[-1] + width - 0.5 + 0.2 * width)
    if width > 1:
        axes.set_title(f"a bar: {width} rounds", loc="right", fontsize=8.5, fontweight="normal", color="#6A6A6A")
    mean = float((np.arange(1, longest + 1) * shares).sum())
    axes.axvline(mean, color=INK, lw=1.2, ls=":")
    right = mean < 0.7 * longest
    axes.annotate(
        f"mean {mean:.3g}",
        (mean, 0.96),
        xycoords=("data", "axes fraction"),
        xytext=(5 if right else -5, 0),
        textcoords="offset points",
        ha="left" if right else "right",
        va="top",
    )
    if longest > 12 and bars.max() > 30 * max(float(np.median(bars[bars > 0])), 1e-12):
        axes.set_yscale("log")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(axis="y", color="#E8E8E8", lw=0.8)
    axes.set_axisbelow(True)


def draw_labels(axes: Axes, label_counts: Counts, rates: Vector) -> None:
    """Draw each label's share of the data against its share among those who come, and the correlations with p_i."""
    there, seen = label_shares(rates, label_counts)
    related = correlations(rates, label_counts)
    shown = np.arange(len(there)) if len(there) <= 20 else np.sort(np.argsort(-np.abs(seen - there))[:20])
    places = np.arange(len(shown))
    axes.bar(places - 0.2, there[shown], 0.38, color="#BDBDBD", label="of all data")
    axes.bar(places + 0.2, seen[shown], 0.38, color=BLUE, label="of the data that comes")
    top = float(max(there[shown].max(), seen[shown].max()))
    for place, label in zip(places, shown, strict=True):
        value = related[label]
        text = "" if np.isnan(value) else f"{value:+.2f}".replace("-", "\N{MINUS SIGN}")
        height = max(there[label], seen[label]) + 0.02 * top
        axes.text(
            float(place), height, text, ha="center", va="bottom", fontsize=8.5 if len(shown) <= 12 else 7, color=INK
        )
    axes.set(xticks=places, xticklabels=[str(label) for label in shown], xlabel="label", ylabel="share")
    axes.set_ylim(0, 1.28 * top)
    some = "" if len(shown) == len(there) else f" ({len(shown)} of {len(there)} that differ most)"
    above = "p$_i$ is the same for all" if np.isnan(related).all() else "above: correlation with p$_i$"
    axes.set_title(f"Labels; {above}{some}")
    axes.legend(loc="upper right", ncols=2, borderaxespad=0.1)
    axes.grid(axis="y", color="#E8E8E8", lw=0.8)
    axes.set_axisbelow(True)
