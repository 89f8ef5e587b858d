"""What is said at the end of a run in which nobody took part: its model is the initial one."""

from __future__ import annotations

import csv
from pathlib import Path

from fedsim.scenario import Scenario, why_nobody

_LOST = {"num_late": "missed the deadline", "num_crashed": "failed", "num_lost": "had their message lost"}


def nobody_took_part(rows: Path, scenario: Scenario, num_clients: int) -> str | None:
    """Return the sentence for a run whose rounds.csv shows no client in any round, None when one took part."""
    rounds = 0
    lost = dict.fromkeys(_LOST, 0.0)
    with open(rows, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if float(row["cohort_size"]) > 0:
                return None
            rounds += 1
            for name in lost:
                lost[name] += float(row.get(name) or 0)
    if not rounds:
        return None
    found = why_nobody(scenario, num_clients)
    told = [f"{count:,.0f} invited clients {_LOST[name]}" for name, count in lost.items() if count]
    why = found[1] if found is not None else " and ".join(told) or "nobody was there"
    return f"nobody took part in any of {rounds:,} rounds; {why}"
