"""The summary of a process in words and numbers: rows of a table, and plain facts for a file."""

from __future__ import annotations

from math import isnan
from typing import Any

import numpy as np

from fedsim.core.contracts import Vector
from fedsim.participation.schedules.statistics import Counts, ScheduleSummary, correlations


def facts(found: ScheduleSummary, label_counts: Counts | None = None, rates: Vector | None = None) -> dict[str, Any]:
    """Return what a summary says as plain numbers; None where it is unknown or undefined."""
    asked = found.probabilities
    realised = found.rates
    gap_places = np.flatnonzero(found.gaps)
    known: dict[str, Any] = {
        "clients": found.num_clients,
        "rounds": found.rounds,
        "cohort_expected": None if asked is None else float(asked.sum()),
        "cohort_mean": float(found.sizes.mean()),
        "cohort_min": int(found.sizes.min()),
        "cohort_max": int(found.sizes.max()),
        "empty_probability": found.empty_probability,
        "empty_rounds": int((found.sizes == 0).sum()),
        "p_asked": None if asked is None else _spread(asked),
        "p_realised": _spread(realised),
        "p_largest_difference": None if asked is None else float(np.abs(realised - asked).max()),
        "clients_never_seen": int((found.taken == 0).sum()),
        "age_mean": float(found.mean_age.mean()),
        "age_worst": int(found.worst_age.max()),
        "tau_avg": float(found.mean_age.mean()),
        "tau_max": int(found.worst_age.max()),
        "run_present_mean": _defined(found.mean_run_present),
        "run_away_mean": _defined(found.mean_run_away),
        "gap_mean": _defined(float((np.arange(found.rounds + 1) * found.gaps).sum() / max(found.gaps.sum(), 1)))
        if gap_places.size
        else None,
        "gap_median": _gap_quantile(found, 0.5),
        "gap_95": _gap_quantile(found, 0.95),
        "gap_max": int(gap_places[-1]) if gap_places.size else None,
    }
    if label_counts is not None and rates is not None and label_counts.shape[1] > 1:
        known["label_correlation"] = [_defined(float(value)) for value in correlations(rates, label_counts)]
    return known


def rows(known: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Return the facts as rows of (quantity, asked or expected, realised)."""
    rounds, clients = known["rounds"], known["clients"]
    table = [
        (
            "cohort size",
            _number(known["cohort_expected"]),
            f"{_number(known['cohort_mean'])} ({known['cohort_min']:,} to {known['cohort_max']:,})",
        ),
        ("empty rounds", _percent(known["empty_probability"]), f"{known['empty_rounds']:,} of {rounds:,}"),
        ("p_i, mean (range)", _range(known["p_asked"]), _range(known["p_realised"])),
        ("largest difference of a p_i", "", _number(known["p_largest_difference"])),
        ("clients never seen", "", f"{known['clients_never_seen']:,} of {clients:,}"),
        ("age, mean over clients", "", _number(known["age_mean"])),
        ("age, worst", "", f"{known['age_worst']:,}"),
        ("tau_max, tau_avg", "", f"{known['tau_max']:,}, {_number(known['tau_avg'])}"),
        ("rounds present in a row", "", _number(known["run_present_mean"])),
        ("rounds away in a row", "", _number(known["run_away_mean"])),
        (
            "gap between participations",
            "",
            "-"
            if known["gap_mean"] is None
            else f"{_number(known['gap_mean'])} (median {known['gap_median']:,}, longest {known['gap_max']:,})",
        ),
    ]
    related = [(abs(v), k, v) for k, v in enumerate(known.get("label_correlation", [])) if v is not None]
    if related:
        _, label, value = max(related)
        table.append(("p_i and label, strongest", "", f"correlation {value:+.2f} (label {label})"))
    return table


def gap_bins(found: ScheduleSummary) -> list[tuple[str, float]]:
    """Return the gap histogram in bins 1, 2, 3-4, 5-8, ...: (rounds, share of the gaps)."""
    total = int(found.gaps.sum())
    if total == 0:
        return []
    longest = int(np.flatnonzero(found.gaps)[-1])
    bins, first, last = [], 1, 1
    while first <= longest:
        name = f"{first}" if first == last else f"{first}-{last}"
        bins.append((name, float(found.gaps[first : last + 1].sum()) / total))
        first, last = last + 1, 2 * last
    return bins


def _spread(values: Vector) -> dict[str, float]:
    return {"mean": float(values.mean()), "min": float(values.min()), "max": float(values.max())}


def _defined(value: float) -> float | None:
    return None if isnan(value) else value


def _gap_quantile(found: ScheduleSummary, share: float) -> int | None:
    summed = np.cumsum(found.gaps)
    return int(np.searchsorted(summed, share * summed[-1])) if summed[-1] else None


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.3g} %"


def _range(spread: dict[str, float] | None) -> str:
    if spread is None:
        return "-"
    mean, low, high = (_number(spread[key]) for key in ("mean", "min", "max"))
    return mean if low == high else f"{mean} ({low} to {high})"
