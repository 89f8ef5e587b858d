"""The systems that `benchmarks.compare` lets run against each other: each returns when its rounds ended, and its peak.

They are no part of the script that runs them (`benchmarks.turn`), because Ray's workers must be able to import them.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.workloads import Workload


def fedsim(workload: Workload, rounds: int, data: Path, **engine: Any) -> tuple[list[float], int]:
    """Run fedsim; a round ends when its event is emitted, so that everything between rounds counts."""
    from fedsim.api import read
    from fedsim.engine.run.run import execute
    from fedsim.metrics.events import Event, RoundDone
    from fedsim.metrics.sinks.base import Sink

    ends: list[float] = []

    class Clock(Sink):
        def write(self, events: Sequence[Event]) -> None:
            ends.extend(event.wall_time for event in events if isinstance(event, RoundDone))

    with tempfile.TemporaryDirectory() as folder:
        scenario = read(workload.scenario(data, rounds, engine), {})
        run = execute(scenario, out=Path(folder) / "run", sinks=[Clock()])
        return ends, run.summary["peak_rss_bytes"]


def plain(workload: Workload, rounds: int, data: Path) -> tuple[list[float], int]:
    """One client after another: an nn.Module, torch.optim.SGD, one thread, and an average in float64."""
    import torch

    from fedsim.metrics.summary import peak_rss_bytes

    torch.set_num_threads(1)
    module = _module(workload)
    start = {name: value.clone() for name, value in module.state_dict().items()}
    stream, ends = np.random.default_rng(1), []
    for _ in range(rounds):
        totals = {name: torch.zeros_like(value, dtype=torch.float64) for name, value in start.items()}
        for client in np.sort(stream.choice(workload.clients, workload.cohort, replace=False)):
            module.load_state_dict(start)
            _train(module, workload, data, int(client), stream)
            for name, value in module.state_dict().items():
                totals[name] += value
        start = {name: (total / workload.cohort).float() for name, total in totals.items()}
        ends.append(time.time())
    return ends, peak_rss_bytes()


def flower(workload: Workload, rounds: int, data: Path) -> tuple[list[float], int]:
    """Flower's simulation engine: its FedAvg, two actors of one core each, a message per client."""
    os.environ |= {"FLWR_TELEMETRY_ENABLED": "0", "RAY_DEDUP_LOGS": "0", "RAY_USAGE_STATS_ENABLED": "0"}
    import torch
    from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
    from flwr.clientapp import ClientApp
    from flwr.serverapp import Grid, ServerApp
    from flwr.serverapp.strategy import FedAvg
    from flwr.simulation import run_simulation

    from fedsim.metrics.summary import peak_rss_bytes

    ends: list[float] = []
    peaks: list[int] = []
    client, server = ClientApp(), ServerApp()

    @client.train()
    def train(message: Message, context: Context) -> Message:
        torch.set_num_threads(1)
        module = _module(workload)
        module.load_state_dict(message.content["arrays"].to_torch_state_dict())
        partition = int(context.node_config["partition-id"])
        _train(module, workload, data, partition, np.random.default_rng(partition))
        metrics = MetricRecord({"num-examples": workload.examples})
        return Message(RecordDict({"arrays": ArrayRecord(module.state_dict()), "metrics": metrics}), reply_to=message)

    class Timed(FedAvg):
        def aggregate_train(self, server_round: int, replies: Any) -> Any:
            replies = list(replies)
            wrong = [reply.error for reply in replies if reply.has_error()]
            if wrong or len(replies) != workload.cohort:  # Flower would go on with those that are left
                raise RuntimeError(f"round {server_round}: {len(replies)} replies, errors: {wrong[:1]}")
            result = super().aggregate_train(server_round, replies)
            ends.append(time.time())
            if len(ends) == rounds:
                peaks.append(peak_rss_bytes())
            return result

    @server.main()
    def main(grid: Grid, context: Context) -> None:
        while len(list(grid.get_node_ids())) < workload.clients:  # the strategy takes its share of those it finds
            time.sleep(0.05)
        share = workload.cohort / workload.clients
        strategy = Timed(fraction_train=share, fraction_evaluate=0.0, min_available_nodes=workload.clients)
        start = ArrayRecord(_module(workload).state_dict())
        trained = strategy.start(grid, start, num_rounds=rounds).arrays.to_torch_state_dict()
        assert all((trained[name] != value).any() for name, value in start.to_torch_state_dict().items())

    resources: dict[str, Any] = {"num_cpus": 1, "num_gpus": 0.0}
    # without an address Ray would join whatever session runs on this machine
    init = {"address": "local", "num_cpus": 2, "logging_level": "ERROR"}
    backend: Any = {"client_resources": resources, "init_args": init}
    run_simulation(server, client, workload.clients, backend_config=backend)
    return ends, peaks[0]


def _module(workload: Workload) -> Any:
    import torch

    from fedsim.models.modules.building import build

    torch.manual_seed(0)
    module = build(workload.model, workload.shape, 10)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    return module


def _train(module: Any, workload: Workload, data: Path, client: int, stream: np.random.Generator) -> None:
    import torch

    x, y = _examples(data)
    own = client * workload.examples + torch.from_numpy(stream.permutation(workload.examples))
    optimizer = torch.optim.SGD(module.parameters(), lr=workload.work.lr)
    for batch in own.split(workload.work.batch_size):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(module(x[batch]), y[batch]).backward()
        optimizer.step()


@cache
def _examples(data: Path) -> tuple[Any, Any]:
    import torch

    with np.load(data) as file:
        return torch.from_numpy(file["x"]), torch.from_numpy(file["y"])


def _serial(nodes: int) -> Callable[..., tuple[list[float], int]]:
    return lambda *arguments: fedsim(*arguments, kind="serial", nodes=nodes)


def _ray(nodes: int) -> Callable[..., tuple[list[float], int]]:
    return lambda *arguments: fedsim(*arguments, kind="ray", nodes=nodes, hosts=2)


CONTESTANTS: dict[str, Callable[[Workload, int, Path], tuple[list[float], int]]] = {
    "fedsim serial, 1 node": _serial(1),
    "fedsim serial, 4 nodes": _serial(4),
    "fedsim ray x 2, 2 nodes": _ray(2),
    "fedsim ray x 2, 4 nodes": _ray(4),
    "Flower's engine": flower,
    "plain PyTorch loop": plain,
}
