"""A Ray cluster that outlives single runs, so that many runs need not start one each."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator

import pytest

# In a process of its own: what Ray leaves open there is none of our warnings. It ends with its standard input.
_CLUSTER = """
import os, sys
from ray._common.utils import get_default_ray_temp_dir
from ray.cluster_utils import Cluster
os.makedirs(get_default_ray_temp_dir(), exist_ok=True)  # it writes its address there, and does not make the folder
cluster = Cluster(initialize_head=True, head_node_args={
    "num_cpus": 4, "include_dashboard": False, "temp_dir": sys.argv[1], "object_store_memory": 200_000_000,
    "resources": {"phones": 2, "trucks": 1}})
print("address", cluster.address, flush=True)
sys.stdin.read()
cluster.shutdown()
"""


@pytest.fixture(scope="session")
def cluster() -> Iterator[str]:
    """The address of a running Ray cluster of this machine."""
    folder = tempfile.mkdtemp(prefix="fs-", dir="/tmp")
    command = [sys.executable, "-c", _CLUSTER, folder]
    environment = os.environ | {"RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        lines = (line.split() for line in process.stdout)
        yield next(words[1] for words in lines if words[:1] == ["address"])
        process.stdin.close()
        process.stdin = None
        process.communicate(timeout=60)
    shutil.rmtree(folder, ignore_errors=True)
