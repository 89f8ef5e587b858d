"""How learning goes."""

from __future__ import annotations

from fedsim.metrics.metric import Facts, Metric, family, of_task
from fedsim.task import metrics as task

OPTIMUM: Facts = ("optimum",)
SERVER: Facts = ("server",)

METRICS = (
    Metric("train_loss", "1", "mean loss of the cohort's local steps", "lower"),
    Metric(
        "test_loss", "1", "loss of the global model on the held-out split (quadratic: the objective itself)", "lower"
    ),
    *(of_task(cls()) for cls in task.catalogue().values()),
    Metric("distance", "norm", "distance of the parameters to the known optimum (quadratic)", "lower", OPTIMUM),
    Metric("params_norm", "norm", "Euclidean norm of the global parameters", when=SERVER),
    family("client", "1", "mean over the cohort of what foreign local work tells by this name", signed=True),
    family("evaluate", "1", "what a Flower app's strategy makes of its clients' evaluation", signed=True),
    family("server", "1", "what a Flower app's own evaluation tells", signed=True),
)
