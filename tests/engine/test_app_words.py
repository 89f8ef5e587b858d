"""What `fedsim flower-app` says: what clients print, why they fail, which option is wrong, what is waited for."""

from __future__ import annotations

import io
import sys
import threading
import time
from pathlib import Path
from timeit import repeat

import numpy as np
import pytest
import torch

from fedsim.engine.flower import app_run
from fedsim.engine.nodes.app_host import seed_generators
from tests.engine.apps import ours, results, write

pytestmark = pytest.mark.slow

WORDS = """
import logging
logging.basicConfig()

@client.query()
def query(msg, context):
    number = context.node_config["partition-id"]
    print("printed by", number)
    logging.warning("logged by %d", number)
    if number == 1:
        deep()
    if number == 2:
        sys.exit(9)
    if number == 3:
        return {"not": "a message"}
    return Message(RecordDict(), reply_to=msg)

def deep():
    np.linalg.inv(np.zeros((2, 2)))

@server.main()
def main(grid, context):
    for reply in ask(grid, nodes(grid)):
        print("RESULT", reply.error.reason.splitlines() if reply.has_error() else "fine")
"""
NEEDY = """
@server.main()
def main(grid, context):
    FedAvg().start(grid=grid, initial_arrays=ArrayRecord([np.zeros(1)]), num_rounds=1)
"""
LEGACY = """
from flwr.common import ndarrays_to_parameters
from flwr.server import ServerAppComponents, ServerConfig
from flwr.server.strategy import FedAvg as Legacy
server = ServerApp(server_fn=lambda context: ServerAppComponents(
    strategy=Legacy(min_fit_clients=6, min_available_clients=6,
        initial_parameters=ndarrays_to_parameters([np.zeros(1)])),
    config=ServerConfig(num_rounds=1)))
"""
HELLO = """
from {package}.other import WORD

@client.query()
def query(msg, context):
    import {package}.other as late
    return Message(RecordDict({{"m": ConfigRecord({{"word": late.WORD}})}}), reply_to=msg)

@server.main()
def main(grid, context):
    print("RESULT", {{WORD, *(reply.content["m"]["word"] for reply in ask(grid, nodes(grid)))}})
"""
BOTH = pytest.mark.parametrize("hosts", ["0", pytest.param("2", marks=pytest.mark.ray)])


@BOTH
def test_what_clients_print_and_log_is_seen(hosts: str, tmp_path: Path) -> None:
    done = ours(write(tmp_path, WORDS), "--hosts", hosts)
    assert [f"printed by {number}" in done.stdout for number in range(4)] == [True] * 4
    assert [f"logged by {number}" in done.stderr for number in range(4)] == [True] * 4


def test_lines_of_two_hosts_do_not_cut_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow(io.StringIO):
        def write(self, text: str, /) -> int:
            time.sleep(0.01)  # another host's thread would write now
            return super().write(text)

    out = Slow()
    monkeypatch.setattr(sys, "stdout", out)
    heard = [[("stdout", text) for text in ("printed by", " ", str(host), "\n")] for host in range(2)]
    threads = [threading.Thread(target=app_run._say, args=(one,)) for one in heard for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(out.getvalue().splitlines()) == ["printed by 0"] * 3 + ["printed by 1"] * 3


@BOTH
def test_a_failure_is_told_with_the_frames_of_the_app(hosts: str, tmp_path: Path) -> None:
    done = ours(write(tmp_path, WORDS), "--hosts", hosts)
    fine, raised, left, returned = results(done)
    assert fine == "fine"
    assert "in query" in raised
    assert "in deep" in raised
    assert "Singular matrix" in raised
    assert "fedsim/engine" not in raised
    assert "the ClientApp called sys.exit(9)" in left
    assert returned == "['the ClientApp returned a dict, not a Message']"
    assert "node 2: Traceback" in done.stdout + done.stderr


@BOTH
def test_a_strategy_that_wants_more_nodes_than_there_are_ends_with_the_reason(hosts: str, tmp_path: Path) -> None:
    done = ours(write(tmp_path, NEEDY), "--nodes", "1", "--hosts", hosts)
    assert done.returncode == 2
    assert "the ServerApp waits for 2 nodes and there are 1: write --nodes 2, or lower" in done.stderr


def test_an_older_app_that_wants_more_nodes_than_there_are_ends_with_the_reason(tmp_path: Path) -> None:
    done = ours(write(tmp_path, LEGACY))
    assert done.returncode == 2
    assert "the ServerApp waits for 6 nodes and there are 4: write --nodes 6, or lower" in done.stderr


@pytest.mark.parametrize(
    ("package", "hosts"),
    [
        ("strategies", "0"),
        ("clients", "0"),
        ("tests", "0"),
        pytest.param("strategies", "2", marks=pytest.mark.ray),
        pytest.param("clients", "2", marks=[pytest.mark.ray, pytest.mark.full]),
        pytest.param("tests", "2", marks=[pytest.mark.ray, pytest.mark.full]),
    ],
)
def test_a_package_may_have_any_name(package: str, hosts: str, tmp_path: Path) -> None:
    app = write(tmp_path, HELLO.format(package=package), package)
    (app / package / "other.py").write_text("WORD = 'its own'\n")
    assert results(ours(app, "--hosts", hosts, cwd=tmp_path.parent)) == ["{'its own'}"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("mod=1 other=2", ["mod: the app has no such option; it has mode; did you mean 'mode'?"]),
        ("mode", ['mode: not key=value with a number, true, false or "text"']),
        ("mode=some text", ['text: not key=value with a number, true, false or "text"']),
        ("no.toml", ["no.toml: cannot be read: "]),
    ],
)
def test_a_wrong_option_of_the_app_is_told_as_such(given: str, said: list[str], tmp_path: Path) -> None:
    done = ours(write(tmp_path, NEEDY), "--run-config", given)
    assert done.returncode == 2
    assert all(f"--run-config: {text}" in done.stderr for text in said)
    assert "pyproject" not in done.stderr


def test_a_half_that_is_not_there_is_named(tmp_path: Path) -> None:
    app = write(tmp_path, NEEDY)
    project = app / "pyproject.toml"
    project.write_text(project.read_text().replace('"pkg.both:client"', '"pkg.nowhere:client"'))
    done = ours(app)
    assert done.returncode == 2
    assert done.stderr.strip() == f"{project}: clientapp: there is no module pkg.nowhere"


def test_seeding_gives_the_draws_of_a_plain_seed_at_a_fraction_of_its_cost() -> None:
    number = int(np.random.SeedSequence((3, 1, 4)).generate_state(1)[0])
    torch.manual_seed(number)
    plain = torch.rand(3)
    seed_generators(3, 1, 4)
    assert torch.equal(torch.rand(3), plain)
    assert min(repeat(lambda: seed_generators(3, 1, 4), number=20, repeat=10)) / 20 < 0.001
