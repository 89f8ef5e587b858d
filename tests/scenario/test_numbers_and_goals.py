"""Numbers that training cannot hold, goals that nothing reaches, values that are there twice: refused by name."""

from __future__ import annotations

from typing import Any

import pytest

from fedsim.core import ScenarioError
from fedsim.scenario import from_dict

BASE: dict[str, Any] = {
    "name": "x",
    "rounds": 3,
    "data": {"dataset": "digits", "clients": 10},
    "model": {"name": "linear"},
}


def refused(**sections: Any) -> list[str]:
    with pytest.raises(ScenarioError) as error:
        from_dict(BASE | sections)
    return [f"{problem.key}: {problem.message}" for problem in error.value.problems]


@pytest.mark.parametrize("value", [1e-50, 1e39])
@pytest.mark.parametrize("key", ["lr", "weight_decay", "proximal_mu"])
def test_rates_that_float32_cannot_hold_are_refused(key: str, value: float) -> None:
    (line,) = refused(client={key: value})
    assert line == f"client.{key}: float32 holds numbers from 1.4e-45 to 3.4e+38, got {value:g}"


def test_rates_of_strategies_are_looked_at_wherever_they_stand() -> None:
    adam = {"name": "fedavg", "server_optimizer": {"kind": "adam", "tau": 1e-60}}
    assert refused(strategy=adam)[0].startswith("strategy.server_optimizer.tau: float32 holds")
    assert refused(compare=[{"name": "mifa"}, {"name": "fedavg", "server_lr": 1e40}])[0].startswith(
        "compare.1.server_lr: float32 holds"
    )


def test_a_rate_that_grows_beyond_float32_is_refused_with_its_decay() -> None:
    (line,) = refused(client={"lr": 0.1, "lr_decay": 10.0}, rounds=1000)
    assert line.startswith("client.lr_decay: from 0.1 the rate grows beyond 3.4e+38")
    from_dict(BASE | {"client": {"lr": 0.1, "lr_decay": 10.0}})


@pytest.mark.parametrize("lr", [0, 1e-45, 3.4e38])
def test_rates_at_the_edge_of_float32_are_taken(lr: float) -> None:
    assert from_dict(BASE | {"client": {"lr": lr}}).client.lr == lr


@pytest.mark.parametrize(
    ("stop", "message"),
    [
        ({"metric": "test_accuracy", "target": 90}, "stop.target: test_accuracy is a share, between 0 and 1"),
        ({"metric": "test_loss", "target": -1}, "stop.target: test_loss is never below 0"),
        ({"metric": "distance", "target": 1}, "stop.metric: distance is never measured in this run"),
        ({"metric": "node_loss_mean", "patience": 1}, "stop.metric: node_loss_mean is never measured in this run"),
        ({"max_virtual_s": 10}, "stop.max_virtual_s: without `devices:` the virtual clock stands still"),
    ],
)
def test_goals_that_cannot_be_reached_are_refused(stop: dict[str, Any], message: str) -> None:
    (line,) = refused(stop=stop)
    assert line.startswith(message)


@pytest.mark.parametrize("values", [[1, 1, 2], [2, 1, 1.0], [[1], [1]], [{"a": 1}, {"a": 1}], ["x", "x"]])
def test_equal_values_on_an_axis_are_refused(values: list[Any]) -> None:
    lines = refused(sweep={"seed": values})
    assert len(lines) == 1
    assert lines[0].endswith("is there twice; each value is run once")


def test_one_and_true_are_two_values_of_an_axis() -> None:
    assert from_dict(BASE | {"sweep": {"seed": [1, True]}}).sweep == {"seed": (1, True)}
