"""fedsim serve: what it opens, and what it refuses at the door."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from fedsim.cli import main
from fedsim.metrics import RunStarted
from fedsim.store.database import Store

pytestmark = pytest.mark.slow

COMMAND = [sys.executable, "-c", "import sys; from fedsim.cli import main; sys.exit(main())", "serve", "--port", "0"]


def serving(folder: Path, *options: str, **environment: str) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen(
        [*COMMAND, *options], cwd=folder, env=os.environ | environment, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, process.stdout.readline()


def ended(process: subprocess.Popen[str]) -> int:
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    return process.returncode


def address(line: str) -> str:
    return line.split(" at ")[1].split(" ")[0].rstrip("/")


def test_it_serves_the_default_store_and_makes_it_where_there_is_none(tmp_path: Path) -> None:
    process, line = serving(tmp_path)
    assert line.startswith(f"serving {tmp_path}/runs/fedsim.db at http://127.0.0.1:")
    assert httpx.get(f"{address(line)}/api/runs", timeout=60).json() == []
    assert (tmp_path / "runs" / "fedsim.db").exists()
    assert ended(process) == 130


def test_other_hosts_are_served_with_the_token_of_the_environment(tmp_path: Path) -> None:
    process, line = serving(tmp_path, "--host", "0.0.0.0", "--token-env", "LAB", LAB="secret")
    port = address(line).rpartition(":")[2]
    asked = [
        httpx.get(f"http://127.0.0.1:{port}/api/runs", headers={"authorization": f"Bearer {word}"}, timeout=60)
        for word in ("secret", "guess")
    ]
    assert [answer.status_code for answer in asked] == [200, 401]
    assert ended(process) == 130


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "lab.example"])
def test_any_host_but_loopback_demands_a_token(
    host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FEDSIM_TOKEN", " ")
    assert main(["serve", "--host", host]) == 2
    assert f"--host {host}: other machines could reach this address" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_port_that_is_taken_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["serve", "--port", str(port), "--store", str(tmp_path / "fedsim.db")]) == 2
    assert f"--port {port}: cannot listen there" in capsys.readouterr().err


def test_what_is_no_store_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.db").write_text("no database, but long enough for the header of one" * 20)
    assert main(["serve", "--store", str(tmp_path / "x.db")]) == 2
    assert "cannot be used as a store" in capsys.readouterr().err


def test_a_folder_of_runs_is_a_store(tmp_path: Path) -> None:
    with Store(tmp_path / "fedsim.db") as store:
        store.write([RunStarted(run="a", name="toy", strategy="fedavg", seed=1, num_clients=1, rounds=1)])
    process, line = serving(tmp_path, "--store", str(tmp_path))
    assert [run["id"] for run in httpx.get(f"{address(line)}/api/runs", timeout=60).json()] == ["a"]
    ended(process)
