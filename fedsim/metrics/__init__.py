"""Floor 1: what a run measures. Events are the truth; sinks (database, console, ...) read them and never disturb a run.

Cheap to import: SQLAlchemy, pandas and rich are loaded by the functions that need them.
"""

from fedsim.metrics.config import MetricsConfig, catalogue
from fedsim.metrics.events import (
    Evaluated,
    Event,
    Notice,
    RolledBack,
    RoundDone,
    RunEnded,
    RunStarted,
    new_run_id,
)
from fedsim.metrics.registry import METRICS, Metric, columns, register

__all__ = [
    "METRICS",
    "Evaluated",
    "Event",
    "Metric",
    "MetricsConfig",
    "Notice",
    "RolledBack",
    "RoundDone",
    "RunEnded",
    "RunStarted",
    "catalogue",
    "columns",
    "new_run_id",
    "register",
]
