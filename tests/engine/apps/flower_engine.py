"""python flower_engine.py APP RAY WORKERS: run an app on four SuperNodes of Flower's own simulation."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from flwr.app import Context, RecordDict
from flwr.common.config import get_fused_config_from_dir, get_project_config
from flwr.simulation.run_simulation import _run_simulation
from flwr.supercore.constant import NOOP_FEDERATION_ID
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity
from flwr.supercore.telemetry import EventType

RUN = 7


def main(folder: str, ray: str, workers: str) -> None:
    sys.path.insert(0, folder)
    os.environ["PYTHONPATH"] = folder
    parts = get_project_config(folder)["tool"]["flwr"]["app"]["components"]
    config = get_fused_config_from_dir(Path(folder), {})
    run = Run.create_empty(run_id=RUN)
    run.primary_task_id, run.federation_id, run.override_config = 1, NOOP_FEDERATION_ID, config
    TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, RUN, 1
    _run_simulation(
        num_supernodes=4,
        exit_event=EventType.PYTHON_API_RUN_SIMULATION_LEAVE,
        client_app_attr=parts["clientapp"],
        server_app_attr=parts["serverapp"],
        server_app_context=Context(run_id=RUN, node_id=0, node_config={}, state=RecordDict(), run_config=config),
        app_dir=folder,
        run=run,
        backend_config={
            "client_resources": {"num_cpus": 1, "num_gpus": 0.0},
            "init_args": {"num_cpus": int(workers), "_temp_dir": ray},
        },
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
