"""The REST interface: lists, rounds, clients, participation, comparisons; and the 4xx that is due."""

import json

import numpy as np
import pytest

from fedsim.metrics import Notice, RolledBack, RoundDone
from fedsim.metrics.event_json import to_json
from fedsim.service.app import create_app
from fedsim.store.database import Store
from tests.service.conftest import Client, begun, judged, round_done, whole

UNKNOWN = ("nobody", "0" * 16, "x" * 65, "..%2f..%2fetc%2fpasswd", "a%00b", "%ff", "a b", "é", "-1")
PARTS = (
    "",
    "/scenario",
    "/rounds",
    "/series?metric=a",
    "/notices",
    "/rounds.csv",
    "/clients",
    "/participation",
    "/stream",
)


def post(client: Client, *events: object) -> int:
    return client.post("/api/events", content=f"[{','.join(map(to_json, events))}]", headers=JSON).status_code  # type: ignore[arg-type]


JSON = {"content-type": "application/json"}


def test_runs_are_listed_with_the_fields_of_the_contract(client: Client, store: Store) -> None:
    store.write(whole("a", seed=3))  # type: ignore[arg-type]
    (row,) = client.get("/api/runs").json()
    expected = {
        "id": "a",
        "name": "toy",
        "strategy": "fedavg",
        "seed": 3,
        "status": "completed",
        "round": 4,
        "rounds": 4,
    }
    assert row.items() >= expected.items()


def test_an_empty_store_lists_no_runs(client: Client) -> None:
    answer = client.get("/api/runs")
    assert (answer.json(), answer.headers["x-total-count"]) == ([], "0")


def test_runs_are_filtered_and_paged(client: Client, store: Store) -> None:
    store.write([begun(f"r{k}", name=f"Name {k}", strategy="mifa" if k % 2 else "fedavg", seed=k) for k in range(7)])

    def ids(**query: object) -> list[str]:
        return [row["id"] for row in client.get("/api/runs", params=query).json()]  # type: ignore[arg-type]

    assert ids(limit=3) == ["r0", "r1", "r2"]
    assert ids(limit=3, offset=6) == ["r6"]
    assert ids(strategy="mifa") == ["r1", "r3", "r5"]
    assert ids(text="name 4") == ["r4"]
    assert ids(text="%") == []
    assert ids(seed=2, status="running") == ["r2"]
    assert ids(status="failed") == []


def test_the_small_curve_ends_with_the_last_value(client: Client, store: Store) -> None:
    store.write([begun("a", rounds=500), *(judged("a", r, r / 1000) for r in range(0, 501, 7)), round_done("a", 500)])
    (row,) = client.get("/api/runs?spark=20").json()
    assert row["spark"]["metric"] == "test_accuracy"
    assert len(row["spark"]["values"]) == 20
    assert row["spark"]["values"][-1] == 0.497
    assert row["spark"]["values"] == sorted(row["spark"]["values"])


def test_a_run_tells_everything_but_its_measurements(client: Client, store: Store) -> None:
    store.write(whole("a"))  # type: ignore[arg-type]
    found = client.get("/api/runs/a").json()
    assert found["scenario"].startswith("name: toy")
    assert found["summary"] == {"final": {"test_accuracy": 0.5}}
    assert found["metrics"] == ["bytes_up", "cohort_size", "round_s", "test_accuracy", "test_loss", "train_loss"]
    assert client.get("/api/runs/a/scenario").text == found["scenario"]


def test_rounds_come_after_the_one_that_is_known(client: Client, store: Store) -> None:
    store.write(whole("a"))  # type: ignore[arg-type]
    assert [row["round"] for row in client.get("/api/runs/a/rounds").json()] == [0, 1, 2, 3, 4]
    rows = client.get("/api/runs/a/rounds?since=2").json()
    assert [row["round"] for row in rows] == [3, 4]
    assert rows[0]["train_loss"] == 1 / 3
    assert [row["round"] for row in client.get("/api/runs/a/rounds?since=1&limit=1").json()] == [2]


def test_numbers_that_are_not_finite_are_strict_json(client: Client, store: Store) -> None:
    store.write([begun("a"), round_done("a", 1, train_loss=float("nan"), update_norm=float("inf"))])
    (row,) = client.get("/api/runs/a/rounds").json()
    assert (row["train_loss"], row["update_norm"]) == ("nan", "inf")
    series = client.get("/api/runs/a/series?metric=train_loss&metric=update_norm").json()
    assert series["train_loss"] == {"round": [1], "value": [None]}


def test_a_long_series_is_thinned_and_keeps_its_ends_and_its_spike(client: Client, store: Store) -> None:
    values = {r: 99.0 if r == 1234 else r / 3000 for r in range(1, 3001)}
    store.write([begun("a"), *(RoundDone(run="a", round=r, values={"train_loss": v}) for r, v in values.items())])
    series = client.get("/api/runs/a/series?metric=train_loss&points=100").json()["train_loss"]
    assert len(series["round"]) <= 100
    assert (series["round"][0], series["round"][-1]) == (1, 3000)
    assert 99.0 in series["value"]
    assert all(values[r] == v for r, v in zip(series["round"], series["value"], strict=True))


def test_the_table_has_every_value(client: Client, store: Store) -> None:
    store.write([begun("a"), RoundDone(run="a", round=1, values={"train_loss": 0.1, "cohort_size": 2.0})])
    assert client.get("/api/runs/a/rounds.csv").text == (
        "run,round,metric,value\na,1,cohort_size,2.0\na,1,train_loss,0.1\n"
    )


def test_notices_keep_their_order(client: Client, store: Store) -> None:
    told = [Notice(run="a", round=r, kind="crash", text=f"boom {r}", client=r) for r in (1, 2, 3)]
    store.write([begun("a"), *told])
    assert [one["text"] for one in client.get("/api/runs/a/notices?limit=2").json()] == ["boom 2", "boom 3"]


def test_participation_comes_in_blocks(client: Client, store: Store) -> None:
    cohorts = {1: (0, 1), 2: (0,), 3: (2, 3), 4: ()}
    store.write([begun("a"), *(round_done("a", r, clients) for r, clients in cohorts.items())])
    exact = client.get("/api/runs/a/participation").json()
    assert exact["share"] == [[1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 1, 0]]
    coarse = client.get("/api/runs/a/participation?rows=2&columns=2").json()
    assert coarse == {"rounds": [1, 3, 5], "clients": [0, 2, 4], "share": [[0.75, 0.0], [0.0, 0.5]], "every": 1}
    assert client.get("/api/runs/a/participation?first=3").json()["rounds"] == [3, 4, 5]


def test_a_run_without_participants_has_no_blocks(client: Client, store: Store) -> None:
    store.write([begun("a")])
    assert client.get("/api/runs/a/participation").json()["share"] == []


def test_clients_tell_how_often_and_when_last(client: Client, store: Store) -> None:
    crash = Notice(run="a", round=2, kind="crash", text="boom", client=3)
    store.write([begun("a"), round_done("a", 1, (0, 2)), round_done("a", 2, (2,)), crash])
    found = client.get("/api/runs/a/clients").json()
    assert [(c["rounds"], c["last"], c["failures"]) for c in found["clients"]] == [
        (1, 1, 0), (0, None, 0), (2, 2, 0), (0, None, 1),
    ]  # fmt: skip
    page = client.get("/api/runs/a/clients?offset=2&limit=1").json()
    assert page["clients"] == [{"client": 2, "rounds": 2, "rate": 1.0, "last": 2, "failures": 0}]


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("run", UNKNOWN)
def test_an_unknown_or_malformed_run_is_404(client: Client, run: str, part: str) -> None:
    assert client.get(f"/api/runs/{run}{part}").status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "/nope", "/api", "/api/", "/api/nope", "/api/runs/", "/static/", "/static/nope.js", "/docs", "/redoc",
        "/static/../app.py", "/static/..%2fapp.py", "/static/%2e%2e%2fapp.py", "/static/..%5capp.py", "/index.html",
        "/..%2f..%2fetc/passwd",
        "/static//etc/passwd", "/static/%2fetc%2fpasswd", "/api/..%2f..%2fetc%2fpasswd", "/%2e%2e/%2e%2e/etc/passwd",
    ],
)  # fmt: skip
def test_any_other_path_is_404(client: Client, path: str) -> None:
    assert client.get(path).status_code == 404


@pytest.mark.parametrize(
    "path",
    ["/api/runs?limit=0", "/api/runs?limit=x", "/api/runs?seed=1e3", "/api/compare", "/api/compare?run=a&x=miles",
     "/api/runs/a/participation?rows=100000", "/api/runs/a/rounds?since=1e99", "/api/runs?status=asleep"],
)  # fmt: skip
def test_a_query_that_makes_no_sense_is_422(client: Client, store: Store, path: str) -> None:
    store.write([begun("a")])
    assert client.get(path).status_code == 422


def test_an_unknown_run_among_those_compared_is_404(client: Client, store: Store) -> None:
    store.write([begun("a")])
    assert client.get("/api/compare?run=a&run=b").status_code == 404


def test_events_that_come_in_are_in_the_store(client: Client, store: Store) -> None:
    given = whole("a")
    assert post(client, *given) == 200
    with Store(store.url.set(database=str(store.url.database) + ".other")) as other:
        other.write(given)  # type: ignore[arg-type]
        assert (store.values(), store.runs()) == (other.values(), other.runs())
        ours, theirs = store.vectors("a", "participants"), other.vectors("a", "participants")
    assert all(np.array_equal(ours[r], theirs[r]) for r in theirs)


def test_events_told_twice_change_nothing(client: Client, store: Store) -> None:
    given = [*whole("a"), RolledBack(run="a", round=2), round_done("a", 3)]
    post(client, *given)
    before = store.values(), store.runs()
    post(client, *given)
    assert (store.values(), store.runs()) == before


def test_values_survive_the_wire_bit_for_bit(client: Client, store: Store) -> None:
    values = {"train_loss": 0.1 + 0.2, "update_norm": float("inf"), "update_variance": 5e-324}
    post(client, begun("a", seed=2**100), RoundDone(run="a", round=1, values=values))
    assert {metric: value for _, _, metric, value in store.values()} == values
    assert store.runs()[0].seed == 2**100


DEEP = "[" * 900 + "]" * 900
ARRAY = {"dtype": "<i8", "shape": [1], "data": "AAAAAAAAAAA="}


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"event": "Nonsense"}, 422),
        ({"run": "../../etc"}, 422),
        ({"run": "<script>"}, 422),
        ({"run": "a\n"}, 422),
        ({"round": -1}, 422),
        ({"round": 1.5}, 422),
        ({"round": 10**30}, 422),
        ({"values": {"train_loss": "0.5; DROP TABLE runs"}}, 422),
        ({"values": {"Train Loss": 0.5}}, 422),
        ({"values": {"train_loss": None}}, 422),
        ({"vectors": {"participants": ARRAY | {"dtype": "O"}}}, 422),
        ({"vectors": {"participants": ARRAY | {"shape": [10**12]}}}, 422),
        ({"vectors": {"participants": ARRAY | {"data": "?"}}}, 422),
        ({"wall_time": "nan"}, 422),
        ({"unknown": 1}, 422),
    ],
)
def test_an_event_that_is_none_is_refused_and_nothing_is_kept(
    client: Client, store: Store, changes: dict[str, object], status: int
) -> None:
    bad = json.loads(to_json(round_done("a", 1))) | changes
    good = json.loads(to_json(begun("a")))
    assert client.post("/api/events", json=[good, bad]).status_code == status
    assert store.runs() == []


@pytest.mark.parametrize("body", ["", "{", "[{]", "\xff", "nul", "[1e999", DEEP[:1799]])
def test_malformed_json_is_400(client: Client, body: str) -> None:
    answer = client.post("/api/events", content=body.encode("latin-1"), headers=JSON)
    assert answer.status_code in ((400, 422) if body == "" else (400,))


@pytest.mark.parametrize("body", ["{}", "1", "null", DEEP, '[{"event": "RoundDone"}]', "[" + "9" * 5000 + "]"])
def test_json_that_is_no_list_of_events_is_4xx(client: Client, body: str) -> None:
    assert 400 <= client.post("/api/events", content=body, headers=JSON).status_code < 500


def test_a_deep_summary_is_refused(client: Client) -> None:
    event = f'"event": "RunEnded", "run": "a", "status": "failed", "wall_time": 1, "summary": {{"x": {DEEP}}}'
    assert client.post("/api/events", content=f"[{{{event}}}]", headers=JSON).status_code in (400, 422)


def test_a_page_elsewhere_cannot_post_events(client: Client) -> None:
    """A form, or a fetch without preflight, can only send these types."""
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        answer = client.post("/api/events", content="[]", headers={"content-type": kind})
        assert answer.status_code in (400, 422)


def test_a_store_that_can_only_be_read_takes_no_events(store: Store) -> None:
    assert post(Client(create_app(store, writes=False), "localhost"), begun("a")) == 503


def test_a_store_that_is_gone_is_503_in_words(client: Client, store: Store) -> None:
    with store.reading() as connection:
        for table in ("runs", "metrics"):
            connection.exec_driver_sql(f"ALTER TABLE {table} RENAME TO {table}_away")
        connection.commit()
    for path in ("/api/runs", "/healthz", "/metrics", "/api/runs/a"):
        answer = client.get(path)
        assert (answer.status_code, "cannot be used" in answer.json()["detail"]) == (503, True)
