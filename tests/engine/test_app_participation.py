"""A Flower app in a world where nodes come and go: who is seen, what is written down, the same twice and on hosts."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fedsim
from fedsim.engine.flower.app_world import Heard, World
from tests.engine.apps import ours, results, write

BODY = """
@client.train()
def train(msg, context):
    who = context.node_config["partition-id"]
    model = msg.content["arrays"].to_numpy_ndarrays()[0] + np.random.normal() + who
    metrics = MetricRecord({"num-examples": 1, "train_loss": float(who)})
    return Message(RecordDict({"arrays": ArrayRecord([model]), "metrics": metrics}), reply_to=msg)

@server.main()
def main(grid, context):
    strategy = FedAvg(fraction_evaluate=0.0, min_train_nodes=1, min_available_nodes=LEAST)
    found = strategy.start(
        grid=grid, initial_arrays=ArrayRecord([np.zeros(1)]), num_rounds=4,
        evaluate_fn=lambda round, arrays: MetricRecord({"accuracy": round / 10, "size": 3.0}))
    print("RESULT", found.arrays.to_numpy_ndarrays()[0].tolist())
"""
CHANCE = "{kind: markov, probabilities: 0.5, activation: 0.3}"


def run(folder: Path, out: str, *options: str, world: str = CHANCE) -> tuple[list[str], list[dict[str, str]]]:
    told = results(ours(folder, "--participation", world, "--seed", "4", "--out", str(folder / out), *options))
    with (folder / out / "rounds.csv").open() as rows:
        return told, list(csv.DictReader(rows))


@pytest.fixture
def app(tmp_path: Path) -> Path:
    return write(tmp_path / "app", BODY.replace("LEAST", "1"))


@pytest.mark.slow
def test_absent_nodes_are_not_seen_and_rounds_are_written_down(app: Path) -> None:
    told, rows = run(app, "one")
    again, same = run(app, "two")
    assert (told, rows) == (again, same)
    store: Any = fedsim.load(str(app / "fedsim.db"))
    first = store[store["run"] == json.loads((app / "one" / "summary.json").read_text())["run"]]
    by = {name: part.sort_values("round")["value"].tolist() for name, part in first.groupby("metric")}
    assert by["server.size"] == [3.0] * 5
    assert by["test_accuracy"] == [0.0, 0.1, 0.2, 0.3, 0.4]
    assert [float(row["test_accuracy"]) for row in rows] == [0.1, 0.2, 0.3, 0.4]
    assert [int(row["cohort_size"]) for row in rows] == by["cohort_size"]
    assert any(size < 4 for size in by["cohort_size"])
    assert by["train_loss"] == by["client.train_loss"]
    summary = json.loads((app / "one" / "summary.json").read_text())
    assert (summary["status"], summary["rounds"], summary["clients"]) == ("completed", 4, 4)
    with np.load(app / "one" / "params.npz") as params:
        assert len(params.files) == 1


@pytest.mark.slow
@pytest.mark.ray
def test_on_two_hosts_the_same_nodes_are_seen_with_the_same_result(app: Path) -> None:
    assert run(app, "hosts", "--hosts", "2") == run(app, "here")


@pytest.mark.slow
def test_a_server_that_waits_for_more_nodes_lets_time_pass(tmp_path: Path) -> None:
    app = write(tmp_path / "app", BODY.replace("LEAST", "2"))
    cohorts = "{kind: schedule, cohorts: [[0], [1, 2], [3], [0, 1, 3], [2, 3], [0, 2]]}"
    _, rows = run(app, "run", world=cohorts)
    # round 1 waits for [1, 2], and asks as many as it first saw; round 2, a round later, meets [3] and waits for
    # [0, 1, 3]; then there are [2, 3] and [0, 2]
    assert [int(row["cohort_size"]) for row in rows] == [1, 1, 2, 2]
    losses = [float(row["train_loss"]) for row in rows]
    assert losses[0] in (1.0, 2.0)
    assert losses[1] in (0.0, 1.0, 3.0)
    assert losses[2:] == [2.5, 1.0]


@pytest.mark.slow
def test_participation_that_is_none_is_refused_in_the_words_of_a_scenario(app: Path) -> None:
    done = ours(app, "--participation", "{kind: bernouli, probabilities: 0.5}")
    assert done.returncode == 2
    assert "did you mean 'bernoulli'?" in done.stderr


class Alternating:
    num_clients, probabilities = 4, None

    def cohort(self, round: int) -> Any:
        return np.array([0, 1] if round % 2 else [2, 3])


def test_a_round_is_the_strategys_own_and_ends_when_the_next_begins() -> None:
    heard: list[Heard] = []
    world = World(Alternating(), heard.append)

    def configure(round: int, looks: int = 1) -> list[int]:
        with world.turn(round):
            return [world.present(look=True).tolist() for _ in range(looks)][-1]

    assert [configure(1), configure(1), configure(2)] == [[0, 1], [0, 1], [2, 3]]
    assert [one.round for one in heard] == [1]
    world.told("server", {"accuracy": 0.5, "list": [1]}, 2)
    world.close()
    assert heard[1].told == {"server": {"accuracy": 0.5}}
    assert heard[1].present.tolist() == [2, 3]
    # who looks more than twice waits: the next round comes, and later ones follow on that
    assert [configure(3, looks=2), configure(4, looks=3), configure(5)] == [[0, 1], [0, 1], [2, 3]]
