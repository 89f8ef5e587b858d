"""Who may come in, with how much, and what a browser may do with the answer."""

import http.client
from urllib.parse import urlsplit

import pytest

from fedsim.service.app import create_app
from fedsim.service.assets import ASSETS
from fedsim.service.guard import Access, Limits
from fedsim.store.database import Store
from tests.service.conftest import TOKEN, Client, begun

JSON = {"content-type": "application/json"}
HTML = {"accept": "text/html"}
BEARER = {"authorization": f"Bearer {TOKEN}"}


def raw(address: str, path: str, **headers: str) -> int:
    """Ask for a path exactly as it is written; most clients tidy it first."""
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=30)
    connection.request("GET", path, headers=headers)
    status = connection.getresponse().status
    connection.close()
    return status


@pytest.mark.parametrize("path", ["/", "/api/runs", "/metrics", "/openapi.json", "/static/main.js", "/nope", "/api/x"])
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": "Bearer"},
        {"authorization": f"Bearer {TOKEN}x"},
        {"authorization": f"Bearer {TOKEN[:-1]}"},
        {"authorization": f"Basic {TOKEN}"},
        {"authorization": TOKEN},
        {"cookie": f"fedsim_session={TOKEN}"},
        {"cookie": "fedsim_session=; ;;=\x7f"},
    ],
)
def test_without_the_token_nothing_is_told(locked: Client, path: str, headers: dict[str, str]) -> None:
    answer = locked.get(path, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"


def test_events_without_the_token_are_not_kept(locked: Client, store: Store) -> None:
    assert locked.post("/api/events", json=[], headers={"authorization": "Bearer wrong"}).status_code == 401
    assert store.runs() == []


def test_with_the_token_everything_is_answered(locked: Client) -> None:
    for path in ("/", "/api/runs", "/metrics", "/openapi.json", "/static/main.js"):
        assert locked.get(path, headers=BEARER).status_code == 200
    assert locked.get("/nope", headers=BEARER).status_code == 404


def test_health_needs_no_token_and_tells_nothing(locked: Client) -> None:
    assert locked.get("/healthz").json() == {"status": "ok"}


def test_a_browser_logs_in_once(locked: Client) -> None:
    assert 'name="token"' in locked.get("/", headers=HTML).text
    wrong = locked.post("/login", data={"token": "guess"})
    assert (wrong.status_code, "set-cookie" in wrong.headers) == (401, False)
    right = locked.post("/login", data={"token": TOKEN})
    assert (right.status_code, right.headers["location"]) == (303, "/")
    cookie = right.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert TOKEN not in cookie
    assert locked.get("/api/runs", headers={"cookie": cookie.partition(";")[0]}).status_code == 200


def test_a_login_is_short(locked: Client) -> None:
    assert locked.post("/login", data={"token": "x" * 5000}).status_code == 413


def test_tokens_are_compared_whole() -> None:
    door = Access(token="é", hosts=())
    assert door.knows("é")
    assert not door.knows("e")
    assert not door.knows("")


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "10.0.0.1:8080"])
def test_without_a_token_only_names_of_this_machine_are_answered(client: Client, host: str) -> None:
    """A page elsewhere that points its own name at 127.0.0.1 (DNS rebinding) learns nothing."""
    assert client.get("/api/runs", headers={"host": host}).status_code == 400


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8080", "[::1]:8080", "LOCALHOST:1"])
def test_names_of_this_machine_are_answered(client: Client, host: str) -> None:
    assert client.get("/api/runs", headers={"host": host}).status_code == 200


def test_a_body_beyond_the_limit_is_413_whether_announced_or_not(store: Store) -> None:
    client = Client(create_app(store, Access(limits=Limits(body_bytes=1000))), "localhost")

    async def pieces():  # type: ignore[no-untyped-def]  # a body of unknown length is sent in chunks
        for _ in range(30):
            yield b" " * 100

    assert client.post("/api/events", content=b" " * 1001, headers=JSON).status_code == 413
    assert client.post("/api/events", content=pieces(), headers=JSON).status_code == 413
    assert client.post("/api/events", content=b"[]".ljust(1000), headers=JSON).status_code == 200


@pytest.mark.parametrize("length", ["-1", "1e9", "x", "²"])
def test_a_length_that_is_none_is_400(client: Client, length: str) -> None:
    headers = {**JSON, "content-length": length.encode("latin-1")}
    assert client.request("POST", "/api/events", headers=headers).status_code == 400  # type: ignore[arg-type]


def test_a_long_query_is_414(client: Client) -> None:
    assert client.get(f"/api/runs?text={'x' * 9000}").status_code == 414


def test_every_answer_carries_the_policy(client: Client, locked: Client) -> None:
    for answer in (client.get("/"), client.get("/nope"), client.get("/api/runs"), locked.get("/", headers=HTML)):
        assert "script-src 'self';" in answer.headers["content-security-policy"]
        assert "unsafe-eval" not in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert client.get("/api/runs").headers["cache-control"] == "no-store"


def test_the_page_loads_nothing_from_elsewhere(client: Client) -> None:
    for name in ASSETS:
        if name != "plotly.min.js":
            text = client.get(f"/static/{name}").text.replace("http://www.w3.org/2000/svg", "")
            assert "http://" not in text
            assert "https://" not in text
            assert "<script>" not in text
    assert client.get("/docs").status_code == 404


def test_files_are_compressed_and_asked_for_once(client: Client) -> None:
    first = client.get("/static/plotly.min.js")
    assert first.headers["content-encoding"] == "gzip"
    assert int(first.headers["content-length"]) < len(first.content) / 2
    again = client.get("/static/plotly.min.js", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_a_name_with_markup_is_only_ever_json(client: Client, store: Store) -> None:
    name = "<script>alert(1)</script>"
    store.write([begun("a", name=name)])
    answer = client.get("/api/runs")
    assert answer.json()[0]["name"] == name
    assert answer.headers["content-type"] == "application/json"
    assert name not in client.get("/").text


SEGMENTS = (
    "/../{0}", "/static/../{0}", "/api/../{0}", "/api/runs/../{0}", "/api/runs/x/../{0}", "/..%2f{0}", "//{0}",
    "/api/runs/..%2f..%2f{0}", "/api/runs/%2e%2e/{0}", "/api/runs/x/..%2f{0}", "/static/....//{0}", "/%5c..%5c{0}",
    "/static/%252e%252e/{0}", "/static/..%2f{0}", "/static/\\..\\{0}",
)  # fmt: skip


@pytest.mark.parametrize("target", ["etc/passwd", "app.py", "fedsim.db"])
def test_no_path_leads_to_a_file(address: str, target: str) -> None:
    answers = {path: raw(address, path.format(target)) for path in SEGMENTS}
    assert set(answers.values()) == {404}, answers
