"""What Prometheus scrapes, read by its own parser."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from fedsim.service.prometheus import MOST_RUNS
from fedsim.store.database import Store
from tests.service.conftest import Client, begun, judged, round_done, whole

ORDER = ("status", "run", "name", "strategy", "seed", "direction")
Samples = dict[tuple[str, ...], float]


def samples(client: Client) -> Samples:
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    found = {}
    for family in text_string_to_metric_families(answer.text):
        assert family.documentation
        for sample in family.samples:
            labels = [sample.labels[name] for name in ORDER if name in sample.labels]
            found[sample.name, *labels] = sample.value
    return found


def test_an_empty_store_is_exposed(client: Client) -> None:
    assert samples(client) == {}


def test_a_run_is_exposed_with_its_last_values(client: Client, store: Store) -> None:
    store.write([begun("a"), judged("a", 0, 0.1), *(round_done("a", r, update_variance=2.0) for r in (1, 2, 4))])
    store.write([judged("a", 4, 0.75)])
    found = samples(client)
    of = ("a", "toy", "fedavg", "1")
    assert found["fedsim_runs", "running"] == 1
    assert found["fedsim_round", *of] == 4
    assert found["fedsim_test_accuracy", *of] == 0.75
    assert found["fedsim_test_loss", *of] == 0.25
    assert found["fedsim_train_loss", *of] == 0.25
    assert found["fedsim_update_variance", *of] == 2.0
    assert found["fedsim_cohort_size", *of] == 2
    assert found["fedsim_bytes_total", *of, "up"] == 30
    assert found["fedsim_rounds_per_second", *of] == 2


def test_labels_are_bounded_in_number_and_length(client: Client, store: Store) -> None:
    store.write([begun(f"r{k}", name="n" * 5000) for k in range(3 * MOST_RUNS)])
    found = samples(client)
    assert len([key for key in found if key[0] == "fedsim_round"]) == MOST_RUNS
    assert found["fedsim_runs", "running"] == 3 * MOST_RUNS
    assert max(len(label) for key in found for label in key) <= 60


def test_any_name_is_a_label(client: Client, store: Store) -> None:
    name = 'a "quoted" \\ name\n{with="everything"} \U0001f600'
    store.write([begun("a", name=name)])
    assert ("fedsim_round", "a", name, "fedavg", "1") in samples(client)


INJECTED = (
    'x"} 1\nfedsim_runs{status="failed"} 99\n#',
    "x\\",
    'x\\"',
    "x\\n",
    "\x1b]0;owned\x07\x9b2J\u202e",
    "a\rb\x0bc\x85d\u2028e",
    "# HELP fedsim_runs x\n# TYPE fedsim_runs counter",
    "=cmd,{}",
)


@pytest.mark.parametrize("text", INJECTED)
def test_no_name_adds_a_line_a_label_or_a_sample(client: Client, store: Store, text: str) -> None:
    store.write([begun("a", name=text, strategy=text), judged("a", 0, 0.1), round_done("a", 1)])
    found = samples(client)
    lines = [line for line in client.get("/metrics").text.split("\n") if line and not line.startswith("#")]
    assert len(lines) == len(found)
    assert {key[1:5] for key in found if key[0] != "fedsim_runs"} == {("a", text, text, "1")}
    assert [key for key in found if key[0] == "fedsim_runs"] == [("fedsim_runs", "running")]


def test_values_that_are_not_finite_are_exposed(client: Client, store: Store) -> None:
    store.write([begun("a"), round_done("a", 1, train_loss=float("inf"), update_variance=float("nan"))])
    found = samples(client)
    assert found["fedsim_train_loss", "a", "toy", "fedavg", "1"] == float("inf")


def test_finished_runs_are_counted(client: Client, store: Store) -> None:
    store.write([*whole("a"), begun("b")])  # type: ignore[list-item]
    found = samples(client)
    assert (found["fedsim_runs", "completed"], found["fedsim_runs", "running"]) == (1, 1)
