"""Whether what a module starts with, and what becomes of its buffers, has a meaning under a strategy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

Found = Iterator[tuple[tuple[str, ...], str]]


def a_file_gives_one_start(model: Any, strategy: Any) -> Found:
    """Models that start independently cannot all start from one file."""
    if getattr(model, "start_file", None) is not None and getattr(strategy, "initialisation", None) == "independent":
        yield (
            ("strategy", "initialisation"),
            "independent models cannot all start from `model.init.file`; write initialisation: common",
        )


def stock_clients_keep_nothing(model: Any, strategy: Any) -> Found:
    """Under a strategy of Flower's own no client has a place where its buffers could stay."""
    if getattr(model, "buffers", None) == "local" and hasattr(strategy, "flower"):
        yield (
            ("model", "buffers"),
            f"clients keep nothing of their own under Flower's {strategy.flower}; use average or frozen, or strategy: "
            "{name: fedavg}",
        )


CHECKS: tuple[Callable[..., Found], ...] = (a_file_gives_one_start, stock_clients_keep_nothing)
