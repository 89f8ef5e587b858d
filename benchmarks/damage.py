"""Damage the files of a finished run, one at a time, and see whether `fedsim verify` says so.

    python benchmarks/damage.py [--damages 500] [--seed 0] [--whole 20]

Prints one row per kind of damage: how often, told (exit 1), silent (exit 0), other exits, tracebacks. Every damage is
held against the seals; `--whole` of them go through the whole command, which also trains again.
"""

from __future__ import annotations

import argparse
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import fedsim
from fedsim.cli import main as command
from fedsim.engine.run.seals import broken

SCENARIO = {
    "name": "damage",
    "seed": 4,
    "rounds": 4,
    "data": {"dataset": "quadratic", "centers": [[1.0, 0.0], [0.0, 1.0], [3.0, 2.0]]},
    "model": {"name": "point", "init": [0.0, 0.0]},
    "client": {"local_steps": 1, "lr": 0.1},
    "strategy": {"name": "fedavg"},
    "evaluate": {"every": 2},
    "checkpoint": {"every": 2, "keep": 2},
}


def flip(content: bytes, random: random.Random) -> bytes:
    """Return the content with one bit turned over."""
    place = random.randrange(len(content))
    return content[:place] + bytes([content[place] ^ (1 << random.randrange(8))]) + content[place + 1 :]


def cut(content: bytes, random: random.Random) -> bytes:
    """Return a beginning of the content."""
    return content[: random.randrange(len(content))]


def drop(content: bytes, random: random.Random) -> bytes:
    """Return the content without one byte."""
    place = random.randrange(len(content))
    return content[:place] + content[place + 1 :]


def append(content: bytes, random: random.Random) -> bytes:
    """Return the content and some bytes more."""
    return content + random.randbytes(random.randrange(1, 40))


def garbage(content: bytes, random: random.Random) -> bytes:
    """Return as many bytes that mean nothing."""
    return random.randbytes(len(content))


def remove(content: bytes, random: random.Random) -> None:
    """Return nothing: the file goes."""


KINDS: tuple[Callable[[bytes, random.Random], bytes | None], ...] = (flip, cut, drop, append, garbage, remove)


def damaged(folder: Path, place: Path, random: random.Random) -> tuple[Path, str, str]:
    """Copy a run and damage one file of the copy; return the copy, the kind and the file."""
    copy = Path(shutil.copytree(folder, place / "run", dirs_exist_ok=False))
    file = random.choice(sorted(path for path in copy.rglob("*") if path.is_file()))
    kind = random.choice(KINDS)
    before = file.read_bytes()
    content = kind(before, random)
    while content == before:
        content = kind(before, random)
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content)
    return copy, kind.__name__, file.relative_to(copy).as_posix()


def main() -> None:
    """Damage, look, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--damages", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--whole", type=int, default=20)
    options = parser.parse_args()
    source = random.Random(options.seed)
    table: dict[str, Counter[str]] = {}
    with tempfile.TemporaryDirectory(prefix="fedsim-damage-") as name:
        run = fedsim.run(SCENARIO, out=Path(name) / "whole")
        assert command(["verify", str(run.folder)]) == 0
        for number in range(options.damages):
            place = Path(name) / f"{number}"
            copy, kind, file = damaged(run.folder, place, source)
            row = table.setdefault(kind, Counter())
            try:
                told = bool(broken(copy))
                code = command(["verify", str(copy)]) if number < options.whole else int(told)
                row[{0: "silent", 1: "told"}.get(code, f"exit {code}")] += 1
                if code != 1 or not told:
                    print(f"{kind} of {file}: exit {code}")
            except Exception as error:  # what is counted here is that there is none
                row["traceback"] += 1
                print(f"{kind} of {file}: {type(error).__name__}: {error}")
            shutil.rmtree(place)
    columns = ("told", "silent", "traceback", "exit 2", "exit 7")
    print(f"{'damage':10}" + "".join(f"{column:>11}" for column in columns))
    for kind, row in sorted(table.items()):
        print(f"{kind:10}" + "".join(f"{row[column]:11}" for column in columns))


if __name__ == "__main__":
    main()
