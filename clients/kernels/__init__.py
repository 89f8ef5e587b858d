"""Kernels: the ways to carry out local training. One interface, the same numbers to float32 rounding."""

from fedsim.clients.kernels.base import Kernel, LaneResult

__all__ = ["Kernel", "LaneResult"]
