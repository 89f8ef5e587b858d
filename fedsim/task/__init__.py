"""The task: what is learnt from the targets, as a loss, and by what the result is judged, as metrics; one file each.

Importing this room loads no torch.
"""

from __future__ import annotations

from fedsim.task.config import LearningTask
from fedsim.task.loss import Loss
from fedsim.task.metric import TaskMetric
from fedsim.task.usual import usual_loss

__all__ = ["LearningTask", "Loss", "TaskMetric", "usual_loss"]
