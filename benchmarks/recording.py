"""What recording costs: on the training path (`emit`, a row of rounds.csv), and behind it (the database's thread).

    python -m benchmarks.recording [--rounds 2000]

The target is 1 % of a 10 ms round on the training path: 100 microseconds.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np

from fedsim.metrics import METRICS, Event, RoundDone, RunStarted, columns
from fedsim.metrics.recorder import Recorder
from fedsim.metrics.rounds_csv import RoundsCsv
from fedsim.store.database import Store
from fedsim.store.sink import Database

ROUND_S = 0.010
COHORT = 100


def told(rounds: int) -> list[RoundDone]:
    """Return rounds with 25 metrics and 100 participants each."""
    names = [metric.name for metric in METRICS.values() if metric.column and metric.name != "round"][:25]
    rng = np.random.default_rng(1)
    return [
        RoundDone(
            run="bench",
            round=r,
            values=dict(zip(names, rng.random(len(names)).tolist(), strict=True)),
            vectors={"participants": np.arange(COHORT)},
        )
        for r in range(1, rounds + 1)
    ]


def each(call: Callable[[RoundDone], None], events: list[RoundDone], pause_s: float) -> list[float]:
    """Time one call per event, with a round's pause in between, as in a run."""
    taken = []
    for event in events:
        begin = time.perf_counter()
        call(event)
        taken.append(time.perf_counter() - begin)
        time.sleep(pause_s)
    return taken


def show(what: str, seconds: list[float]) -> None:
    micro = np.array(seconds) * 1e6
    share = float(np.mean(micro)) / ROUND_S / 1e4
    quantiles = f"median {median(micro):7.1f} us   p99 {np.quantile(micro, 0.99):7.1f} us"
    print(f"{what:<44} {quantiles}   mean {share:.3f} % of 10 ms")


def cpu_behind(folder: Path, events: list[RoundDone]) -> float:
    """Return the processor seconds a round costs the database's thread when batches are of 0.25 s."""
    batch = int(0.25 / ROUND_S)
    with Store(folder / "behind.db") as store:
        begin = time.process_time()
        for k in range(0, len(events), batch):
            store.write(events[k : k + batch])
        return (time.process_time() - begin) / len(events)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=1000)
    rounds = parser.parse_args().rounds
    events = told(rounds)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        start: Event = RunStarted(run="bench", name="b", strategy="fedavg", seed=1, num_clients=COHORT, rounds=rounds)
        with Recorder([Database(folder / "fedsim.db", folder / "spool.jsonl")]) as recorder:
            recorder.emit(start)
            show("emit, store at rest", each(recorder.emit, events, ROUND_S))
            begin = time.perf_counter()
            recorder.flush()
            print(f"{'flush before a checkpoint':<44} {(time.perf_counter() - begin) * 1e3:14.2f} ms")
        (folder / "broken.db").write_text("no database, but long enough for the header of one" * 20)
        with Recorder([Database(folder / "broken.db", folder / "spool.jsonl")]) as recorder:
            recorder.emit(start)
            show("emit, store broken (spool)", each(recorder.emit, events[: rounds // 4], ROUND_S))
        names = columns([*events[0].values])
        with RoundsCsv(folder / "rounds.csv", names) as csv:
            show("a row of rounds.csv, flushed", each(lambda e: csv.add(e.round, e.values), events, 0.0))
        behind = cpu_behind(folder, events)
        print(f"{'the database thread, processor time':<44} {behind * 1e6:14.1f} us   {behind / ROUND_S:.2%} of 10 ms")


if __name__ == "__main__":
    main()
