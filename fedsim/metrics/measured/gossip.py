"""Models that go from node to node: their agreement, their accuracies, their weights' variance."""

from __future__ import annotations

from fedsim.metrics.metric import Facts, Metric, family

PEERS: Facts = ("peers",)
NODES: Facts = ("peers", "labels")

METRICS = (
    Metric("consensus_distance", "norm^2", "(1/N) sum_i ||x_i - mean||^2 over the nodes' models", "lower", PEERS),
    Metric("node_accuracy_mean", "1", "mean test accuracy of the nodes' own models", "higher", NODES),
    Metric("node_accuracy_std", "1", "standard deviation of the nodes' test accuracies", "lower", NODES),
    Metric("node_accuracy_min", "1", "lowest test accuracy of a node", "higher", NODES),
    Metric("node_accuracy_q10", "1", "test accuracy that one node in ten stays below", "higher", NODES),
    Metric("node_accuracy_median", "1", "median test accuracy of the nodes", "higher", NODES),
    Metric("node_accuracy_q90", "1", "test accuracy that nine nodes in ten stay below", "higher", NODES),
    Metric("node_accuracy_max", "1", "highest test accuracy of a node", "higher", NODES),
    Metric("node_loss_mean", "1", "mean test loss of the nodes' own models", "lower", PEERS),
    Metric(
        "spectral_gap",
        "1",
        "1 minus the second largest modulus of the window's mixing product, per round",
        when=PEERS,
        signed=True,
    ),
    family("variance_before", "1", "weight variance of a tensor before training", when=PEERS),
    family("variance_trained", "1", "weight variance of a tensor after training", when=PEERS),
    family("variance_merged", "1", "weight variance of a tensor after the merge", when=PEERS),
    family("correction_factor", "1", "factor that restores a tensor's variance, mean", when=PEERS),
    family("correction_factor_max", "1", "largest factor of a client in the round", when=PEERS),
    Metric("num_degenerate", "1", "tensors whose variance could not be restored in this round", when=PEERS),
)
