"""Processes fitted to recorded presence, rounds x clients: closed forms where they exist, and their errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import gcd, hypot, sqrt
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fedsim.core import Process, ScenarioError, World
from fedsim.core.contracts import Vector
from fedsim.participation.config import Participation
from fedsim.participation.modulations.sine import Sine
from fedsim.participation.processes.bernoulli import Bernoulli
from fedsim.participation.processes.cyclic import Cyclic
from fedsim.participation.processes.markov import Markov
from fedsim.participation.processes.schedule import SavedProcess
from fedsim.participation.processes.trace import Trace
from fedsim.participation.schedules.file import read_schedule
from fedsim.participation.table import read_table

Presence = npt.NDArray[np.bool_]
MOST_ROUNDS, LONGEST, LOOKED_AT = 100_000, 500, 200
"""Rounds of a trace that are read, the longest period that is tried, the clients whose stretches are looked at."""


@dataclass(frozen=True)
class Fitted:
    """A process with fitted numbers.

    Attributes
    ----------
    config : the process. yaml : its block under `participation:`. errors : standard error or misfit, by what it is of.
    """

    config: Participation
    yaml: str
    errors: Mapping[str, float]


def markov(there: Presence) -> Fitted:
    """Fit one two-state chain to all clients, by maximum likelihood given the first round.

    A = came / (came + stayed away) and D = left / (left + stayed), as counted, p = A / (A + D); standard errors are
    sqrt(A (1 - A) / n), and p's by the delta method.
    """
    now, after = there[:-1], there[1:]
    away, present = int((~now).sum()), int(now.sum())
    came, left = int((~now & after).sum()), int((now & ~after).sum())
    if not came or not left:
        raise ScenarioError("--kind markov: nobody ever came back or went away in this trace; there is no chain to fit")
    rise, fall = came / away, left / present
    p = rise / (rise + fall)
    rise_error, fall_error = sqrt(rise * (1 - rise) / away), sqrt(fall * (1 - fall) / present)
    p_error = hypot(fall * rise_error, rise * fall_error) / (rise + fall) ** 2
    config = Markov(probabilities=p, activation=rise)
    yaml = f"{{kind: markov, probabilities: {p:.6g}, activation: {rise:.6g}}}"
    return Fitted(config, yaml, {"p": p_error, "activation": rise_error})


def cyclic(there: Presence) -> Fitted:
    """Fit periodic stretches by least squares: the period with the fewest client-rounds that do not fit.

    For each period L clients have the realised share on / L, and each the best place of its stretch. The error is the
    share of client-rounds that differ, and the smallest period within a thousandth of the best one is taken.
    """
    rounds = len(there)
    periods = np.arange(2, min(rounds // 2, LONGEST) + 1)
    if not periods.size:
        raise ScenarioError(f"--kind cyclic: {rounds} rounds are too few to see a period twice")
    sample = there[:, np.unique(np.linspace(0, there.shape[1] - 1, LOOKED_AT).astype(int))]
    found = [_misfit(sample, int(period)) for period in periods]
    misfits = np.array([misfit for misfit, _ in found])
    place = int(np.argmax(misfits <= misfits.min() + 1e-3))
    period, on = int(periods[place]), found[place][1]
    config = Cyclic(probabilities=on / period, period=period)
    yaml = f"{{kind: cyclic, probabilities: {on / period:.6g}, period: {period}}}"
    return Fitted(config, yaml, {"share of client-rounds that differ": float(misfits[place])})


def _misfit(there: Presence, period: int) -> tuple[float, int]:
    """Return the share of client-rounds that the best stretches of a period miss, and their length."""
    rounds, clients = there.shape
    on = min(max(1, round(period * float(there.mean()))), period)
    folded = np.zeros((period, clients))
    for first in range(0, rounds, period):
        part = there[first : first + period]
        folded[: len(part)] += part
    times = np.bincount(np.arange(rounds) % period, minlength=period)
    gain = 2 * folded - times[:, None]  # what one more round of presence at a place explains
    summed = np.concatenate([np.zeros((1, clients)), np.cumsum(np.concatenate([gain, gain[:on]]), axis=0)])
    best = (summed[on : on + period] - summed[:period]).max(axis=0)
    return float((there.sum() - best.sum()) / (rounds * clients)), on


def sine(there: Presence) -> Fitted:
    """Fit p (a sin(2 pi t / P) + 1 - a) to the shares present, by least squares: linear in p a and p (1 - a) given P.

    P is the period with the smallest sum of squares. Standard errors are those of the linear fit.
    """
    share = there.mean(axis=1)
    periods = np.arange(3, min(len(share) // 2, LONGEST) + 1)
    if not periods.size:
        raise ScenarioError(f"--kind sine: {len(share)} rounds are too few to see a period twice")
    fits = [_line(share, int(period)) for period in periods]
    place = int(np.argmin([squares for squares, _, _ in fits]))
    (swing, level), errors = fits[place][1], fits[place][2]
    if swing <= 0:
        raise ScenarioError("--kind sine: presence does not rise from round 1 on as the sine does; cut the trace there")
    p, amplitude = min(swing + level, 1.0), min(swing / (swing + level), 0.5)
    period = int(periods[place])
    config = Bernoulli(probabilities=p, modulate=Sine(period=period, amplitude=amplitude))
    inner = f"{{kind: sine, period: {period}, amplitude: {amplitude:.6g}}}"
    yaml = f"{{kind: bernoulli, probabilities: {p:.6g}, modulate: {inner}}}"
    told = {"p": hypot(*errors), "amplitude": hypot(level * errors[0], swing * errors[1]) / (swing + level) ** 2}
    return Fitted(config, yaml, told)


def _line(share: Vector, period: int) -> tuple[float, tuple[float, float], tuple[float, float]]:
    """Return the sum of squares, (p a, p (1 - a)) and their standard errors."""
    t = np.arange(1, len(share) + 1)
    columns = np.stack([np.sin(2 * np.pi * t / period), np.ones(len(t))], axis=1)
    square = columns.T @ columns
    found = np.linalg.solve(square, columns.T @ share)
    squares = float(((share - columns @ found) ** 2).sum())
    errors = np.sqrt(np.diag(np.linalg.inv(square)) * squares / max(len(t) - 2, 1))
    return squares, (float(found[0]), float(found[1])), (float(errors[0]), float(errors[1]))


KINDS: Mapping[str, Callable[[Presence], Fitted]] = {"markov": markov, "cyclic": cyclic, "sine": sine}


def presence(process: Process, rounds: int) -> Presence:
    """Return who is there in rounds 1..`rounds`, (rounds, N)."""
    there = np.zeros((rounds, process.num_clients), bool)
    for round in range(1, rounds + 1):
        there[round - 1, process.cohort(round)] = True
    return there


def recorded(path: Path, round_s: float | None = None) -> tuple[Presence, str]:
    """Return the presence in a trace, (rounds, N), and in words how it was read.

    A trace is a CSV of client,start_s,end_s, or a schedule file of `fedsim schedule`. Without `round_s` a round is the
    largest whole number of seconds that divides all times, or a thousandth of the trace where there is none.
    """
    if path.suffix.lower() == ".npz":
        saved = read_schedule(path)
        return presence(SavedProcess(saved), saved.rounds), f"{saved.rounds:,} rounds of a schedule"
    table = read_table(path, ("client", "start_s", "end_s"))
    table.refuse([])
    clients = max(int(table.columns["client"].max()) + 1, 1)
    Trace(file=str(path.absolute()), round_s=1.0).process(World(0, clients))  # tells every line that is wrong
    times: Any = np.concatenate([table.columns["start_s"], table.columns["end_s"]])
    length = float(table.columns["end_s"].max())
    if round_s is None:
        step = gcd(*times.astype(np.int64).tolist()) if (times == np.floor(times)).all() else 0
        round_s = float(step) if step and length / step <= MOST_ROUNDS / 10 else length / 1000
    rounds = int(length / round_s)
    if not 4 <= rounds <= MOST_ROUNDS:
        text = f"the trace of {length:g} s has {rounds:,} rounds of {round_s:g} s; 4 to {MOST_ROUNDS:,} can be fitted"
        raise ScenarioError(f"--round-s: {text}")
    config = Trace(file=str(path.absolute()), round_s=round_s)
    return presence(config.process(World(0, clients)), rounds), f"{rounds:,} rounds of {round_s:g} s"


def fitted(kind: str, there: Presence) -> Fitted:
    """Fit a process of a kind; raises ScenarioError for a kind that cannot be fitted, and where there is nothing to."""
    if kind not in KINDS:
        raise ScenarioError(f"--kind: must be one of {', '.join(KINDS)}, got {kind!r}")
    return KINDS[kind](there)


def draw(path: Path, title: str, there: Presence, found: Fitted, seed: int = 0) -> None:
    """Write a picture of the trace beside a run of the fitted process: who is there, and how many."""
    from io import BytesIO

    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from fedsim.core.system.files import atomic_write
    from fedsim.participation.schedules.pictures import BLUE, ORANGE

    rounds, clients = there.shape
    again = presence(found.config.process(World(seed, clients)), rounds)
    figure = Figure(figsize=(12, 6.5), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, parse_math=False)
    axes = figure.subplot_mosaic([["trace", "fit"], ["sizes", "sizes"]])
    for name, shown, color in (("trace", there, BLUE), ("fit", again, ORANGE)):
        axes[name].imshow(shown.T, aspect="auto", interpolation="nearest", cmap="Greys", vmin=0, vmax=1.4)
        axes[name].set(title=name, xlabel="round", ylabel="client")
        axes["sizes"].plot(np.arange(1, rounds + 1), shown.sum(axis=1), color=color, label=name, linewidth=1)
    axes["sizes"].set(xlabel="round", ylabel="clients present")
    axes["sizes"].legend(frameon=False)
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    atomic_write(path, buffer.getvalue())
