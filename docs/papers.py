"""Write the page of the papers' claims from kept results of cards.

python docs/papers.py                          the page anew, from docs/cards/*.json
python docs/papers.py runs/cards/NAME ...      keep these results first
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from shutil import copyfile
from typing import Any

from fedsim.analysis.cards.files import RESULT
from fedsim.analysis.paper_table import markdown
from fedsim.study.reproduce import read_about, shelf

FOLDER = Path(__file__).parent
KEPT = FOLDER / "cards"
PAGE = FOLDER / "papers.md"
INTRO = """\
# What the papers claim, and what was found

*Written by `python docs/papers.py` from the results kept in [docs/cards](https://github.com/fedsim-lab/fedsim/tree/main/docs/cards);
do not edit it by hand.*

A card is the set-up of a paper as a scenario, with its claims as checks. `fedsim reproduce --list` names the cards,

```sh
fedsim reproduce fedvarp-digits
fedsim reproduce fedvarp-digits --quick
```

runs one, and gives a verdict on every claim. A claim **holds** when the 95 % interval of the paired difference lies
wholly on the claimed side, **fails** when it lies wholly on the other, and is **undecided at this power** in between,
or with fewer than two seeds. Lines of a seed share its data split, first parameters and absences (but for what a line
names as its own), so that differences are paired within seeds; brackets are 95 % intervals (Student's t). Where a run
never reached the target no difference in rounds can be formed, and the log-rank test decides. Every claim is judged by
itself: of twenty claims that are neither true nor false one is decided by chance.

A card of your own is a scenario with a section `card:` ([its keys](scenario.md#card)), and is run by its path. Each
card says what differs from the paper. What a paper prints stands beside what was found only where it was read: so far
for none of these cards, whose papers' tables were not at hand.
"""


def keep(sources: Sequence[str]) -> None:
    """Copy results of cards, given by their folders, to where they are kept."""
    KEPT.mkdir(exist_ok=True)
    for source in sources:
        path = Path(source) / RESULT
        copyfile(path, KEPT / f"{json.loads(path.read_text())['card']}.json")


def page() -> str:
    """Return the page that the kept results give."""
    found = [json.loads(path.read_text()) for path in sorted(KEPT.glob("*.json"))]
    missing = [name for name in shelf() if name not in {one["card"] for one in found}]
    parts = [INTRO, _overview(found), *map(_card, found), _not_run(missing)]
    return "\n".join(part for part in parts if part)


def _overview(found: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        (
            f"[{one['card']}](#{one['card']})",
            markdown(claim["says"]),
            _verdict(claim),
            str(claim["seeds"] or "–"),
            one["form"],
        )
        for one in found
        for claim in one["claims"]
    ]
    return "## All claims\n\n" + _table(("card", "claim", "verdict", "seeds", "form"), rows)


def _verdict(claim: Mapping[str, Any]) -> str:
    return f"**{claim['verdict']}**" if claim["verdict"] != "undecided at this power" else "undecided at this power"


def _card(one: Mapping[str, Any]) -> str:
    return f"## {one['card']}\n\n" + "\n\n".join(part.rstrip("\n") for part in _parts(one)) + "\n"


def _parts(one: Mapping[str, Any]) -> Iterator[str]:
    source, hours = one["source"], one["hours"]
    quick = " --quick" if one["form"] == "quick" else ""
    options = "".join(f" --set {text}" for text in one["changed"] if not text.startswith("seeds "))
    yield f"{markdown(one['title'])}."
    yield f"    fedsim reproduce {one['card']}{quick}{options}"
    yield f"Paper: {markdown(source['paper'])}. Code: {markdown(source['code'])}; commit read: {source['commit']}."
    if one["ours"]:
        yield "Ours:\n\n" + "\n".join(f"- {markdown(text)}" for text in one["ours"])
    seeds = one["comparison"]["seeds"]
    expected = hours["expected"]
    yield (
        f"The {one['form']} form, seeds {', '.join(map(str, seeds))}: {hours['spent']:.2g} hours on {hours['cores']} "
        f"cores (expected on two: full {expected['full']:g}, quick {expected['quick']:g}). All that was found, with "
        f"hashes of data and schedules: [{one['card']}.json](cards/{one['card']}.json)."
    )
    rows = [(markdown(c["says"]), _verdict(c), _difference(c), markdown(_checked(c))) for c in one["claims"]]
    yield _table(("claim", "verdict", "difference", "checked"), rows)
    wanted = {claim["metric"] for claim in one["claims"]} | {"published"}
    for table in one["tables"]:
        if table["metric"] in wanted:
            header = tuple(markdown(cell) for cell in table["header"])
            body = [tuple(markdown(cell) for cell in row) for row in table["rows"]]
            yield f"**{markdown(table['title'])}**\n\n" + _table(header, body, numbers=True)


def _difference(claim: Mapping[str, Any]) -> str:
    found = claim["difference"]
    if not isinstance(found["mean"], float | int):
        return "–"
    if not isinstance(found["low"], float | int):
        return f"{found['mean']:+.3g}"
    return f"{found['mean']:+.3g} [{found['low']:+.3g}, {found['high']:+.3g}]"


def _checked(claim: Mapping[str, Any]) -> str:
    return claim["checked"] + (f" ({claim['note']})" if claim["note"] else "")


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: bool = False) -> str:
    rule = [":--", *(["--:" if numbers else ":--"] * (len(header) - 1))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, rule, *rows)) + "\n"


def _not_run(names: Sequence[str]) -> str:
    if not names:
        return ""
    rows = []
    for name in names:
        card, dataset = read_about(shelf()[name])
        assert card is not None, f"{name}: a card of ours is sound"
        bring = " (bring the files)" if card.files else ""
        cells = (f"`fedsim reproduce {name}`", markdown(card.title), f"{dataset}{bring}")
        rows.append((*cells, f"{card.hours.full:g}", f"{60 * card.hours.quick:.2g}"))
    header = ("command", "", "data", "hours", "quick, minutes")
    return "## Not run yet\n\nHours of machine are expected ones, on two cores.\n\n" + _table(header, rows)


if __name__ == "__main__":
    keep(sys.argv[1:])
    PAGE.write_text(page())
