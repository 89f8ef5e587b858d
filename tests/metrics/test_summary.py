"""summary.json is whole or absent; memory is counted over the family of processes."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from fedsim.core import DiskError
from fedsim.metrics.peak_rss import family, peak_rss_bytes
from fedsim.metrics.summary import REQUIRED, read_summary, write_summary

SUMMARY = {**dict.fromkeys(REQUIRED, 0), "status": "completed", "final": {"test_loss": math.nan, "test_accuracy": 0.1}}


def test_a_summary_is_strict_json(tmp_path: Path) -> None:
    write_summary(tmp_path / "summary.json", SUMMARY)

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is not JSON")

    content = json.loads((tmp_path / "summary.json").read_text(), parse_constant=refuse)
    assert content["final"] == {"test_loss": "nan", "test_accuracy": 0.1}
    assert read_summary(tmp_path) == content


def test_a_folder_without_a_summary_has_an_empty_one(tmp_path: Path) -> None:
    assert read_summary(tmp_path) == {}


@pytest.mark.parametrize("key", sorted(REQUIRED))
def test_a_missing_key_is_our_mistake(tmp_path: Path, key: str) -> None:
    with pytest.raises(AssertionError, match=key):
        write_summary(tmp_path / "summary.json", {k: v for k, v in SUMMARY.items() if k != key})


def test_an_unknown_status_is_our_mistake(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="fine is no status"):
        write_summary(tmp_path / "summary.json", SUMMARY | {"status": "fine"})


def test_a_summary_that_cannot_be_written_says_where(tmp_path: Path) -> None:
    with pytest.raises(DiskError, match=r"nowhere/summary.json: cannot be written: No such file"):
        write_summary(tmp_path / "nowhere" / "summary.json", SUMMARY)


def test_the_peak_counts_memory_that_is_free_again_and_children() -> None:
    program = "x = bytearray(80_000_000); del x; print(flush=True); input()"
    command = [sys.executable, "-c", program]
    alone = peak_rss_bytes()
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert child.pid in family(child.pid)
        assert peak_rss_bytes(child.pid) > 80_000_000
        assert peak_rss_bytes() >= alone + peak_rss_bytes(child.pid)


def test_a_process_that_is_gone_has_no_memory() -> None:
    assert peak_rss_bytes(2**22 + 1) == 0
