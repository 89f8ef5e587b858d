"""How the model serves each client, on its own examples; another metric of a task brings the same under its name."""

from __future__ import annotations

from fedsim.metrics.metric import of_clients
from fedsim.task.metrics.accuracy import Accuracy

METRICS = of_clients(Accuracy())
