"""A report of runs: what was set up, curves with bands, a table with paired tests, who took part, and provenance.

One file, HTML or PNG, with everything inside: it can be attached to a paper and opened without a network. PDF and SVG
hold its curves and differences as a figure of the paper itself.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from fedsim.analysis.attendance import blocks
from fedsim.analysis.bands import Band, band
from fedsim.analysis.figures import Forest, Panel, draw, page
from fedsim.analysis.grouping import NOT_COMPARED, About, RunGroup, flat, groups
from fedsim.analysis.paired import Difference, holm, paired_difference, t_interval
from fedsim.analysis.paper_figure import figure
from fedsim.analysis.tables import Table, number, with_interval
from fedsim.core import ScenarioError
from fedsim.core.system.terminal import visible
from fedsim.metrics.registry import bounds, higher_is_better, of_tasks
from fedsim.store.database import RunRow, Store
from fedsim.store.queries import Pair, Series, names, series

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MEASURES = (
    ("test_accuracy", "test accuracy"),
    ("node_accuracy_mean", "test accuracy, mean over nodes"),
    ("distance", "distance to the optimum"),
    ("test_loss", "test loss"),
    ("node_loss_mean", "test loss, mean over nodes"),
    ("consensus_distance", "consensus distance"),
    ("update_variance", "update variance over the cohort"),
    ("probe_variance.this", "variance of the applied update"),
    ("probe_bias2.this", "squared bias of the applied update"),
    ("objective_tv", "distance from the target objective"),
)
"""What a report shows, of what the runs measured; variances and biases are means over rounds, the rest last values."""

PER_ROUND = ("update_variance", "probe_variance.this", "probe_bias2.this")
NARROW, DPI = 10.8, 130
"""Inches of a picture of two panels, and dots per inch: those of `figures.draw`."""
PICTURED = 4
"""Groups whose participation is drawn, at most."""


@dataclass(frozen=True)
class Report:
    """Some runs of a store, grouped by what they have in common but for the seed; the first group is the baseline."""

    store: Store
    rows: tuple[RunRow, ...]
    title: str

    @cached_property
    def grouped(self) -> list[RunGroup]:
        """The groups, in the order in which the runs began."""
        ordered = sorted(self.rows, key=lambda row: row.started)
        return groups([About(row.run, row.name, row.strategy, row.seed, row.scenario) for row in ordered])

    @cached_property
    def _parts(self) -> dict[Pair, Series]:
        return series(self.store, {(row.run, metric): -1 for row in self.rows for metric, _ in self._known})

    @cached_property
    def _known(self) -> list[tuple[str, str]]:
        """What a report shows: after the accuracy the metrics of the runs' tasks."""
        told = of_tasks(name for row in self.rows for name in names(self.store, row.run))
        return [*MEASURES[:1], *((name, name.replace("_", " ")) for name in told), *MEASURES[1:]]

    def _of(self, group: RunGroup, metric: str) -> dict[int, Series]:
        """Return the series of a group's seeds."""
        found = {seed: self._parts.get((run, metric)) for seed, run in group.by_seed.items()}
        return {seed: one for seed, one in found.items() if one is not None}

    @cached_property
    def measured(self) -> list[tuple[str, str]]:
        """The measures that any run reports, with their titles."""
        there = {metric for _, metric in self._parts}
        return [(metric, title) for metric, title in self._known if metric in there]

    def values(self, metric: str) -> list[dict[int, float]]:
        """Return for each group what each seed came to."""

        def value(found: Series) -> float:
            rounds, measured = found
            kept = measured[rounds > 0] if metric in PER_ROUND else measured[-1:]
            return float(np.mean(kept)) if len(kept) else float("nan")

        return [{seed: value(one) for seed, one in self._of(group, metric).items()} for group in self.grouped]

    def differences(self, metric: str) -> dict[str, Difference]:
        """Return the paired difference of each group but the first to the first, by label."""
        values = self.values(metric)
        found = {}
        for group, ours in list(zip(self.grouped, values, strict=True))[1:]:
            seeds = sorted(ours.keys() & values[0].keys())
            found[group.label] = paired_difference([ours[s] for s in seeds], [values[0][s] for s in seeds])
        return found

    @cached_property
    def panels(self) -> list[Panel | Forest]:
        """The curves of every measure, and the differences of the first after its curves."""
        made: list[Panel | Forest] = []
        for metric, title in self.measured:
            curves: dict[str, Band] = {}
            for group in self.grouped:
                curve = band(list(self._of(group, metric).values()), places=400).within(*bounds(metric))
                if len(curve.rounds):
                    curves[group.label] = curve
            if curves:
                made.append(Panel(title, curves, metric, log=not higher_is_better(metric)))
        if self.measured:
            metric, title = self.measured[0]
            rows = {label: found for label, found in self.differences(metric).items() if found.count}
            if rows:
                made.insert(min(2, len(made)), Forest(f"{title}: paired difference to {self.grouped[0].label}", rows))
        return made

    @cached_property
    def setup(self) -> Table:
        """What was set up: every value that differs between groups, and what all have in common."""
        leaves = [flat(next(row.scenario for row in self.rows if row.run == g.runs[0].run)) for g in self.grouped]
        keys = list(dict.fromkeys(key for one in leaves for key in one))
        shown = [key for key in keys if key.split(".")[0] not in NOT_COMPARED - {"engine", "evaluate"}]
        kept = [key for key in shown if any(one.get(key, "null") != "null" for one in leaves)]
        kept.sort(key=lambda key: len({one.get(key) for one in leaves}) == 1)
        seeds = ("seeds", *(", ".join(map(str, sorted(group.by_seed))) for group in self.grouped))
        rows = [(key, *(_cut(one.get(key, "")) for one in leaves)) for key in kept[:60]]
        return Table("Set-up", ("", *(group.label for group in self.grouped)), (seeds, *rows))

    @cached_property
    def tables(self) -> list[Table]:
        """One table for each measure: mean and interval over seeds, paired difference to the first group, p-values."""
        made = []
        for metric, title in self.measured:
            values, differences = self.values(metric), self.differences(metric)
            adjusted = holm([found.p_value for found in differences.values()])
            rows = []
            for place, (group, ours) in enumerate(zip(self.grouped, values, strict=True)):
                found = differences.get(group.label)
                cells = ("baseline", "", "", "")
                if found is not None:
                    test = number(found.p_value, ".2g"), number(adjusted[place - 1], ".2g")
                    cells = (with_interval(found), str(found.count), *test)
                rows.append((group.label, with_interval(t_interval(list(ours.values()))), str(len(ours)), *cells))
            when = "mean over rounds" if metric in PER_ROUND else "last evaluation"
            better = "higher" if higher_is_better(metric) else "lower"
            header = ("", "mean ± 95 %", "seeds", f"difference to {self.grouped[0].label}", "pairs", "p", "p (Holm)")
            made.append(Table(f"{title} ({when}; {better} is better)", header, tuple(rows)))
        return made

    @cached_property
    def provenance(self) -> Table:
        """Which runs these are, and what their bits depend on."""
        rows = []
        for row in sorted(self.rows, key=lambda row: row.started):
            kept = [str(row.summary.get(key) or "")[:16] for key in ("schedule_hash", "params_sha256")]
            about = (row.name[:60], str(row.seed), f"{row.status}, {row.round}/{row.rounds}", row.scenario_hash[:16])
            rows.append((row.run, *about, *kept))
        header = ("run", "name", "seed", "state", "scenario hash", "schedule hash", "parameters (sha256)")
        return Table("Runs", header, tuple(rows))

    @cached_property
    def versions(self) -> Table:
        """The versions that were used, each with how many runs used it."""
        found: dict[tuple[str, str], int] = {}
        for row in self.rows:
            for item in row.versions.items():
                found[item] = found.get(item, 0) + 1
        return Table("Versions", ("", "version", "runs"), tuple((*item, str(n)) for item, n in found.items()))

    def participation(self, width: float = NARROW) -> bytes | None:
        """Return a PNG of who took part in the first seed of each group; one picture where all saw the same."""
        drawn: list[tuple[str, dict[str, Any]]] = []
        clients = {row.run: row.num_clients for row in self.rows}
        for group in self.grouped:
            run = group.by_seed[min(group.by_seed)]
            found = blocks(self.store, run, clients[run], first=1, last=10**9, rows=100, columns=240)
            if found["share"] and found not in [other for _, other in drawn]:
                drawn.append((group.label, found))
        if not drawn:
            return None
        alone = len(drawn) == 1
        return _attendance([("" if alone else label, found) for label, found in drawn[:PICTURED]], width)

    def html(self) -> str:
        """Return the report as one page, with plotly's script and all pictures inside."""
        picture = self.participation()
        image = ""
        if picture is not None:
            source = base64.b64encode(picture).decode("ascii")
            image = (
                f'<img alt="Who took part in which round" style="max-width:100%" src="data:image/png;base64,{source}">'
            )
        scenario = self.grouped[0].runs[0].scenario
        parts = [self.setup.as_html(), *(table.as_html() for table in self.tables), image]
        parts += [self.provenance.as_html(), self.versions.as_html()]
        parts.append(
            f"<details><summary>Resolved scenario of {escape(self.grouped[0].label)}, seed "
            f"{self.grouped[0].runs[0].seed}</summary><pre>{escape(scenario)}</pre></details>"
        )
        return page(self.title, self.panels, "\n".join(parts))

    def figure(self, kind: Literal["pdf", "svg"]) -> bytes:
        """Return the curves and differences as a vector figure, as wide as a column of a paper."""
        if not self.panels:
            raise ScenarioError("these runs measured nothing that a figure could show")
        return figure(visible(self.title), self.panels, kind)

    def png(self) -> bytes:
        """Return the report as one picture: curves, participation, tables, and which runs these are."""
        pictures = [draw(visible(self.title), self.panels)] if self.panels else []
        width = _width(pictures[0]) if pictures else NARROW
        picture = self.participation(width)
        right = [*self.tables, self.provenance] if width > NARROW else [self.provenance]
        left = [self.setup] if width > NARROW else [self.setup, *self.tables]
        return _stacked([*pictures, *([picture] if picture else []), _tabled(left, right, width)])


def report(store: Store, rows: Sequence[RunRow], title: str | None = None) -> Report:
    """Return the report of some runs; its title is the runs' common name, unless one is given."""
    if not rows:
        raise ScenarioError("a report needs runs, and none was given")
    names = list(dict.fromkeys(row.name for row in rows))
    return Report(store, tuple(rows), title or (names[0] if len(names) == 1 else f"{len(rows)} runs"))


def _cut(text: str, most: int = 48) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _figure(width: float, height: float) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    return figure


def _saved(figure: Figure) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=DPI)
    return file.getvalue()


def _attendance(drawn: Sequence[tuple[str, dict[str, Any]]], width: float) -> bytes:
    """Draw clients by rounds, dark where they took part."""
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.ticker import MaxNLocator

    ramp = LinearSegmentedColormap.from_list("presence", ["#F4F6F9", "#9CC7E4", "#00508A"])
    figure = _figure(width, 2.9 * len(drawn))
    figure.set_layout_engine("constrained", w_pad=0.13, h_pad=0.12)
    for place, (label, found) in enumerate(drawn):
        axes = figure.add_subplot(len(drawn), 1, place + 1)
        share = np.array(found["share"])
        extent = (found["rounds"][0] - 0.5, found["rounds"][-1] - 0.5, found["clients"][-1] - 0.5, -0.5)
        axes.imshow(share, aspect="auto", interpolation="nearest", cmap=ramp, vmin=0, extent=extent)
        axes.set_title(
            "Who took part" + (f": {label}" if label else ""),
            loc="left",
            fontsize=11,
            fontweight="bold",
            parse_math=False,
        )
        axes.set(xlabel="round", ylabel="client")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(integer=True))
    return _saved(figure)


def _tabled(left: Sequence[Table], right: Sequence[Table], width: float) -> bytes:
    """Draw tables as text, in two columns where there is room, else below each other."""
    longest = max((len(line) for line, title in _lines(left) if not title), default=0)
    beside = width > NARROW and 0.2 + LETTER * longest < SECOND * width
    columns = [_lines(left), _lines(right)] if beside else [_lines([*left, *right])]
    height = LINE * max(map(len, columns)) + 0.2
    figure = _figure(width, height)
    for column, lines in enumerate(columns):
        for place, (text, bold) in enumerate(lines):
            figure.text(
                (0.2 + SECOND * column * width) / width,
                1 - (0.15 + LINE * place) / height,
                text,
                parse_math=False,
                ha="left",
                va="top",
                fontsize=10.5 if bold else 7.8,
                fontweight="bold" if bold else "normal",
                family="sans-serif" if bold else "monospace",
            )
    return _saved(figure)


LINE, LETTER = 0.19, 0.066
"""Inches from one line of a table to the next, and of one of its letters."""
SECOND = 0.44
"""Where the second column begins, as a share of the width."""


def _lines(tables: Sequence[Table]) -> list[tuple[str, bool]]:
    """Return the lines of tables, each with whether it is a title."""
    found: list[tuple[str, bool]] = []
    for table in tables:
        title, *rest = table.as_text().splitlines()
        found += [(title, True), *((_cut(line, 140), False) for line in rest), ("", False)]
    return found


def _width(picture: bytes) -> float:
    """Return the inches that a picture is wide: the number stands in the PNG's header."""
    return int.from_bytes(picture[16:20], "big") / DPI


def _stacked(pictures: Sequence[bytes]) -> bytes:
    """Put pictures below each other, on white."""
    from matplotlib.image import imread, imsave

    images = [np.asarray(imread(io.BytesIO(picture)))[..., :3] for picture in pictures]
    width = max(image.shape[1] for image in images)
    filled = [np.pad(image, ((0, 0), (0, width - image.shape[1]), (0, 0)), constant_values=1.0) for image in images]
    file = io.BytesIO()
    imsave(file, np.concatenate(filled), format="png")
    return file.getvalue()
