"""One contestant's turn, in a process of its own; `benchmarks.compare` calls it.

    python -m benchmarks.turn NAME --workload W1 --rounds 20 --data FILE --launched SECONDS

The last line of the output is JSON: seconds of each round, seconds from launch to the end of round 1, peak memory.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from benchmarks.contestants import CONTESTANTS
from benchmarks.workloads import WORKLOADS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=CONTESTANTS)
    parser.add_argument("--workload", choices=WORKLOADS, required=True)
    parser.add_argument("--rounds", type=int, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--launched", type=float, required=True)
    given = parser.parse_args()
    ends, peak = CONTESTANTS[given.name](WORKLOADS[given.workload], given.rounds, given.data)
    found = {"round_s": np.diff(ends).tolist(), "first_s": ends[0] - given.launched, "peak_rss_bytes": peak}
    sys.stdout.write("\n" + json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
