"""Server optimisers against hand-checked traces, Flower's own strategies and torch's optimisers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

import fedsim
from fedsim.core import Layout, ScenarioError
from fedsim.core.schedules.constant import Constant
from fedsim.core.schedules.linear import Linear
from fedsim.core.schedules.step import Step
from fedsim.core.server import Adam, Server, Transform, catalogue
from fedsim.core.server.adabelief import AdaBelief
from fedsim.core.server.amplify import Amplify
from fedsim.core.server.fedhyper import FedHyper
from fedsim.core.server.lamb import Lamb
from fedsim.scenario import from_dict, scenario_hash
from fedsim.strategies.fedavg import FedAvg
from fedsim.strategies.mifa import MIFA

from .scripted import play, play_on, population
from .through_yaml import ONE, TWO, points

D = 6
COHORTS = [[0, 1], [2], [], [0, 2], [], [1], [0, 1, 2]]


def noise(round: int, client: int) -> Any:
    return np.random.Generator(np.random.Philox(key=[round, client])).normal(size=D)


def moved(rule: Any, cohorts: Any = COHORTS) -> list[np.ndarray[Any, Any]]:
    return play(rule, population(3), cohorts, noise, size=D)[0]


def updates(transform: Transform, given: Any, params: Any = None, layout: Layout | None = None) -> Any:
    """Return what becomes of updates, with x moved by each at rate 1."""
    x = np.zeros(given.shape[1], np.float32) if params is None else params
    state, found = transform.init(x), []
    for round, update in enumerate(given, start=1):
        state, out = transform.apply(state, update, Server(round, x, 1.0, layout))
        found.append(out)
        x = (x + out).astype(np.float32)
    return np.array(found)


@pytest.mark.parametrize(
    ("optimizer", "after"),
    [
        ("", (0.81, 2.4369, 2.603985, 2.10922785, 2.3909981)),
        (", server_optimizer: {kind: amplify, period: 2, factor: 2}", (0.81, 3.8738, 3.53797, 1.8577114, 2.22751241)),
    ],
    ids=["fedavg", "amplify"],
)
def test_two_clients_move_a_number_as_computed_elsewhere(
    optimizer: str, after: tuple[float, ...], tmp_path: Path
) -> None:
    text = f"{TWO}\nstrategy: {{name: fedavg, normalise: participants{optimizer}}}"
    assert points(text, 5, tmp_path) == pytest.approx(after, rel=1e-7)


def test_fedhyper_moves_a_number_as_computed_elsewhere(tmp_path: Path) -> None:
    text = f"{ONE}\nstrategy: {{name: fedavg, server_optimizer: {{kind: fedhyper, bound: 3}}}}"
    assert points(text, 4, tmp_path) == pytest.approx((0.9, 0.80919, 0.72695342, 0.65264677), rel=1e-7)


def test_fedhyper_has_the_rates_computed_elsewhere() -> None:
    w, transform = 1.0, FedHyper(bound=3.0)
    state, rates = transform.init(np.zeros(1, np.float32)), []
    for round in range(1, 5):
        state, update = transform.apply(state, np.array([-0.1 * w]), Server(round, np.zeros(1, np.float32)))
        w += float(update[0])
        rates.append(state.rate)
    assert rates == pytest.approx((1, 1.009, 1.01628271, 1.02216514), abs=5e-9)


@pytest.mark.parametrize("transform", [FedHyper(bound=1.0), Amplify(period=2, factor=1.0)], ids=["fedhyper", "amplify"])
def test_a_transform_of_strength_one_is_fedavg_bit_for_bit(transform: Transform) -> None:
    plain, other = moved(FedAvg()), moved(FedAvg(server_optimizer=transform))
    assert [p.tobytes() for p in plain] == [p.tobytes() for p in other]


def test_fedhyper_stays_within_its_bound() -> None:
    same, turning = np.ones((40, D)), np.ones((40, D)) * np.where(np.arange(40) % 2, -1, 1)[:, None]
    assert updates(FedHyper(bound=2.0), same)[-1].tolist() == [2.0] * D
    assert abs(updates(FedHyper(bound=2.0), turning)[-1]).tolist() == [0.5] * D


def test_a_period_that_ends_with_nobody_there_is_amplified_all_the_same() -> None:
    rule = FedAvg(server_optimizer=Amplify(period=3, factor=2.0))
    plain, amplified = moved(FedAvg(), COHORTS[:3]), moved(rule, COHORTS[:3])
    np.testing.assert_allclose(amplified[2], 2 * plain[1], rtol=1e-6)
    assert amplified[1].tobytes() == plain[1].tobytes()


def test_the_amplified_step_has_the_length_of_the_factor_at_any_rate() -> None:
    rule = FedAvg(server_lr=0.25, server_optimizer=Amplify(period=4, factor=3.0))
    plain, amplified = moved(FedAvg(server_lr=0.25), COHORTS[:4]), moved(rule, COHORTS[:4])
    np.testing.assert_allclose(amplified[3], 3 * plain[3], rtol=1e-6)


FLOWER = {
    "FedYogi": ({"beta_1": 0.8, "beta_2": 0.95}, {"kind": "yogi", "beta1": 0.8, "beta2": 0.95}),
    "FedAdagrad": ({}, {"kind": "adagrad"}),
}


@pytest.mark.parametrize("flower", FLOWER)
def test_flowers_own_strategy_and_ours_move_alike(flower: str, tmp_path: Path) -> None:
    theirs, ours = FLOWER[flower]
    strategies: list[dict[str, Any]] = [
        {"name": "fedavg", "server_lr": 0.3, "server_optimizer": {"tau": 0.01, **ours}},
        {"name": "stock", "flower": flower, "options": {"eta": 0.3, "tau": 0.01, **theirs}},
    ]
    start, ends = [1.0, -2.0], []
    for number, strategy in enumerate(strategies):
        scenario = {
            "name": "flower",
            "rounds": 6,
            "data": {"dataset": "quadratic", "centers": [[0.0, 3.0], [4.0, -1.0], [2.0, 2.0]], "curvature": [1, 3, 2]},
            "model": {"name": "point", "init": start},
            "client": {"local_steps": 2, "lr": 0.1},
            "engine": {"kind": "serial", "nodes": 3},
            "strategy": strategy,
        }
        run = fedsim.run(scenario, out=tmp_path / str(number))
        with np.load(run.folder / "params.npz") as params:
            ends.append(params["point"])
    np.testing.assert_allclose(ends[0], ends[1], rtol=0, atol=1e-6)
    assert abs(ends[0] - start).min() > 0.1


def test_flowers_adam_and_ours_move_alike_at_its_corrected_rate() -> None:
    from flwr.serverapp.strategy import FedAdam

    # Flower multiplies eta by sqrt(1 - beta_2^(r+1)) / (1 - beta_1^(r+1)) in round r, which the paper does not
    eta, beta1, beta2 = 0.2, 0.8, 0.95
    theirs = FedAdam(eta=eta, beta_1=beta1, beta_2=beta2, tau=0.01)
    _, strategy, grid = play(
        FedAvg(server_optimizer=Adam(beta1=beta1, beta2=beta2, tau=0.01)), population(3), [[]], noise, size=D
    )
    strategy.choose = lambda round: np.arange(3, dtype=np.int64)
    x = np.zeros(D, np.float32)
    for round in range(2, 7):
        rate = eta * np.sqrt(1 - beta2 ** (round + 1)) / (1 - beta1 ** (round + 1))
        strategy.rule = replace(strategy.rule, server_lr=float(rate))
        play_on(strategy, grid, round)
        x = _flower(theirs, x, round)
        assert strategy.state is not None
        np.testing.assert_allclose(strategy.state.params, x, rtol=2e-6)
        x = strategy.state.params


def _flower(strategy: Any, x: Any, round: int) -> Any:
    """Return where a strategy of Flower's moves x, given what clients send in a round."""
    from flwr.app import Array, ArrayRecord, Message, MessageType, MetricRecord, RecordDict

    asked = Message(RecordDict({}), dst_node_id=1, message_type=MessageType.TRAIN)
    replies = []
    for client in range(3):
        local = ArrayRecord({"w": Array(x + np.float32(noise(round, client)))})
        metrics = MetricRecord({"num-examples": 1})
        replies.append(Message(RecordDict({"arrays": local, "metrics": metrics}), reply_to=asked))
    strategy.current_arrays = {"w": x}
    arrays, _ = strategy.aggregate_train(round, replies)
    return arrays["w"].numpy()


def test_lamb_is_torchs_adam_with_each_tensor_as_long_as_its_parameters() -> None:
    layout = Layout(("a", "b", "zeros"), ((2, 2), (3,), (2,)))
    start = np.array([1, -2, 3, 0.5, 4, -1, 2, 0, 0], np.float32)
    given = np.array([np.random.Generator(np.random.Philox(key=r)).normal(size=9) for r in range(4)])
    found = updates(Lamb(eps=1e-3, weight_decay=0.01), given, start, layout)
    x, old = start.astype(np.float64), torch.zeros(9, dtype=torch.float64, requires_grad=True)
    adam = torch.optim.Adam([old], lr=1.0, eps=1e-3)
    for round, update in enumerate(given):
        before = old.detach().clone().numpy()
        old.grad = torch.tensor(-update)
        adam.step()
        direction = old.detach().numpy() - before - 0.01 * x
        for part in (slice(0, 4), slice(4, 7), slice(7, 9)):
            length = np.linalg.norm(x[part])
            expected = direction[part] * (length / np.linalg.norm(direction[part]) if length else 1.0)
            np.testing.assert_allclose(found[round][part], expected, rtol=1e-9)
        x = (x + found[round]).astype(np.float32).astype(np.float64)


def test_adabelief_has_the_steps_computed_by_hand() -> None:
    # beta1 = beta2 = 1/2, eps = 1; v = 2: m = 1, s = 1/2 + 1 = 3/2, T = 2 / (sqrt(3) + 1);
    # v = -1: m = 0, s = 3/4 + 1/2 + 1 = 9/4, T = 0; v = 4: m = 2, s = 9/8 + 2 + 1 = 33/8, T = 16/7 / (sqrt(33/7) + 1)
    found = updates(AdaBelief(beta1=0.5, beta2=0.5, eps=1.0), np.array([[2.0], [-1.0], [4.0]]))
    expected = [2 / (np.sqrt(3) + 1), 0.0, 16 / 7 / (np.sqrt(33 / 7) + 1)]
    np.testing.assert_allclose(found[:, 0], expected, rtol=1e-14)


def test_weight_decay_is_that_of_torchs_sgd_with_the_update_as_negative_gradient() -> None:
    start = np.linspace(-2, 3, D, dtype=np.float32)
    rule = FedAvg(server_lr=0.5, server_weight_decay=0.1)
    found, _, _ = play(rule, population(3), [[0, 1], [], [2]], noise, size=D, start=start)
    w = torch.tensor(start, requires_grad=True)
    sgd = torch.optim.SGD([w], lr=0.5, weight_decay=0.1)
    for round, clients in ((1, [0, 1]), (3, [2])):
        w.grad = torch.tensor(-np.mean([np.float32(noise(round, c)) for c in clients], axis=0))
        sgd.step()
        np.testing.assert_allclose(found[round - 1], w.detach().numpy(), rtol=1e-6)
    assert found[1].tobytes() == found[0].tobytes()  # nobody came: nothing moves, nothing decays


def test_a_schedule_gives_each_round_its_rate() -> None:
    schedules = {
        "constant": (Constant(), [0.5] * 7),
        "step": (Step(every=2, factor=0.5), [0.5, 0.5, 0.25, 0.25, 0.125, 0.125, 0.0625]),
        "linear": (Linear(rounds=4), [0.5, 0.375, 0.25, 0.125, 0.0, 0.0, 0.0]),
    }
    steps = np.diff(np.array([np.zeros(D, np.float32), *moved(FedAvg())]), axis=0)
    for schedule, rates in schedules.values():
        found = moved(FedAvg(server_lr=0.5, server_schedule=schedule))
        expected = np.cumsum(np.array(rates)[:, None] * steps, axis=0)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_a_transform_sees_the_rate_of_its_round() -> None:
    halved = Step(every=3, factor=0.5)
    plain = moved(FedAvg(server_schedule=halved), COHORTS[:4])
    amplified = moved(FedAvg(server_schedule=halved, server_optimizer=Amplify(period=4, factor=3.0)), COHORTS[:4])
    np.testing.assert_allclose(amplified[3], 3 * plain[3], rtol=1e-6)


@pytest.mark.parametrize(
    ("schedule", "key"),
    [
        ("{kind: step, every: 2, by: step}", "server_schedule.by"),
        ("{kind: step, every: 1, factor: 1.0e+9}", "rate grows"),
    ],
)
def test_a_schedule_that_the_server_cannot_follow_is_refused(schedule: str, key: str, tmp_path: Path) -> None:
    for where in (
        f"strategy: {{name: mifa, server_schedule: {schedule}}}",
        f"compare: [{{name: mifa, server_schedule: {schedule}}}]",
    ):
        with pytest.raises(ScenarioError, match=key):
            from_dict(yaml.safe_load(f"{TWO}rounds: 50\n{where}"))


def test_a_round_without_a_move_leaves_adaptive_states_alone() -> None:
    for kind in ("adam", "adagrad", "yogi", "adabelief", "lamb", "momentum", "fedhyper"):
        rule = FedAvg(server_optimizer=catalogue()[kind]())
        with_empty = moved(rule, [[0, 1], [], [0, 1]])
        assert with_empty[1].tobytes() == with_empty[0].tobytes(), kind


def test_every_transform_goes_under_every_rule_by_its_word() -> None:
    for kind in catalogue():
        more = ", period: 2, factor: 2" if kind == "amplify" else ""
        scenario = from_dict(
            {
                "name": "x",
                "rounds": 1,
                "data": {"dataset": "digits", "clients": 5},
                "model": {"name": "linear"},
                "strategy": {"name": "mifa"},
            },
            [f"strategy.server_optimizer={{kind: {kind}{more}}}"],
        )
        assert isinstance(scenario.strategy, MIFA)
        assert isinstance(scenario.strategy.server_optimizer, catalogue()[kind])


def test_what_a_transform_cannot_take_is_said_with_its_place(tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    said = {
        "{kind: amplify, period: 0}": ("s.yaml:8:", "period", "factor"),
        "{kind: fedhyper, bound: 0.5}": ("strategy.server_optimizer.bound",),
        "{kind: yogi, beta3: 1}": ("beta3", "beta2"),
        "{kind: adamm}": ("adam", "lamb"),
    }
    for optimizer, words in said.items():
        file.write_text(f"{TWO}rounds: 1\nstrategy: {{name: fedavg, server_optimizer: {optimizer}}}\n")
        with pytest.raises(ScenarioError) as refused:
            fedsim.run(file, out=tmp_path / "run")
        assert all(word in str(refused.value) for word in words), str(refused.value)


def test_what_came_later_leaves_older_hashes_alone() -> None:
    base: dict[str, Any] = {
        "name": "x",
        "rounds": 1,
        "data": {"dataset": "digits", "clients": 4},
        "model": {"name": "linear"},
    }

    def digest(**strategy: Any) -> str:
        return scenario_hash(from_dict(base | {"strategy": {"name": "fedavg", **strategy}}))

    adam = {"kind": "adam"}
    assert digest(server_weight_decay=0.0) == digest()
    assert digest(server_schedule=None) == digest()
    assert digest(server_schedule={"kind": "power"}) != digest()
    assert digest(server_optimizer=adam | {"initial": 0.0}) == digest(server_optimizer=adam)
    assert digest(server_weight_decay=0.1) != digest()
    assert digest(server_optimizer=adam | {"initial": 0.1}) != digest(server_optimizer=adam)
