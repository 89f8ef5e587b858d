"""summary.json: what a run came to, written once and whole."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from fedsim.core.errors import ScenarioError
from fedsim.core.system.files import atomic_write
from fedsim.metrics.event_json import plain
from fedsim.metrics.events import STATUSES
from fedsim.metrics.peak_rss import peak_rss_bytes

__all__ = ["REQUIRED", "SEAL", "altered", "peak_rss_bytes", "read_summary", "write_summary"]

REQUIRED = frozenset(
    {
        "status",
        "rounds",
        "seed",
        "scenario_hash",
        "schedule_hash",
        "params_sha256",
        "final",
        "timing",
        "peak_rss_bytes",
    }
)
"""What every summary holds at least."""
SEAL = "sealed"
"""The key of the sha256 over all other keys."""


def write_summary(path: str | Path, summary: Mapping[str, Any]) -> dict[str, Any]:
    """Write summary.json atomically, as strict JSON: numbers that are not finite become "nan", "inf", "-inf".

    Its last key is a seal over all others, by which `altered` sees whether a byte was changed; it is returned with it.
    Raises DiskError when the file cannot be written.
    """
    missing = REQUIRED - summary.keys()
    assert not missing, f"a summary needs {sorted(missing)}"
    assert summary["status"] in STATUSES, f"{summary['status']} is no status"
    content = _sealed(plain(summary))
    atomic_write(path, content)
    return {**summary, SEAL: json.loads(content)[SEAL]}


def read_summary(folder: str | Path) -> dict[str, Any]:
    """Return the content of a run folder's summary.json, empty when there is none yet.

    Raises
    ------
    ScenarioError : the file is damaged.
    """
    path = Path(folder) / "summary.json"
    if not os.path.lexists(path):
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise _damaged(path, f"cannot be read ({error})") from error
    if not isinstance(content, dict):
        raise _damaged(path, "is no table of keys and values")
    rounds, status = content.get("rounds", 0), content.get("status", "completed")
    if type(rounds) is not int or rounds < 0:
        raise _damaged(path, f"has {rounds!r} rounds")
    if status not in STATUSES:
        raise _damaged(path, f"has the status {status!r}")
    return content


def altered(path: Path) -> bool:
    """Return whether a summary with a seal is not byte for byte as it was written; one without tells nothing."""
    content = path.read_bytes()
    summary = json.loads(content)
    return SEAL in summary and _sealed(summary) != content


def _sealed(summary: dict[str, Any]) -> bytes:
    rest = {key: value for key, value in summary.items() if key != SEAL}
    seal = sha256(json.dumps(rest, allow_nan=False).encode()).hexdigest()
    return (json.dumps({**rest, SEAL: seal}, indent=2) + "\n").encode()


def _damaged(path: Path, how: str) -> ScenarioError:
    advice = "remove it, and `fedsim resume` goes on from the last checkpoint"
    return ScenarioError(" ".join(f"{path}: {how}; it is damaged: {advice}".split()))
