"""A profile as a picture: what the driver and each host do in the course of a round, as bars along time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fedsim.study.profile import PHASES, Profile, RoundProfile

_COLOURS = dict(
    zip(
        PHASES,
        ("#0072B2", "#009E73", "#56B4E9", "#E69F00", "#D55E00", "#CC79A7", "#F0E442", "#7A5195", "#ECECEC"),
        strict=True,
    )
)
"""After Okabe and Ito (2008): apart for colour-blind readers; waiting is pale."""
_ORDER = {
    "driver": ("choose", "ship", "idle", "step", "record", "evaluate", "save"),
    "this process": ("choose", "ship", "train", "reduce", "step", "record", "evaluate", "save"),
}
_HOST = ("train", "reduce", "idle")

Bar = tuple[str, float, float]
"""Phase, begin, length, in seconds from the beginning of the round."""


def bars(one: RoundProfile) -> dict[str, list[Bar]]:
    """Lay out a round along time: for each actor its phases one after the other.

    Inside a host, training and the rest alternate lane by lane; they are drawn as two blocks. What shipping takes is
    drawn before the hosts begin.
    """
    driver = one.phases.get("driver", {})
    begin = driver.get("choose", 0.0) + driver.get("ship", 0.0)
    laid: dict[str, list[Bar]] = {}
    for actor, phases in one.phases.items():
        at = 0.0 if actor in _ORDER else begin
        found: list[Bar] = [] if actor in _ORDER else [("idle", 0.0, begin)]
        for phase in _ORDER.get(actor, _HOST):
            length = phases.get(phase, 0.0)
            if actor not in _ORDER and phase == "idle":
                length = max(0.0, one.wall_s - at)
            found.append((phase, at, length))
            at += length
        laid[actor] = [bar for bar in found if bar[2] > 0]
    return laid


def draw(profile: Profile, path: Path) -> None:
    """Draw the round of median length into a PNG file."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    one = profile.typical
    laid = bars(one)
    scale, unit = (1e3, "ms") if one.wall_s < 1 else (1.0, "s")
    figure = Figure(figsize=(9, 1.9 + 0.55 * len(laid)), layout="constrained")
    axes: Any = figure.add_subplot()
    for row, (actor, found) in enumerate(laid.items()):
        for phase, at, length in found:
            axes.barh(row, scale * length, left=scale * at, height=0.7, color=_COLOURS[phase], linewidth=0)
            if length > 0.08 * one.wall_s and phase != "idle":
                axes.text(scale * (at + length / 2), row, phase, ha="center", va="center", fontsize=8)
        axes.text(-0.01, row, actor, ha="right", va="center", fontsize=9, transform=axes.get_yaxis_transform())
    axes.set_yticks([])
    axes.set_xlim(0, scale * one.wall_s)
    axes.set_ylim(len(laid) - 0.5, -0.5)
    axes.set_xlabel(f"{unit} since round {one.round} began")
    axes.set_title(
        f"{profile.name}: a round of {scale * one.wall_s:.3g} {unit}",
        loc="left",
        fontsize=11,
        weight="bold",
        parse_math=False,
    )
    axes.spines[["top", "right", "left"]].set_visible(False)
    shown = [phase for phase in PHASES if any(bar[0] == phase for found in laid.values() for bar in found)]
    handles = [Patch(color=_COLOURS[phase], label=phase) for phase in shown]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False, fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
