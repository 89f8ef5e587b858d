"""What a card came to: a verdict on every claim, the numbers beside those of the paper, and what all of it rests on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from typing import Any

from fedsim.analysis.cards.card import Card
from fedsim.analysis.cards.claims import ROUNDS, Claim, Judged, judge, judge_rounds
from fedsim.analysis.comparison import Comparison
from fedsim.analysis.comparison_tables import difference_words, tables
from fedsim.analysis.tables import Table, with_interval


@dataclass(frozen=True)
class CardResult:
    """A card that was run.

    Attributes
    ----------
    name : the card's name. `quick`: it was its quick form. `changed`: what `--set` and `--seeds` changed.
    found : the comparison of its lines.
    data : sha256 of the data by seed; of a line with data of its own, by its label and the seed.
    hours : hours that the machine spent on these runs, and on how many cores.
    """

    name: str
    card: Card
    found: Comparison
    quick: bool
    changed: tuple[str, ...]
    data: Mapping[str, str]
    hours: float
    cores: int

    @cached_property
    def judged(self) -> tuple[Judged, ...]:
        """The verdict on every claim."""
        return tuple(map(self._judged, self.card.claims))

    def _judged(self, claim: Claim) -> Judged:
        other = claim.other
        if claim.metric == ROUNDS:
            return judge_rounds(claim, self.found.reached[claim.of], self.found.reached[str(other)])
        return judge(claim, self._values(claim.metric, claim.of), self._against(claim))

    def _against(self, claim: Claim) -> list[float] | None:
        return self._values(claim.metric, claim.other) if isinstance(claim.other, str) else None

    def _values(self, metric: str, label: str) -> list[float]:
        measure = next((one for one in self.found.measures if metric in (one.name, one.metric)), None)
        return [float("nan")] * len(self.found.seeds) if measure is None else self.found.values(measure, label)

    @property
    def claims(self) -> Table:
        """The claims with their verdicts."""
        rows = tuple(
            (
                one.claim.says,
                one.words,
                difference_words(one.found) if isfinite(one.found.mean) else "–",
                str(one.found.count),
                str(one.claim) + (f" ({one.note})" if one.note else ""),
            )
            for one in self.judged
        )
        return Table("Claims", ("claim", "verdict", "difference [95 %]", "seeds", "checked"), rows)

    @property
    def published(self) -> Table | None:
        """What the paper prints beside what was found; None where no number of it was read."""
        rows = []
        for one in self.card.published:
            measure = next((m for m in self.found.measures if one.metric in (m.name, m.metric)), None)
            ours = "–" if measure is None else with_interval(self.found.summaries[measure.name][one.of].interval)
            theirs = f"{one.value:g}" + (f" ± {one.spread:g}" if one.spread is not None else "")
            rows.append((one.of, one.metric, theirs, ours, one.where))
        header = ("", "metric", "paper", "here (mean ± 95 %)", "where")
        return Table("Beside published numbers", header, tuple(rows)) if rows else None

    @property
    def runs(self) -> Table:
        """Which runs these are, and what their bits depend on."""
        rows = []
        for entry in self.found.entries:
            about = entry.outcome.summary
            hashes = (str(about.get(key) or "")[:16] for key in ("scenario_hash", "schedule_hash", "params_sha256"))
            data = self.data.get(f"{entry.label} {entry.seed}", self.data.get(str(entry.seed), ""))
            rows.append((entry.label, str(entry.seed), entry.outcome.status, *hashes, data[:16]))
        header = ("", "seed", "state", "scenario hash", "schedule hash", "parameters (sha256)", "data (sha256)")
        return Table("Runs", header, tuple(rows))

    @property
    def about(self) -> Table:
        """Source, and what is ours."""
        source, hours = self.card.source, self.card.hours
        expected = hours.quick if self.quick else hours.full
        rows = [("paper", source.paper), ("code", source.code), ("commit read", source.commit)]
        rows += [("ours", text) for text in self.card.ours]
        rows += [("form", "quick" if self.quick else "full"), *(("changed", text) for text in self.changed)]
        rows += [("seeds", ", ".join(map(str, self.found.seeds)))]
        rows += [("hours", f"{self.hours:.2g} on {self.cores} cores ({expected:g} expected on two)")]
        return Table(self.card.title, ("", ""), tuple(rows))

    @property
    def tables(self) -> list[Table]:
        """Every table: the claims first, then published numbers and what was measured."""
        return [self.claims, *self._measured.values()]

    @cached_property
    def _measured(self) -> dict[str, Table]:
        """Published numbers, and the tables of the comparison by their metrics."""
        names = [*(measure.name for measure in self.found.measures), ROUNDS]
        published = {} if self.published is None else {"published": self.published}
        return published | dict(zip(names, tables(self.found), strict=False))

    def as_json(self) -> dict[str, Any]:
        """Return everything that was found: verdicts, tables, values of each run, hashes."""
        found = self.found.as_json()
        for strategy in found["strategies"]:
            for run in strategy["runs"]:
                run["folder"] = run["folder"].rpartition("/")[2]
                run["error"] = run["error"].replace(str(self.found.folder), ".")
        return {
            "card": self.name,
            "title": self.card.title,
            "form": "quick" if self.quick else "full",
            "changed": self.changed,
            "source": vars(self.card.source),
            "ours": self.card.ours,
            "claims": [one.as_json() for one in self.judged],
            "hours": {"expected": vars(self.card.hours), "spent": round(self.hours, 4), "cores": self.cores},
            "data": dict(self.data),
            "schedules": self._schedules(),
            "tables": [{"metric": metric, **vars(table)} for metric, table in self._measured.items()],
            "comparison": found,
        }

    def _schedules(self) -> dict[str, str]:
        """Return the hash of the schedule by seed; of a line with absences of its own, by its label and the seed."""
        found: dict[str, str] = {}
        for entry in self.found.entries:
            key = f"{entry.label} {entry.seed}" if entry.label in self.found.marks else str(entry.seed)
            found.setdefault(key, str(entry.outcome.summary.get("schedule_hash") or ""))
        return found
