"""Runs over each other: thinning, axes, bands over seeds, and paired differences."""

from math import inf, nan
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedsim.analysis.grouping import About, flat, groups
from fedsim.analysis.paired import paired_difference
from fedsim.metrics import RoundDone
from fedsim.service.thinning import kept
from fedsim.store.database import Store
from tests.service.conftest import Client, begun, judged, whole


@given(st.lists(st.floats(width=32), max_size=400), st.integers(4, 60))
def test_thinning_keeps_ends_extremes_and_order(values: list[float], points: int) -> None:
    array = np.array(values, np.float64)
    places = kept(array, points)
    assert len(places) <= max(points, 4)
    assert (np.diff(places) > 0).all()
    if values:
        assert (places[0], places[-1]) == (0, len(values) - 1)
        finite = array[np.isfinite(array)]
        left = array[places][np.isfinite(array[places])]
        if len(finite) and len(values) > points:
            assert (left.min(), left.max()) == (finite.min(), finite.max())


def compared(client: Client, *runs: str, **query: object) -> Any:
    pairs = [("run", run) for run in runs] + list(query.items())
    return client.get("/api/compare", params=pairs).json()


@pytest.fixture
def three_seeds(store: Store) -> None:
    for seed in (1, 2, 3):
        store.write(whole(f"avg{seed}", seed=seed, strategy="fedavg", level=0.5))  # type: ignore[arg-type]
        store.write(whole(f"mifa{seed}", seed=seed, strategy="mifa", level=0.6 + 0.01 * seed))  # type: ignore[arg-type]


ALL = tuple(f"{name}{seed}" for name in ("avg", "mifa") for seed in (1, 2, 3))


@pytest.mark.usefixtures("three_seeds")
def test_runs_that_differ_in_the_seed_only_are_one_group(client: Client) -> None:
    found = compared(client, *ALL)
    assert [(group["label"], group["seeds"]) for group in found["groups"]] == [
        ("fedavg", [1, 2, 3]),
        ("mifa", [1, 2, 3]),
    ]
    assert found["groups"][0]["count"] == [3] * 5
    assert found["groups"][0]["mean"][-1] == pytest.approx(0.542)


@pytest.mark.usefixtures("three_seeds")
def test_differences_are_paired_by_seed(client: Client) -> None:
    found = compared(client, *ALL)["table"][1]["difference"]
    last = {
        (name, s): level + 0.04 + 0.001 * s for s in (1, 2, 3) for name, level in (("a", 0.5), ("m", 0.6 + 0.01 * s))
    }
    expected = paired_difference([last["m", s] for s in (1, 2, 3)], [last["a", s] for s in (1, 2, 3)])
    assert found["mean"] == pytest.approx(expected.mean)
    assert (found["low"], found["p_value"]) == pytest.approx((expected.low, expected.p_value))
    assert (found["count"], found["verdict"]) == (3, "above")


@pytest.mark.usefixtures("three_seeds")
def test_the_first_group_is_the_baseline(client: Client) -> None:
    table = compared(client, *reversed(ALL))["table"]
    assert [row["label"] for row in table] == ["mifa", "fedavg"]
    assert "difference" not in table[0]


@pytest.mark.parametrize(
    ("axis", "expected"),
    [
        ("round", [0, 1, 2, 3, 4]),
        ("bytes", [0, 10, 20, 30, 40]),
        ("up", [0, 10, 20, 30, 40]),
        ("wall", [0, 0.5, 1, 1.5, 2]),
        ("virtual", [None] * 5),
    ],
)
def test_axes_are_what_was_used_up_to_a_round(client: Client, store: Store, axis: str, expected: list[float]) -> None:
    store.write(whole("a"))  # type: ignore[arg-type]
    found = compared(client, "a", x=axis)
    assert found["runs"][0]["x"] == expected
    assert found["groups"][0]["round"] == [0, 1, 2, 3, 4]


def test_simulated_time_is_the_clock_itself(client: Client, store: Store) -> None:
    clock = [RoundDone(run="a", round=r, values={"virtual_s": 1.5 * r}) for r in (1, 2)]
    store.write([begun("a"), judged("a", 0, 0.1), *clock, judged("a", 2, 0.3)])
    assert compared(client, "a", x="virtual")["runs"][0]["x"] == [0, 3]


@pytest.mark.slow
def test_twenty_long_runs_are_thinned_and_keep_their_last_points(client: Client, store: Store) -> None:
    rng = np.random.default_rng(1)
    values = rng.random((20, 1000))
    for k in range(20):
        rounds = [RoundDone(run=f"r{k}", round=r + 1, values={"train_loss": values[k, r]}) for r in range(1000)]
        store.write([begun(f"r{k}", seed=k), *rounds])
    found = compared(client, *(f"r{k}" for k in range(20)), metric="train_loss", points=50)
    assert [run["y"][-1] for run in found["runs"]] == values[:, -1].tolist()
    assert all(len(run["y"]) <= 50 and run["round"][-1] == 1000 for run in found["runs"])
    assert found["groups"][0]["mean"][-1] == pytest.approx(values[:, -1].mean())
    assert found["groups"][0]["round"][-1] == 1000


def test_values_that_are_not_finite_are_gaps(client: Client, store: Store) -> None:
    rounds = [RoundDone(run="a", round=r, values={"train_loss": v}) for r, v in ((1, nan), (2, inf), (3, 0.5))]
    store.write([begun("a"), *rounds])
    found = compared(client, "a", metric="train_loss")
    assert found["runs"][0]["y"] == [None, None, 0.5]
    assert found["groups"][0]["mean"] == [0.5]


def test_a_metric_that_nobody_reports_is_an_empty_picture(client: Client, store: Store) -> None:
    store.write([begun("a"), begun("b", strategy="mifa")])
    found = compared(client, "a", "b", metric="distance")
    assert found["runs"] == []
    assert [group["mean"] for group in found["groups"]] == [[], []]


def about(run: str, text: str, name: str = "x", seed: int = 1) -> About:
    return About(run, name, "fedstale", seed, text)


def test_a_group_is_called_what_sets_it_apart() -> None:
    text = "name: x\nmodel: {{name: mlp}}\nstrategy: {{name: fedstale, beta: {}}}\ndata: {{alpha: {}}}\n"
    made = [about(f"r{k}", text.format(b, a)) for k, (b, a) in enumerate([(0.1, 1), (0.5, 1), (0.5, 2)])]
    assert [group.label for group in groups(made)] == ["beta=0.1 alpha=1", "beta=0.5 alpha=1", "beta=0.5 alpha=2"]


def test_names_that_differ_are_the_labels() -> None:
    made = [about("r1", "strategy: {name: a}", "first"), about("r2", "strategy: {name: b}", "second")]
    assert [group.label for group in groups(made)] == ["first", "second"]


def test_labels_are_told_apart_even_when_nothing_else_tells() -> None:
    made = [About("a", "x", "mifa", 1, "data: {p: [1, 2]}"), About("b", "x", "mifa", 1, "data: {p: [1, 2, null]}")]
    assert len({group.label for group in groups(made)}) == 2


@pytest.mark.parametrize(
    "text",
    ["", "[1, 2]", "a: [", "\t", "{" * 5000, "a: &a [*a]", "a: &a [*a, *a]", "x: " + "[" * 3000, "&a a: *a", "? : ?"],
)
def test_texts_that_are_no_scenario_do_no_harm(text: str) -> None:
    assert isinstance(flat(text), dict)


def test_an_exploding_text_is_cut_short() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 9)}]" for k in range(1, 30)]
    assert len(flat("\n".join(lines))) <= 20_000
