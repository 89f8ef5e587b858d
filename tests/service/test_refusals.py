"""Every refusal is answered as the OpenAPI document says: its status, its headers, its shape."""

from dataclasses import dataclass, field
from typing import Any

import jsonschema
import pytest

from fedsim.metrics.event_json import to_json
from fedsim.service.app import create_app
from fedsim.service.guard import Access, Limits
from fedsim.store.database import Store
from tests.service.conftest import Client, begun

pytestmark = pytest.mark.slow

JSON = {"content-type": "application/json"}
OURS = {"authorization": "Bearer one"}
WRONG = {"authorization": "Bearer no"}


@dataclass
class Asked:
    """A request, the address and method in the document that it is about, and the status that it gets."""

    status: int
    about: str
    at: str = ""
    method: str = ""
    content: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    writes: bool = True


EVENTS = "POST /api/events"
REFUSED = [
    Asked(400, "GET /api/runs", headers={"host": "evil.example"}),
    Asked(400, EVENTS, content=b"["),
    Asked(400, EVENTS, content=b"\xff"),
    Asked(400, EVENTS, content=b"[\0]"),
    Asked(401, "GET /api/runs", headers=WRONG),
    Asked(401, "GET /api/runs/{run}/stream", headers=WRONG),
    Asked(401, "GET /metrics", headers=WRONG),
    Asked(403, EVENTS, content=f"[{to_json(begun('a'))}]".encode()),
    Asked(404, "GET /api/runs/{run}"),
    Asked(404, "GET /api/runs/{run}/scenario"),
    Asked(404, "GET /api/runs/{run}/rounds.csv"),
    Asked(404, "GET /api/runs/{run}/stream"),
    Asked(404, "GET /api/compare", at="/api/compare?run=none"),
    Asked(405, "GET /api/runs", method="DELETE"),
    Asked(405, "GET /api/stream", method="POST"),
    Asked(405, "GET /metrics", method="PUT"),
    Asked(405, "GET /healthz", method="POST"),
    Asked(405, EVENTS, method="GET"),
    Asked(413, EVENTS, content=b"[" + b"[]," * 10_000),
    Asked(413, EVENTS, content=b" " * 200_001),
    Asked(413, "GET /healthz", content=b" " * 200_001),
    Asked(414, "GET /api/runs", at=f"/api/runs?text={'x' * 9_000}"),
    Asked(414, "GET /healthz", at=f"/healthz?{'x' * 9_000}"),
    Asked(422, "GET /api/runs", at="/api/runs?limit=0"),
    Asked(422, "GET /api/compare"),
    Asked(422, EVENTS, content=b"[{}]"),
    Asked(422, EVENTS),
    Asked(503, EVENTS, content=b"[]", writes=False),
]


def _client(store: Store, *, writes: bool = True) -> Client:
    return Client(create_app(store, Access("one", ("lab",), Limits(body_bytes=200_000)), writes=writes), "lab")


def _document(store: Store) -> dict[str, Any]:
    found: dict[str, Any] = _client(store).get("/openapi.json", headers=OURS).json()
    return found


@pytest.mark.parametrize("asked", REFUSED, ids=lambda one: f"{one.status} {one.method} {one.about}")
def test_a_refusal_is_what_the_document_says(store: Store, asked: Asked) -> None:
    store.write([begun("a")])
    method, path = asked.about.split()
    headers = {**OURS, **(JSON if asked.content else {}), **asked.headers}
    at = asked.at or path.replace("{run}", "none")
    client = _client(store, writes=asked.writes)
    answer = client.request(asked.method or method, at, content=asked.content, headers=headers)
    assert answer.status_code == asked.status

    document = _document(store)
    declared = document["paths"][path][method.lower()]["responses"][str(asked.status)]
    assert set(declared.get("headers", {})) <= set(answer.headers)
    schema = declared["content"][answer.headers["content-type"]]["schema"]
    jsonschema.validate(answer.json(), {**schema, "components": document["components"]})


def test_head_is_answered_with_the_methods_that_there_are(store: Store) -> None:
    client = _client(store)
    for path, methods in _document(store)["paths"].items():
        answer = client.request("HEAD", path, headers=OURS)
        assert answer.status_code == 405
        assert {method.upper() for method in methods} == set(answer.headers["allow"].split(", "))
        assert all("405" in told["responses"] for told in methods.values())
