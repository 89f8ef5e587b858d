"""`python -m fedsim`, and what the command `fedsim` calls: the command line, whatever moment Ctrl-C chooses."""

from __future__ import annotations

import signal
import sys


def main() -> int:
    """Run the command line; loading it takes long enough to be interrupted, too."""
    try:
        from fedsim.cli import main as command_line

        code = command_line()
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        code = 130
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # nothing is left that could be interrupted
    return code


if __name__ == "__main__":
    sys.exit(main())
