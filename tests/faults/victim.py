"""A process that runs a scenario in children of its own and kills them where it is told: one import for many kills.

Reads from standard input {"scenario", "folder", "kills": [[point, round], ...]} and runs the scenario until it ends
by itself: the first child dies at the first point, the next one, which resumes, at the second, and so on. Prints how
each child ended.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fedsim.api import read
from fedsim.core import FedsimError
from fedsim.engine.experiment import build
from fedsim.engine.run.run import execute, resume


def killer(point: str, round: int) -> Callable[[str, int], None]:
    """Return an `at` that ends the process at a point of a round."""

    def at(here: str, now: int) -> None:
        if (here, now) == (point, round):
            os.kill(os.getpid(), signal.SIGKILL)

    return at


def attempt(scenario: dict[str, Any], folder: Path, kill: tuple[str, int] | None) -> int:
    """Start, or go on with, a run in a child; return its exit status (negative: the signal)."""
    child = os.fork()
    if child == 0:
        code = 70
        at = killer(*kill) if kill else lambda point, round: None
        try:
            if (folder / ".run.json").exists():
                resume(folder, at=at)
            else:
                execute(read(scenario, {}), out=folder, at=at)
            code = 0
        except FedsimError as error:
            sys.stderr.write(f"{error}\n")
            code = error.exit_code
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main() -> None:
    """Do what standard input says, job by job."""
    for line in sys.stdin:
        job = json.loads(line)
        build(read(job["scenario"], {}))  # what this imports, the children need not
        folder = Path(job["folder"])
        ends = [attempt(job["scenario"], folder, tuple(kill)) for kill in job["kills"]]
        ends.append(attempt(job["scenario"], folder, None))
        sys.stdout.write(json.dumps(ends) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
