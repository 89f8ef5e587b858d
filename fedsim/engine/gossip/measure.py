"""From what a round of gossip came to, to the numbers that are reported. Reads only; feeds nothing back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fedsim.clients.evaluation import reported
from fedsim.clients.gossip.merge import Tensors
from fedsim.clients.gossip.node import PeerPlan
from fedsim.core import Layout
from fedsim.engine.round.measure import CRASHES, total
from fedsim.participation.environment import Attendance
from fedsim.strategies.flower.gossip import PeerOutcome, PeerReply

TAGGED = (
    ("variance_before", "clients", "variance_before"),
    ("variance_trained", "clients", "variance_trained"),
    ("variance_merged", "merged", "variance_merged"),
    ("factor", "merged", "correction_factor"),
)
"""What nodes sum up per tensor, over how many clients, and the metric it becomes: a mean."""


def peer_values(outcome: PeerOutcome, there: Attendance, layout: Layout, plan: PeerPlan) -> dict[str, float]:
    """Return the metrics of one round of gossip."""
    counted = total(reply.told["statistics"] for reply in outcome.trained)
    clients = counted.get("clients", 0.0)
    crashed = sum(failure.kind in CRASHES for failure in outcome.failures)
    exchange = outcome.exchange
    posted = exchange.attempted - exchange.dropped
    tensors = Tensors.of(layout, plan.tensors)
    moments = 16 * len(tensors.names) if plan.correct or plan.track else 0
    values = {
        "cohort_size": float(len(outcome.cohort)),
        "empty_round": float(len(outcome.cohort) == 0),
        "num_invited": float(len(there.scheduled)),
        "num_crashed": float(crashed),
        "num_lost": float(len(outcome.failures) - crashed),
        "messages": float(2 * (len(outcome.trained) + len(outcome.merged))),
        "bytes_down": float(outcome.bytes_down),
        "bytes_up": float(sum(reply.nbytes for reply in (*outcome.trained, *outcome.merged))),
        "messages_attempted": float(exchange.attempted),
        "messages_dropped": float(exchange.dropped),
        "messages_delivered": float(exchange.delivered),
        "messages_in_flight": float(exchange.in_flight),
        "bytes_exchanged": float(posted * (layout.nbytes + moments)),
    }
    if clients:
        values["train_loss"] = counted["loss"] / clients
    if there.arrivals is not None:
        values["num_late"] = float(len(there.arrivals.late))
        values["num_surplus"] = float(len(there.arrivals.surplus))
    return values | _layers(outcome, tensors, int(clients))


def _layers(outcome: PeerOutcome, tensors: Tensors, clients: int) -> dict[str, float]:
    """Return the means over clients of what was measured per tensor, and the largest factor."""
    replies = (*outcome.trained, *outcome.merged)
    counts = {"clients": clients, "merged": sum(int(reply.told["merged"]) for reply in outcome.merged)}
    values: dict[str, float] = {}
    for told, over, metric in TAGGED:
        sums = _column_sums([reply.told[told] for reply in replies if told in reply.told])
        if sums is not None and counts[over]:
            values |= {f"{metric}.{name}": float(v) / counts[over] for name, v in zip(tensors.names, sums, strict=True)}
    largest = [reply.told["factor_max"] for reply in outcome.merged if "factor_max" in reply.told]
    if largest and counts["merged"]:
        most = np.max(np.array(largest), axis=0)
        values |= {f"correction_factor_max.{name}": float(v) for name, v in zip(tensors.names, most, strict=True)}
    vanished = _column_sums([reply.told["vanished"] for reply in outcome.merged if "vanished" in reply.told])
    if vanished is not None:
        values["num_degenerate"] = float(vanished.sum())
    return values


def _column_sums(parts: Sequence[Sequence[float]]) -> Any:
    """Add the nodes' sums in their order; None when nobody told any."""
    if not parts:
        return None
    sums = np.zeros(len(parts[0]))
    for part in parts:
        sums += np.asarray(part, np.float64)
    return sums


def judged_values(replies: Sequence[PeerReply], num_clients: int) -> dict[str, float]:
    """Return the metrics of an evaluation: of the mean model, and of the clients' own."""
    mean = next(reply.told["mean"] for reply in replies if "mean" in reply.told)
    values = reported(mean)
    values["consensus_distance"] = sum(float(reply.told["distance"]) for reply in replies) / num_clients
    accuracy = np.concatenate([reply.arrays.get("accuracy", np.zeros(0)) for reply in replies])
    loss = np.concatenate([reply.arrays.get("loss", np.zeros(0)) for reply in replies])
    if len(loss):
        values["node_loss_mean"] = float(loss.mean())
    if len(accuracy):
        low, median, high = np.quantile(accuracy, [0.1, 0.5, 0.9])
        values |= {
            "node_accuracy_mean": float(accuracy.mean()),
            "node_accuracy_std": float(accuracy.std()),
            "node_accuracy_min": float(accuracy.min()),
            "node_accuracy_q10": float(low),
            "node_accuracy_median": float(median),
            "node_accuracy_q90": float(high),
            "node_accuracy_max": float(accuracy.max()),
        }
    return values
