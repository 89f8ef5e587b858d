"""The compose file's own commands, each on a machine of its own: a run, its page, and Prometheus reading it."""

from __future__ import annotations

import json
import os
import pwd
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import fedsim
from tests.cluster.namespaces import BIN, Machine, Network, network

POSTGRES = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
PROMETHEUS = shutil.which("prometheus")
pytestmark = [
    pytest.mark.cluster,
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root"),
    pytest.mark.skipif(not POSTGRES or PROMETHEUS is None, reason="needs Debian's postgresql and prometheus"),
]
ROOT = Path(__file__).parents[2]
SECRETS = {
    "RAY_AUTH_TOKEN": "a" * 64,
    "FEDSIM_TOKEN": "b" * 32,
    "POSTGRES_PASSWORD": "c" * 16,
    "POSTGRES_ADMIN_PASSWORD": "d" * 16,
}
NAMED = ["unshare", "--uts", "sh", "-c", 'hostname "$0"; exec "$@"']
"""A container's host name is that of its address; Ray finds its own address by it."""
SET = {**SECRETS, "OBJECT_STORE_BYTES": "100000000"}
ASK = """
import sys, urllib.request
request = urllib.request.Request(sys.argv[1], headers={"Authorization": "Bearer " + sys.argv[2]})
sys.stdout.write(urllib.request.urlopen(request, timeout=10).read().decode())
"""


def _filled(text: str) -> str:
    """Fill variables in as docker-compose does."""
    filled = re.sub(r"(?<!\$)\$\{(\w+)(?::[-?]([^}]*))?\}", lambda m: SET.get(m[1], m[2] or ""), text)
    return filled.replace("$$", "$")


SERVICES: dict[str, Any] = yaml.safe_load(_filled((ROOT / "docker-compose.yml").read_text()))["services"]


def _start(machine: Machine, service: str, **swapped: str) -> subprocess.Popen[str]:
    """Run a service's own command with its own environment; `swapped` are places that an image would have."""
    told = SERVICES[service]
    words = [*told.get("entrypoint", []), *told["command"]]
    for old, new in swapped.items():
        words = [word.replace(old, new) for word in words]
    environment = [f"{k}={v}" for k, v in told["environment"].items()]
    return machine.start(*NAMED, service, "env", *environment, *words, stdout=subprocess.DEVNULL)


def _await(machine: Machine, command: str, what: str) -> None:
    loop = f"until {command} > /dev/null 2>&1; do sleep 0.3; done"
    waiting = machine.start("timeout", 120, "bash", "-c", loop)
    waiting.communicate()
    assert waiting.returncode == 0, f"{what} did not come up: {(machine.net.folder / 'log').read_text()[-3000:]}"


def _healthy(machine: Machine, service: str) -> None:
    """Wait until the service's own health check passes, asked on its own machine."""
    kind, *words = SERVICES[service]["healthcheck"]["test"]
    assert kind == "CMD"
    environment = [f"{k}={v}" for k, v in SERVICES[service]["environment"].items()]
    _await(machine, subprocess.list2cmdline(["env", *environment]) + " " + " ".join(map(_quoted, words)), service)


def _quoted(word: str) -> str:
    return "'" + word.replace("'", "'\\''") + "'"


def _ask(machine: Machine, url: str) -> str:
    done = machine.start(sys.executable, "-c", ASK, url, SECRETS["FEDSIM_TOKEN"])
    return str(done.communicate()[0])


@pytest.fixture
def machines() -> Iterator[dict[str, Machine]]:
    """A machine for every service; all know each other by the services' names."""
    with network() as net:
        net.environment["PATH"] = f"{BIN}:{POSTGRES[-1].parent}:{net.environment['PATH']}"
        made = {name: net.machine(name) for name in ("ray-head", "ray-worker", "postgres", "metrics", "prometheus")}
        table = "127.0.0.1 localhost\n" + "".join(f"{m.address} {name}\n" for name, m in made.items())
        places = [Path("/etc/netns") / machine.name for machine in made.values()]
        for place in places:
            place.mkdir(parents=True)
            (place / "hosts").write_text(table)
        yield made
        for place in places:
            shutil.rmtree(place)


def _postgres(net: Network, machine: Machine) -> None:
    """Start a server as the image's own entry point does: a user, a database, and nobody in without the password."""
    home = net.folder / "pg"
    home.mkdir()
    net.folder.chmod(0o755)
    owner = pwd.getpwnam("postgres")
    (home / "password").write_text(SECRETS["POSTGRES_ADMIN_PASSWORD"])
    for place in (home, home / "password"):
        os.chown(place, owner.pw_uid, owner.pw_gid)
    as_owner: dict[str, Any] = {"user": owner.pw_uid, "group": owner.pw_gid, "stdout": subprocess.DEVNULL, "cwd": home}
    options = ["-D", home / "data", "-U", "postgres", "-A", "scram-sha-256", "--no-sync"]
    subprocess.run([POSTGRES[-1], *options, "--pwfile", home / "password"], check=True, **as_owner)
    (home / "data" / "pg_hba.conf").write_text("host all all 10.77.0.0/24 scram-sha-256\nlocal all all trust\n")
    listen = ["-c", "listen_addresses=*", "-c", f"unix_socket_directories={home}", "-c", "fsync=off"]
    run = ["setpriv", f"--reuid={owner.pw_uid}", f"--regid={owner.pw_gid}", "--clear-groups"]
    machine.start(*run, POSTGRES[-1].with_name("postgres"), "-D", home / "data", *listen, stdout=subprocess.DEVNULL)
    _await(machine, f"pg_isready --host={home} --username=postgres", "postgres")
    command = [POSTGRES[-1].with_name("createdb"), f"--host={home}", "--username=postgres", "fedsim"]
    machine.start(*command).communicate()
    told = {**SERVICES["postgres"]["environment"], "PGHOST": home}
    role = machine.start("env", *(f"{k}={v}" for k, v in told.items()), "sh", ROOT / "deploy" / "postgres-role.sh")
    role.communicate()
    assert role.returncode == 0
    asked = "SELECT rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls FROM pg_roles"
    command = ["psql", f"--host={home}", "--username=postgres", "-Atc", f"{asked} WHERE rolname = 'fedsim'", "fedsim"]
    assert machine.start(*command).communicate()[0].strip() == "f|f|f|f|f"


def test_a_run_inside_its_curves_on_the_page_and_prometheus_reading_it(
    machines: dict[str, Machine], tmp_path: Path
) -> None:
    net = machines["metrics"].net
    _start(machines["ray-head"], "ray-head")
    _postgres(net, machines["postgres"])
    _healthy(machines["ray-head"], "ray-head")
    _start(machines["ray-worker"], "ray-worker")
    _start(machines["metrics"], "metrics")
    _healthy(machines["metrics"], "metrics")

    environment = [f"{k}={v}" for k, v in SERVICES["ray-head"]["environment"].items()]
    options = "--set engine.address=ray-head:6379 --set engine.hosts=auto --set rounds=6 --set evaluate.every=3"
    command = f"fedsim run {ROOT}/scenarios/quickstart.yaml --set metrics.store=$FEDSIM_STORE {options}"
    run = machines["ray-head"].start(
        *NAMED, "ray-head", "env", *environment, "sh", "-c", f"{command} --out {tmp_path / 'run'}"
    )
    told, _ = run.communicate()
    assert run.returncode == 0, told + (net.folder / "log").read_text()[-3000:]
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    serial = fedsim.run(
        ROOT / "scenarios" / "quickstart.yaml", out=tmp_path / "serial", rounds=6, engine={"kind": "serial"}
    )
    assert summary["params_sha256"] == serial.summary["params_sha256"]

    assert [run["id"] for run in json.loads(_ask(machines["prometheus"], "http://metrics:8080/api/runs"))] == [
        summary["run"]
    ]
    series = f"http://metrics:8080/api/runs/{summary['run']}/series?metric=train_loss&metric=test_accuracy"
    curves = json.loads(_ask(machines["prometheus"], series))
    assert set(curves) == {"train_loss", "test_accuracy"}
    assert "<script" in _ask(machines["prometheus"], "http://metrics:8080/")

    config = net.folder / "prometheus.yml"
    token = str(net.folder / "token")
    config.write_text((ROOT / "deploy" / "prometheus.yml").read_text().replace("/tmp/token", token))
    inside = {"/etc/prometheus/prometheus.yml": str(config), "/tmp/token": token}
    _start(machines["prometheus"], "prometheus", **inside, **{"=/prometheus": f"={net.folder}/tsdb"})
    scraped = "http://127.0.0.1:9090/api/v1/query?query=fedsim_round"
    found = f"curl -sf '{scraped}' | grep -q {summary['run']}"
    _await(machines["prometheus"], f"bash -c {_quoted(found)}", "prometheus")
    (sample,) = json.loads(_ask(machines["prometheus"], scraped))["data"]["result"]
    assert sample["value"][1] == "6"
