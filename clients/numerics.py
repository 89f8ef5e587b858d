"""The numerical ground that bits stand on: one thread, one instruction set, and a record of the machine."""

from __future__ import annotations

import os
import platform
from functools import cache
from typing import Any


def pin(device: str = "cpu") -> dict[str, str | int]:
    """Fix what changes the bits of a matrix product, and return the machine's fingerprint. Call before any training.

    - Intel MKL picks its code by processor and by the operands' alignment, even in one thread; MKL_CBWR holds it to
      one branch (AVX2, or COMPATIBLE where the processor lacks it). MKL reads it at the first product of the process,
      so `pin` must come before that; it may come after the import of torch.
    - One torch thread: sums would otherwise depend on the number of cores.
    - On a GPU: deterministic algorithms only, a fixed cuBLAS workspace, full float32 products (no TF32).

    Operands must also lie at the same alignment each time: kernels copy what they are given into torch's own
    allocations, which are aligned to 64 bytes.
    """
    os.environ["MKL_CBWR"] = "AVX2"
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    import torch

    capability = torch.backends.cpu.get_cpu_capability()
    if capability not in ("AVX2", "AVX512"):
        os.environ["MKL_CBWR"] = "COMPATIBLE"
    torch.set_num_threads(1)
    if torch.device(device).type == "cuda":
        _pin_gpu(torch)
    return {
        "torch": torch.__version__,
        "machine": platform.machine(),
        "processor": _processor(),
        "cpu_capability": capability,
        "mkl_cbwr": os.environ["MKL_CBWR"],
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(device) if torch.device(device).type == "cuda" else "cpu",
    }


def _pin_gpu(torch: Any) -> None:
    torch.use_deterministic_algorithms(True)
    # deterministic mode would fill every new tensor with NaN; the kernels write before they read
    torch.utils.deterministic.fill_uninitialized_memory = False
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False


@cache
def _processor() -> str:
    """Return the processor's name as the system tells it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
            return next(names, "") or platform.processor()
    except OSError:
        return platform.processor()
