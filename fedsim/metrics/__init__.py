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
from fedsim.metrics.metric import FACTS, Fact, Metric, Round
from fedsim.metrics.registry import METRICS, appearing, columns, higher_is_better, register

__all__ = [
    "FACTS",
    "METRICS",
    "Evaluated",
    "Event",
    "Fact",
    "Metric",
    "MetricsConfig",
    "Notice",
    "RolledBack",
    "Round",
    "RoundDone",
    "RunEnded",
    "RunStarted",
    "appearing",
    "catalogue",
    "columns",
    "higher_is_better",
    "new_run_id",
    "register",
]
