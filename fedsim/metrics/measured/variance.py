"""Variance and bias of the update, and what of the past enters it."""

from __future__ import annotations

from fedsim.metrics.metric import Facts, Metric, family

SERVER: Facts = ("server",)
MEMORIES: Facts = ("server", "memories")
AUDIT: Facts = ("server", "audit")
CONTROLS: Facts = ("server", "controls")
ESTIMATES: Facts = ("estimates",)
PROBE: Facts = ("probe",)

METRICS = (
    Metric("update_norm", "norm", "Euclidean norm of the rule's update, before any server optimiser", when=SERVER),
    Metric("update_variance", "norm^2", "(1/|S|) sum_i ||delta_i - mean||^2 over the cohort", "lower", SERVER),
    Metric("memory_age_mean", "1", "mean over clients of the rounds since they last took part", "lower", MEMORIES),
    Metric("memory_age_max", "1", "largest number of rounds since a client last took part", "lower", MEMORIES),
    Metric(
        "memory_drift",
        "norm",
        "distance of the running mean memory to the memories summed anew (audit)",
        "lower",
        AUDIT,
    ),
    Metric(
        "control_drift",
        "norm",
        "distance of a correction's means to the memories of its clients summed anew, the largest (audit)",
        "lower",
        CONTROLS,
    ),
    Metric(
        "objective_tv",
        "1",
        "total variation distance of the effective from the target objective weights",
        "lower",
        SERVER,
    ),
    Metric("weight_bias", "1", "mean over clients of estimated weight times p_i, minus 1", when=ESTIMATES, signed=True),
    Metric(
        "weight_variance",
        "1",
        "mean over clients of the squared deviation of estimated weight times p_i",
        "lower",
        ESTIMATES,
    ),
    Metric("num_cutoffs", "clients", "clients whose participation interval was cut off in this round", when=("told",)),
    Metric("beta", "1", "share of the memories that the round's update trusts, where it sets itself", when=("told",)),
    Metric("beta_heuristic", "0/1", "clients do not come by independent coins of known chance", when=("told",)),
    family("probe_bias2", "norm^2", "||E v - g||^2 of the update a strategy would apply", "lower", PROBE, signed=True),
    family(
        "probe_variance", "norm^2", "E||v - E v||^2 of the update a strategy would apply", "lower", PROBE, signed=True
    ),
    family("probe_bias2_exact", "norm^2", "closed form of probe_bias2", "lower", PROBE, signed=True),
    family("probe_variance_exact", "norm^2", "closed form of probe_variance", "lower", PROBE, signed=True),
    family("probe_error", "norm^2", "standard error of probe_variance", when=PROBE, signed=True),
)
