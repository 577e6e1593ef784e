"""The committed OpenAPI document against the server: made-up requests never fail it, and answers are as described."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import CheckFunction
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance

from tests.e2e.servers import ROOT, Server

CHECKS: list[CheckFunction] = [
    schemathesis.checks.not_a_server_error,
    content_type_conformance,
    response_schema_conformance,
]
STREAMED = (
    "rememberStream", "followStream", "exportConversation", "exportConversations", "exportMemories",
    "importConversations",
)  # fmt: skip
EXAMPLES = 15

schema = schemathesis.openapi.from_path(ROOT / "openapi.json").exclude(operation_id=list(STREAMED))


@pytest.mark.timeout(200)
@schema.parametrize()
@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
def test_any_request_is_answered_as_described(case: Any, server: Server) -> None:
    case.call_and_validate(
        base_url=server.url, headers={"Authorization": f"Bearer {server.key}"}, checks=CHECKS, timeout=30
    )
