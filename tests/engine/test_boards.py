"""Boards: what one process writes another one reads, through growth and wiping; runs do not notice them."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fedsim
from fedsim.engine.nodes.shared_memory import Posted, Reader, SharedMemory
from fedsim.engine.ray import hosts as ray_hosts
from fedsim.engine.ray import transport as ray_letters

READ = """
import sys
from fedsim.engine.nodes.shared_memory import Posted, Reader
posted = eval(sys.argv[1])
sys.stdout.buffer.write(Reader().read(Posted(*posted)).tobytes())
"""


@pytest.fixture
def board() -> Any:
    made = SharedMemory()
    yield made
    made.close()


def test_another_process_reads_what_was_written(board: SharedMemory) -> None:
    arrays = [np.arange(5, dtype=np.float32), np.linspace(0, 1, 1001), np.zeros((0, 3)), np.array(7.0)]
    for array, posted in zip(arrays, board.write(arrays), strict=True):
        done = subprocess.run([sys.executable, "-c", READ, repr(astuple(posted))], capture_output=True, check=True)
        assert done.stdout == array.tobytes()
        assert posted.offset % 64 == 0


def test_a_reader_follows_a_board_that_grows_and_is_written_anew(board: SharedMemory) -> None:
    reader = Reader()
    (small,) = board.write([np.arange(4.0)])
    assert reader.read(small).tolist() == [0, 1, 2, 3]
    (large,) = board.write([np.arange(100_000.0)])
    assert large.edition != small.edition
    assert reader.read(large)[-1] == 99_999
    (again,) = board.write([np.full(3, 8.0)])
    assert again.edition == large.edition
    assert reader.read(again).tolist() == [8, 8, 8]


def test_what_is_read_cannot_be_changed(board: SharedMemory) -> None:
    (posted,) = board.write([np.arange(4.0)])
    with pytest.raises(ValueError, match="read-only"):
        Reader().read(posted)[0] = 1.0


def test_a_board_leaves_no_file_open_and_cannot_be_read_after_its_end() -> None:
    before = len(os.listdir("/proc/self/fd"))
    made, reader = SharedMemory(), Reader()
    for size in (10, 10**5, 10**6):
        (posted,) = made.write([np.zeros(size)])
        assert len(reader.read(posted)) == size
    made.close()
    del reader
    assert len(os.listdir("/proc/self/fd")) == before
    with pytest.raises(OSError, match=r"No such file|Invalid|Bad"):
        Reader().read(Posted(posted.process, 10**6, 0, 8, 0, "<f8", (1,)))


@pytest.mark.ray
@pytest.mark.parametrize("strategy", ["fedavg", "fedstale"])
def test_a_model_over_boards_gives_the_bits_of_one_in_the_object_store_and_of_one_process(
    strategy: str, cluster: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    posts: list[int] = []
    post = ray_letters.post
    monkeypatch.setattr(ray_letters, "post", lambda board, large: (posts.append(1), post(board, large)))
    scenario = {
        "name": "boards",
        "rounds": 5,
        "data": {"dataset": "digits", "clients": 12},
        "model": {"name": "mlp", "hidden": [512]},
        "client": {"local_steps": 2, "batch_size": 8},
        "participation": {"kind": "bernoulli", "probabilities": 0.6},
        "strategy": {"name": strategy},
    }
    found = {fedsim.run(scenario, out=tmp_path / "serial").summary["params_sha256"]}
    engine = {"kind": "ray", "hosts": 2, "address": cluster}
    found.add(fedsim.run(scenario | {"engine": engine}, out=tmp_path / "boards").summary["params_sha256"])
    assert len(posts) == 5
    monkeypatch.setattr(ray_hosts, "available", lambda: False)
    found.add(fedsim.run(scenario | {"engine": engine}, out=tmp_path / "store").summary["params_sha256"])
    assert len(posts) == 5
    assert len(found) == 1
