"""How far things travel through the house: files entered and calls made by one round, and by reading a scenario.

    python -m benchmarks.travel [--files]

Counted are the files of fedsim (strategies and clients included) that a second, equal piece of work enters, so that
imports and caches are left out: round 2 of a serial FedStale run, its recording included, and a second `load` of the
same scenario. `--files` lists them.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import yaml

import fedsim
from fedsim.scenario import from_dict, load

ROOMS = tuple(
    str(Path(place).resolve())
    for place in (
        Path(fedsim.__file__).parent,
        *(Path(fedsim.__file__).parent / room for room in ("strategies", "clients")),
    )
)
SCENARIO: dict[str, Any] = {
    "name": "travel",
    "rounds": 3,
    "data": {"dataset": "digits", "clients": 20, "partition": {"kind": "dirichlet", "alpha": 0.5}},
    "model": {"name": "mlp", "hidden": [16]},
    "client": {"local_steps": 2, "batch_size": 8},
    "participation": {"kind": "bernoulli", "probabilities": 0.5},
    "strategy": {"name": "fedstale", "beta": 0.5},
    "evaluate": {"every": 100},
}


class Travel:
    """Counts calls by file while it is on."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        """Note a call into one of the rooms; a comprehension is no call."""
        code = frame.f_code
        if event == "call" and code.co_name[0] != "<":
            place = str(Path(code.co_filename).resolve())
            if place.startswith(ROOMS):
                self.calls[place] += 1

    @contextmanager
    def on(self) -> Iterator[None]:
        """Count inside the block."""
        sys.setprofile(self)
        try:
            yield
        finally:
            sys.setprofile(None)


def of_a_round() -> Counter[str]:
    """Count the second round of a serial run, from choosing clients to recording."""
    from fedsim.engine.run.run import execute

    travel = Travel()

    def at(point: str, round: int) -> None:
        if (point, round) == ("choose", 2):
            sys.setprofile(travel)
        elif (point, round) == ("choose", 3):
            sys.setprofile(None)

    with tempfile.TemporaryDirectory() as folder:
        execute(from_dict(SCENARIO), out=Path(folder) / "run", at=at)
    return travel.calls


def of_reading(read: Callable[[], object]) -> Counter[str]:
    """Count a second reading of a scenario."""
    read()
    travel = Travel()
    with travel.on():
        read()
    return travel.calls


def measured() -> dict[str, Counter[str]]:
    """Return calls by file for a round, for a YAML file and for a mapping."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "s.yaml"
        path.write_text(yaml.safe_dump(SCENARIO))
        return {
            "one round of fedstale, serial": of_a_round(),
            "a YAML file to a scenario": of_reading(lambda: load(path)),
            "a mapping to a scenario": of_reading(lambda: from_dict(SCENARIO)),
        }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", action="store_true", help="list the files")
    options = parser.parse_args()
    for what, calls in measured().items():
        print(f"{what}: {len(calls)} files, {sum(calls.values())} calls")
        for place, count in calls.most_common() if options.files else ():
            print(f"{count:7} {place}")
