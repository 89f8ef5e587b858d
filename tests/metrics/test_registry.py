"""A metric is registered once, under a name that follows the conventions."""

import pytest

from fedsim.metrics import METRICS, Metric, columns, register
from fedsim.metrics.registry import check, find


def test_a_second_registration_is_our_mistake() -> None:
    with pytest.raises(AssertionError, match="registered twice"):
        register(METRICS["train_loss"])


@pytest.mark.parametrize("name", ["Loss", "1st", "a__b", "a-b", "a.b", ""])
def test_a_name_against_the_conventions_is_our_mistake(name: str) -> None:
    with pytest.raises(AssertionError, match="not snake_case"):
        register(Metric(name, "1", "something"))


@pytest.mark.parametrize(("name", "unit"), [("wait", "s"), ("wait_s", "1")])
def test_the_suffix_s_is_kept_for_seconds(name: str, unit: str) -> None:
    with pytest.raises(AssertionError, match="suffix of seconds"):
        register(Metric(name, unit, "something"))


@pytest.mark.parametrize("name", ["los", "train_loss.fedavg", "probe_variance", "nothing.fedavg"])
def test_an_unregistered_name_is_our_mistake(name: str) -> None:
    with pytest.raises(AssertionError, match=name):
        check([name])


def test_a_tagged_metric_is_found_by_its_family() -> None:
    assert find("probe_variance.fedstale(beta=0.5)") is METRICS["probe_variance"]
    check(["probe_variance.fedstale(beta=0.5)", "train_loss"])


def test_the_first_column_is_the_round_and_the_order_does_not_depend_on_the_question() -> None:
    assert columns(["round_s", "test_loss", "cohort_size"]) == columns(["cohort_size", "round_s", "test_loss"])
    assert columns([])[0] == "round"


def test_every_metric_says_what_it_means() -> None:
    assert all(metric.meaning and metric.unit for metric in METRICS.values())


def test_only_wall_clock_times_may_differ_between_runs_of_one_scenario() -> None:
    assert {m.name for m in METRICS.values() if m.unit == "s" and m.reproducible} == {"virtual_s"}
