"""For users of Flower: a whole run as a Flower app, and any rule as a strategy for a ServerApp of one's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fedsim.flower.server_side import strategy

__all__ = ["strategy"]


def __getattr__(name: str) -> Any:
    """Load what is asked for when it is asked for."""
    if name == "strategy":
        from fedsim.flower.server_side import strategy

        return strategy
    raise AttributeError(f"module 'fedsim.flower' has no attribute '{name}'")
