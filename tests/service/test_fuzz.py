"""Schemathesis over the OpenAPI document: whatever is sent, no answer is a 5xx, and each is one that stands there."""

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from fedsim.service.app import create_app
from fedsim.service.guard import Access
from fedsim.store.database import Store
from tests.service.conftest import begun, judged, round_done

pytestmark = pytest.mark.slow

ENDLESS = "/stream"
AS_DECLARED = [
    status_code_conformance, content_type_conformance, response_headers_conformance, response_schema_conformance,
]  # fmt: skip
OPERATIONS = [
    "GET /api/compare", "GET /api/runs", "GET /api/runs/{run}", "GET /api/runs/{run}/clients",
    "GET /api/runs/{run}/notices", "GET /api/runs/{run}/participation", "GET /api/runs/{run}/rounds",
    "GET /api/runs/{run}/rounds.csv", "GET /api/runs/{run}/scenario", "GET /api/runs/{run}/series", "GET /healthz",
    "GET /metrics", "POST /api/events",
]  # fmt: skip


CANNOT_BE_WRONG = {
    "GET /api/runs/{run}", "GET /api/runs/{run}/rounds.csv", "GET /api/runs/{run}/scenario", "GET /healthz",
    "GET /metrics",
}  # fmt: skip
"""They take nothing, or any text: there is no request against their schema."""
RIGHT, WRONG = schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE
TRIED = [*((one, RIGHT) for one in OPERATIONS), *((one, WRONG) for one in OPERATIONS if one not in CANNOT_BE_WRONG)]


@pytest.fixture
def operations(store: Store) -> dict[str, schemathesis.schemas.APIOperation]:
    store.write([begun("a"), judged("a", 0, 0.1), round_done("a", 1)])
    app = create_app(store, Access(hosts=("testserver",)))
    found = [result.ok() for result in schemathesis.openapi.from_asgi("/openapi.json", app).get_all_operations()]
    return {one.label: one for one in found if not one.path.endswith(ENDLESS)}


def test_every_operation_is_tried(operations: dict[str, schemathesis.schemas.APIOperation]) -> None:
    assert sorted(operations) == OPERATIONS


@pytest.mark.parametrize(("label", "mode"), TRIED)
def test_every_answer_is_declared_and_none_is_a_server_error(
    operations: dict[str, schemathesis.schemas.APIOperation], label: str, mode: schemathesis.GenerationMode
) -> None:
    cases = operations[label].as_strategy(generation_mode=mode)

    @settings(
        max_examples=25,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases)
    def ask(case: schemathesis.Case) -> None:
        case.call_and_validate(checks=[not_a_server_error, *AS_DECLARED])

    ask()
