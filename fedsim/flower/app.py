"""fedsim as a Flower app: any scenario by `flwr run`, in Flower's simulation or on SuperNodes over a network.

The ServerApp is a whole run (folder, store, checkpoints) whose nodes are behind Flower's grid. The ClientApp is one of
the scenario's nodes: SuperNode K, started with `partition-id=K`, holds the clients of node K and builds its data from
the scenario by itself, so that no data travel.
"""

from __future__ import annotations

import shlex
from functools import lru_cache
from logging import INFO
from pathlib import Path

from flwr.app import Context
from flwr.clientapp import ClientApp
from flwr.common.logger import log
from flwr.serverapp import Grid, ServerApp

from fedsim.core import ScenarioError
from fedsim.engine.experiment import Experiment, build
from fedsim.engine.flower.client_app import NodeApp
from fedsim.engine.nodes.host import Host
from fedsim.engine.run.run import execute
from fedsim.scenario import Scenario, load


def apps(folder: Path) -> tuple[ServerApp, ClientApp]:
    """Return both halves of the app; a scenario's path may be relative to `folder`, where the app is installed.

    `--run-config 'scenario="FILE" set="strategy.beta=0.3 seed=2" out="DIR"'` chooses what is run.
    """
    server_app = ServerApp()

    @server_app.main()
    def main(grid: Grid, context: Context) -> None:
        _run(_scenario(folder, *_asked(context)), grid, context)

    return server_app, NodeApp(
        lambda context: _host(folder, *_asked(context)),
        lambda context: _experiment(folder, *_asked(context)).inputs,
    )


def _asked(context: Context) -> tuple[str, str]:
    return str(context.run_config["scenario"]), str(context.run_config.get("set", ""))


@lru_cache(maxsize=1)
def _scenario(folder: Path, name: str, overrides: str) -> Scenario:
    path = next((place for place in (Path(name), folder / name) if place.is_file()), None)
    if path is None:
        raise ScenarioError(f"scenario: there is no file {name}, neither in {Path.cwd()} nor in {folder}")
    options = shlex.split(overrides)
    nodes = load(path, options).engine.nodes
    return load(path, [*options, "engine={kind: flower, nodes: " + ("null" if nodes is None else str(nodes)) + "}"])


@lru_cache(maxsize=1)
def _experiment(folder: Path, name: str, overrides: str) -> Experiment:
    return build(_scenario(folder, name, overrides))


@lru_cache(maxsize=1)
def _host(folder: Path, name: str, overrides: str) -> Host:
    experiment = _experiment(folder, name, overrides)
    return Host(experiment.host_plan(), experiment.data, range(experiment.num_nodes))


def _run(scenario: Scenario, grid: Grid, context: Context) -> None:
    run = execute(scenario, out=str(context.run_config.get("out", "")) or None, flower=grid)
    log(INFO, "%s: %s, %d rounds, %s", scenario.name, run.status, run.summary["rounds"], run.summary["params_sha256"])
    log(INFO, "results in %s", run.folder.absolute())
