"""summary.json: what a run came to, written once and whole."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fedsim.core.files import atomic_write
from fedsim.metrics.codec import plain
from fedsim.metrics.events import STATUSES
from fedsim.metrics.peak_rss import peak_rss_bytes

__all__ = ["REQUIRED", "peak_rss_bytes", "read_summary", "write_summary"]

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


def write_summary(path: str | Path, summary: Mapping[str, Any]) -> None:
    """Write summary.json atomically, as strict JSON: numbers that are not finite become "nan", "inf", "-inf".

    Raises DiskError when the file cannot be written.
    """
    missing = REQUIRED - summary.keys()
    assert not missing, f"a summary needs {sorted(missing)}"
    assert summary["status"] in STATUSES, f"{summary['status']} is no status"
    atomic_write(path, (json.dumps(plain(summary), indent=2, allow_nan=False) + "\n").encode())


def read_summary(folder: str | Path) -> dict[str, Any]:
    """Return the content of a run folder's summary.json, empty when there is none yet."""
    path = Path(folder) / "summary.json"
    content = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return content if isinstance(content, dict) else {}
