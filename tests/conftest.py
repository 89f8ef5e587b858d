"""A Ray cluster that outlives single runs, so that many runs need not start one each."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator

import pytest

from fedsim.engine.ray.session import LOCAL

# In a process of its own: what Ray leaves open there is none of our warnings. It ends with its standard input.
# It starts as the session of a run does, waited for as long as its processes live, and tried twice; but not on the
# loopback interface, where drivers would not look for it.
_CLUSTER = """
import os, sys
from pathlib import Path
import ray
from ray._private.services import get_node_ip_address
from fedsim.engine.ray.reaper import MARK, clear
from fedsim.engine.ray.session import start
folder, here = sys.argv[1], get_node_ip_address()
os.environ[MARK] = folder
start(Path(folder), lambda: ray.init(
    num_cpus=4, resources={"phones": 2, "trucks": 1}, include_dashboard=False, object_store_memory=200_000_000,
    _temp_dir=folder, _node_ip_address=here, log_to_driver=False, logging_level="ERROR"))
print("address", ray.get_runtime_context().gcs_address, flush=True)
sys.stdin.read()
ray.shutdown()
clear(folder)
"""


@pytest.hookimpl(tryfirst=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Two processes for everything, none besides this one for what is named on the command line."""
    return 2 if config.args_source is config.ArgsSource.TESTPATHS else 0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What Ray leaves to the garbage collector, files and processes of its own, fails no test that starts one."""
    for item in items:
        if item.get_closest_marker("ray") is not None:
            item.add_marker(pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"))


@pytest.fixture(scope="session")
def cluster() -> Iterator[str]:
    """The address of a running Ray cluster of this machine."""
    folder = tempfile.mkdtemp(prefix="fs-", dir="/tmp")
    command = [sys.executable, "-c", _CLUSTER, folder]
    environment = os.environ | LOCAL | {"RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1"}
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment
        ) as process,
    ):
        assert process.stdout is not None
        lines = (line.split() for line in process.stdout)
        address = next((words[1] for words in lines if words[:1] == ["address"]), None)
        errors.seek(0)
        assert address is not None, errors.read()
        yield address
        process.communicate()
    shutil.rmtree(folder, ignore_errors=True)
