"""Measure how long the command line takes to answer: the promise is 1.5 seconds for what trains nothing.

python benchmarks/startup.py
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from pathlib import Path
from time import perf_counter

REPEATS = 7
PROMISE_S = 1.5
QUICKSTART = str(Path(__file__).parent.parent / "scenarios" / "quickstart.yaml")
COMMANDS = (["--help"], ["run", "--help"], ["list"], ["schema"], ["validate", QUICKSTART])


def seconds(arguments: list[str]) -> float:
    """Return the wall time of one command, from its start to its end."""
    began = perf_counter()
    subprocess.run([sys.executable, "-m", "fedsim", *arguments], check=True, stdout=subprocess.DEVNULL)
    return perf_counter() - began


def main() -> int:
    """Print the median and the worst of each command; return 1 when a median breaks the promise."""
    worst = 0.0
    for arguments in COMMANDS:
        taken = [seconds(arguments) for _ in range(REPEATS)]
        worst = max(worst, statistics.median(taken))
        shown = " ".join(Path(word).name for word in arguments)
        print(f"fedsim {shown:<24} median {statistics.median(taken):.2f} s   worst {max(taken):.2f} s")
    print(f"{'kept' if worst < PROMISE_S else 'BROKEN'}: under {PROMISE_S} s")
    return int(worst >= PROMISE_S)


if __name__ == "__main__":
    sys.exit(main())
