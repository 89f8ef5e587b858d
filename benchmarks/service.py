"""How fast the service answers: 200 runs of 5,000 rounds each, asked over loopback like a page asks.

    python -m benchmarks.service [--runs 200] [--rounds 5000] [--times 40]

Targets: the list page and a run's page under 0.3 s (95th percentile); a comparison of 20 runs keeps the last point.
"""

import argparse
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import numpy as np

from fedsim.metrics import METRICS, RunEnded, RunStarted
from fedsim.service.app import create_app
from fedsim.service.listening import Server, listener
from fedsim.store.database import Store

EVALUATED = ("evaluate_s", "test_accuracy", "test_loss")
REPORTED = (
    "bytes_down", "bytes_up", "choose_s", "cohort_size", "collect_s", "empty_round", "evaluate_s", "idle_s",
    "memory_age_max", "memory_age_mean", "messages", "num_crashed", "num_invited", "num_lost", "objective_tv",
    "params_norm", "record_s", "reduce_s", "round_s", "send_s", "ship_s", "step_s", "test_accuracy", "test_loss",
    "train_loss", "train_s", "update_norm", "update_variance", "wire_bytes",
)  # fmt: skip
SCENARIO = "name: bench\nseed: {}\nclient: {{lr: 0.1}}\nstrategy: {{name: fedstale, beta: {}}}\n"


def fill(file: Path, runs: int, rounds: int) -> None:
    """Write the runs straight into the tables, as the recorder's thread would have over hours."""
    assert all(name in METRICS for name in REPORTED)
    with Store(file) as store:
        for k in range(runs):
            about = {"num_clients": 100, "rounds": rounds, "wall_time": float(k)}
            text = SCENARIO.format(k % 5, k // 5)
            store.write(
                [RunStarted(run=name(k), name="bench", strategy="fedstale", seed=k % 5, scenario=text, **about)]
            )
    rng = np.random.default_rng(1)
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("PRAGMA synchronous=OFF")
    connection.execute("BEGIN")
    for k in range(runs):
        connection.executemany("INSERT INTO metrics VALUES (?, ?, ?, ?)", values(name(k), rounds, rng))
        connection.executemany(
            "INSERT INTO blobs VALUES (?, 'participants', ?, '<i8', '[10]', ?)", cohorts(name(k), rounds, rng)
        )
    connection.execute("UPDATE runs SET round = ?", (rounds,))
    connection.execute("COMMIT")
    connection.close()
    with Store(file) as store:
        store.write([RunEnded(run=name(k), status="completed") for k in range(runs - 1)])


def name(k: int) -> str:
    return f"{k:016x}"


def values(run: str, rounds: int, rng: np.random.Generator) -> Iterator[tuple[str, str, int, float]]:
    for metric in REPORTED:
        which = range(0, rounds + 1, 10) if metric in EVALUATED else range(1, rounds + 1)
        yield from ((run, metric, r, value) for r, value in zip(which, rng.random(len(which)).tolist(), strict=True))


def cohorts(run: str, rounds: int, rng: np.random.Generator) -> Iterator[tuple[str, int, bytes]]:
    for r in range(1, rounds + 1):
        yield run, r, np.sort(rng.choice(100, 10, replace=False)).astype("<i8").tobytes()


def timed(what: str, times: int, call: Callable[[int], int]) -> None:
    """Call again and again, about another run each time, and show the quantiles."""
    seconds, size = [], 0
    for k in range(times):
        begin = time.perf_counter()
        size = call(k)
        seconds.append(time.perf_counter() - begin)
    low, high = np.quantile(seconds, [0.5, 0.95])
    print(f"{what:<46} median {1e3 * low:7.1f} ms   p95 {1e3 * high:7.1f} ms   {size / 1e3:8.1f} kB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5000)
    parser.add_argument("--times", type=int, default=40)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "fedsim.db"
        begin = time.perf_counter()
        fill(file, given.runs, given.rounds)
        size = file.stat().st_size / 1e6
        print(
            f"{given.runs} runs x {given.rounds} rounds: {size:.0f} MB, filled in {time.perf_counter() - begin:.0f} s"
        )
        with Store(file, busy_s=10.0) as store, listener("127.0.0.1", 0) as opened:
            server = Server(create_app(store))
            thread = threading.Thread(target=server.run, kwargs={"sockets": [opened]}, daemon=True)
            thread.start()
            with httpx.Client(base_url=f"http://127.0.0.1:{opened.getsockname()[1]}", timeout=60) as client:
                ask_all(client, given.runs, given.rounds, given.times)
            server.should_exit = True
            thread.join()


def ask_all(client: httpx.Client, runs: int, rounds: int, times: int) -> None:
    """Time what the pages ask for."""

    def get(path: str) -> int:
        answer = client.get(path)
        assert answer.status_code == 200, answer.text
        return len(answer.content)

    def a_run(k: int) -> str:
        return name(k * 37 % runs)

    def page(k: int) -> int:
        """A run's page: who it is, its curves (the first event of its stream), who took part."""
        run = f"/api/runs/{a_run(k)}"
        size = get(run) + get(f"{run}/participation?rows=100&columns=200")
        with client.stream("GET", f"{run}/stream") as answer:
            lines = answer.iter_lines()
            assert next(lines) == "event: snapshot"
            return size + len(next(lines))

    def compared(k: int) -> int:
        chosen = "&".join(f"run={name((20 * k + j) % runs)}" for j in range(min(20, runs)))
        answer = client.get(f"/api/compare?{chosen}&metric=update_variance&x=bytes&points=600")
        assert all(run["round"][-1] == rounds and len(run["y"]) <= 600 for run in answer.json()["runs"])
        return len(answer.content)

    get("/api/runs")  # the first answer opens the database
    timed("the page itself", times, lambda _: get("/"))
    timed(
        f"list of {runs} runs, first page with sparklines",
        times,
        lambda k: get(f"/api/runs?spark=40&limit=50&offset={k % 4}"),
    )
    timed("all 200 at once with sparklines", times, lambda _: get("/api/runs?spark=40&limit=200"))
    timed("a run's page: facts, curves, participation", times, page)
    timed("rounds since the last 10", times, lambda k: get(f"/api/runs/{a_run(k)}/rounds?since={rounds - 10}"))
    timed("compare 20 runs over bytes, thinned", max(5, times // 4), compared)
    timed("/metrics", times, lambda _: get("/metrics"))


if __name__ == "__main__":
    main()
