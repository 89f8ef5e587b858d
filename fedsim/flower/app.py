"""fedsim as a Flower app: any scenario by `flwr run`, in Flower's simulation or on SuperNodes over a network.

The ServerApp is a whole run (folder, store, checkpoints) whose nodes are behind Flower's grid. The ClientApp is one of
the scenario's nodes: SuperNode K, started with `partition-id=K`, holds the clients of node K and builds its data from
the scenario by itself, so that no data travel.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from functools import lru_cache
from logging import INFO
from pathlib import Path

from flwr.app import Context
from flwr.common.logger import log
from flwr.serverapp import Grid, ServerApp

from fedsim.core import ScenarioError
from fedsim.core.config.inputs import Input
from fedsim.engine.experiment import Experiment, build
from fedsim.engine.flower.client_app import NodeApp
from fedsim.engine.nodes.host import Host
from fedsim.engine.run.run import execute
from fedsim.scenario import Scenario, load

APP = Path(__file__).parents[2]
"""Where the app is installed: a scenario's path may be relative to it."""


def scenario_of(context: Context) -> Scenario:
    """Return the scenario of `--run-config 'scenario="FILE" set="strategy.beta=0.3 seed=2"'`, on Flower's engine."""
    return _scenario(str(context.run_config["scenario"]), str(context.run_config.get("set", "")))


@lru_cache(maxsize=1)
def _scenario(name: str, overrides: str) -> Scenario:
    path = next((place for place in (Path(name), APP / name) if place.is_file()), None)
    if path is None:
        raise ScenarioError(f"scenario: there is no file {name}, neither in {Path.cwd()} nor in {APP}")
    options = shlex.split(overrides)
    nodes = load(path, options).engine.nodes
    return load(path, [*options, "engine={kind: flower, nodes: " + ("null" if nodes is None else str(nodes)) + "}"])


@lru_cache(maxsize=1)
def _experiment(name: str, overrides: str) -> Experiment:
    return build(_scenario(name, overrides))


@lru_cache(maxsize=1)
def _host(name: str, overrides: str) -> Host:
    experiment = _experiment(name, overrides)
    return Host(experiment.host_plan(), experiment.data, range(experiment.num_nodes))


def host_of(context: Context) -> Host:
    """Return the host of this process's node."""
    return _host(str(context.run_config["scenario"]), str(context.run_config.get("set", "")))


server_app = ServerApp()


def _read(context: Context) -> Sequence[Input]:
    """Return the files that this process has read, for the server to compare with its own."""
    return _experiment(str(context.run_config["scenario"]), str(context.run_config.get("set", ""))).inputs


client_app = NodeApp(host_of, _read)


@server_app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the scenario on the nodes of Flower's grid."""
    scenario = scenario_of(context)
    run = execute(scenario, out=str(context.run_config.get("out", "")) or None, flower=grid)
    log(INFO, "%s: %s, %d rounds, %s", scenario.name, run.status, run.summary["rounds"], run.summary["params_sha256"])
    log(INFO, "results in %s", run.folder.absolute())
