"""Which metrics a run of this kind reports: the columns of rounds.csv are fixed before round 1."""

from __future__ import annotations

from fedsim.data import QuadraticData
from fedsim.engine.experiment import Experiment
from fedsim.engine.ledger import WEIGHT

ALWAYS = (
    "cohort_size", "empty_round", "num_invited", "num_crashed", "num_lost", "train_loss", "test_loss",
    "params_norm", "update_norm", "update_variance", "objective_tv", "bytes_down", "bytes_up", "messages", "wire_bytes",
    "choose_s", "send_s", "collect_s", "train_s", "ship_s", "reduce_s", "idle_s", "step_s", "record_s",
    "evaluate_s", "round_s",
)  # fmt: skip


PEERS = (
    "cohort_size", "empty_round", "num_invited", "num_crashed", "num_lost", "train_loss", "test_loss",
    "consensus_distance", "node_loss_mean", "spectral_gap", "num_degenerate", "bytes_down", "bytes_up", "messages",
    "messages_attempted", "messages_dropped", "messages_delivered", "messages_in_flight", "bytes_exchanged",
    "choose_s", "send_s", "collect_s", "train_s", "ship_s", "reduce_s", "idle_s", "step_s", "record_s",
    "evaluate_s", "round_s",
)  # fmt: skip
NODE_ACCURACY = ("mean", "std", "min", "q10", "median", "q90", "max")


def reported(experiment: Experiment) -> tuple[str, ...]:
    """Return the names of the metrics that rounds.csv will show."""
    if experiment.peer_plan is not None:
        quadratic = isinstance(experiment.data, QuadraticData)
        judged = ("distance",) if quadratic else ("test_accuracy", *(f"node_accuracy_{part}" for part in NODE_ACCURACY))
        timed = () if experiment.clock is None else ("num_late", "num_surplus", "virtual_s")
        return (*PEERS, *judged, *timed)
    names = [*ALWAYS]
    rule, state, told = experiment.rule, *experiment.told()
    names.append("distance" if isinstance(experiment.data, QuadraticData) else "test_accuracy")
    if rule.remembers:
        names += ["memory_age_mean", "memory_age_max"]
    if experiment.scenario.memory.audit and rule.memory_mean(state) is not None:
        names.append("memory_drift")
    names += told.values
    if WEIGHT in told.vectors and experiment.population.probabilities is not None:
        names += ["weight_bias", "weight_variance"]
    if experiment.clock is not None:
        names += ["num_late", "num_surplus", "virtual_s"]
    return tuple(names)
