"""The ground that bits stand on."""

from __future__ import annotations

import os

import numpy as np
import torch

from fedsim.clients.kernels.tensors import Buffer, fresh
from fedsim.clients.numerics import pin

CPU = torch.device("cpu")


def test_pinning_holds_one_thread_and_one_branch_and_says_what_the_machine_is() -> None:
    found = pin()
    assert torch.get_num_threads() == found["threads"] == 1
    assert os.environ["MKL_CBWR"] == found["mkl_cbwr"]
    assert found["mkl_cbwr"] in ("AVX2", "COMPATIBLE")
    assert found["torch"] == torch.__version__
    assert found["device"] == "cpu"


def test_a_fresh_copy_is_aligned_and_its_own() -> None:
    for offset in range(0, 64, 4):
        memory = np.arange(4000, dtype=np.uint8)
        array = memory[offset : offset + 1200].view(np.float32)
        array.setflags(write=offset % 8 == 0)
        copy = fresh(array, CPU)
        assert copy.data_ptr() % 64 == 0
        assert copy.numpy().tobytes() == array.tobytes()
        copy.zero_()
        assert memory[offset + 1] == (offset + 1) % 256


def test_a_strided_array_is_copied_in_its_logical_order() -> None:
    array = np.arange(12, dtype=np.int64).reshape(3, 4).T[::-1]
    assert fresh(array, CPU).tolist() == array.tolist()


def test_a_buffer_is_kept_and_grows() -> None:
    buffer = Buffer(3, CPU)
    first = buffer.rows(4)
    assert buffer.rows(2).data_ptr() == first.data_ptr()
    assert buffer.rows(6).shape == (6, 3)
