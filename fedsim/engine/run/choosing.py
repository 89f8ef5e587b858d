"""`engine: {kind: auto}`: one process or several, whatever ends sooner; no choice changes a bit."""

from __future__ import annotations

import os
import threading

import numpy as np

from fedsim.engine.experiment import Experiment
from fedsim.scenario import Auto, Processes, Ray, Serial

START_S = 3.0
"""What it takes to start host processes, about."""
ROUND_S = 0.001
"""What a round's messages to and from hosts take, about."""
STEP_S = 15e-6
"""A client-step's overhead in a lane, about."""
FLOPS = 5e9
"""What a core does a second in products of usual sizes, about."""


def choose(experiment: Experiment, asked: Auto) -> tuple[Serial | Processes | Ray, str]:
    """Return the engine of a run that leaves it open, and why, in words with what it would be otherwise."""
    nodes, cores = experiment.num_nodes, cores_here()
    if asked.address is not None:
        there = Ray(nodes=nodes, hosts=asked.hosts, address=asked.address)
        return there, f"ray at {asked.address}, as there is an address; without one it is this machine"
    hosts = min(nodes, asked.hosts if isinstance(asked.hosts, int) else cores)
    serial, several = Serial(nodes=nodes), Processes(nodes=nodes, hosts=hosts)
    if experiment.scenario.client.timeout_s is not None and not in_main_thread():
        return several, f"processes x {hosts}: client.timeout_s can only interrupt a main thread, and this is none"
    if hosts == 1:
        only = "core" if cores == 1 else "node" if nodes == 1 else "host"
        return serial, f"serial: there is one {only}; with more of them it may be processes"
    work = training_s(experiment)
    saved = work * (1 - 1 / hosts) - START_S - ROUND_S * experiment.scenario.rounds
    about = f"about {work:.0f} s of training on one core" if work >= 1 else "less than a second of training"
    if saved > 0:
        return several, f"processes x {hosts}: {about}; {{kind: serial}} is one process, {{kind: ray}} a cluster or GPU"
    return serial, f"serial: {about}; {{kind: processes}} would start {hosts} hosts, {{kind: ray}} is a cluster or GPU"


def training_s(experiment: Experiment) -> float:
    """Predict the seconds that a run's training takes on one core, roughly: within a factor of three or so."""
    scenario, data = experiment.scenario, experiment.data
    present = experiment.process.probabilities
    share = np.full(data.num_clients, 0.5) if present is None else present
    examples = experiment.trainer.cost(np.arange(data.num_clients)).astype(float)
    steps = np.maximum(1.0, examples / max(1, scenario.client.batch_size))
    each = steps * STEP_S + examples * 3 * experiment.trainer.example_flops / FLOPS
    return float(scenario.rounds * (share * each).sum())


def cores_here() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def in_main_thread() -> bool:
    """Return whether this is the thread that timers can interrupt."""
    return threading.current_thread() is threading.main_thread()
