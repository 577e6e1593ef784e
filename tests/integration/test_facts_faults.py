"""Facts when the connection to the database breaks: whichever write it is, a retry leaves everything once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import faults
from tests.support.api import Api
from tests.support.facts import places
from tests.support.indexing import Stream, embedded_index

pytestmark = pytest.mark.usefixtures("database")

REMEMBER = "/v1/memory/remember"
FACT = {"fact": "Ada lives in Paris.", "subject": "Ada", "predicate": "lives in", "object": "Paris"}
TURN = {
    "memorySpaceId": "home",
    "conversationId": "chat",
    "userId": "ada",
    "userMessage": "I live in Paris now.",
    "agentResponse": "Noted.",
    "facts": [FACT, {**FACT, "predicate": "works in"}],
}
TRIES = 4
"""How often the client library sends a request."""

WRITES = 2
"""The transactions of a turn with facts: its entry, with the conversation that it begins, and its facts."""


@pytest.fixture
def stream(tmp_path: Path) -> Iterator[Stream]:
    with embedded_index(tmp_path) as index:
        yield index


@pytest.mark.parametrize("fault", [faults.lose_request, faults.lose_reply])
@pytest.mark.parametrize("write", range(WRITES))
def test_a_turn_that_breaks_off_at_a_write_is_whole_and_once_after_its_retry(
    api: Api, tenant: str, write: int, fault: faults.Fault
) -> None:
    with faults.on("TransactWriteItems", *[faults.go_through] * write, *[fault] * TRIES):
        assert api.post(REMEMBER, TURN, idempotency_key="once").status == 503

    answer = api.post(REMEMBER, TURN, idempotency_key="once")

    assert answer.status == 201
    assert [fact["predicate"] for fact in answer.json["facts"]] == ["lives in", "works in"]
    assert api.get("/v1/conversations/chat/messages").json["total"] == 2
    assert len(places(tenant)) == 3 * len(TURN["facts"])


def test_a_turn_has_no_write_beyond_those_that_are_tried(api: Api) -> None:
    with faults.on("TransactWriteItems", *[faults.go_through] * WRITES, faults.lose_request) as unused:
        assert api.post(REMEMBER, TURN, idempotency_key="once").status == 201
    assert unused == [faults.lose_request]


def test_a_retry_beside_others_transactions_stores_the_facts_once(api: Api, tenant: str) -> None:
    conflict = faults.cancel("None", "TransactionConflict", *["None"] * 6)
    with faults.on("TransactWriteItems", faults.go_through, conflict) as unused:
        assert len(api.post(REMEMBER, TURN, idempotency_key="once").json["facts"]) == 2
    assert not unused
    assert len(places(tenant)) == 6


@pytest.mark.parametrize("deleted", range(2))
def test_an_erasure_that_breaks_off_at_a_fact_counts_all_of_them(api: Api, tenant: str, deleted: int) -> None:
    api.post(REMEMBER, TURN)
    broken: list[Any] = [faults.lose_request] * (TRIES * 2)
    with faults.on("TransactWriteItems", *[faults.go_through] * (1 + deleted), *broken):
        assert api.delete("/v1/conversations/chat").status == 503

    assert api.delete("/v1/conversations/chat").json["removed"]["facts"] == 2
    assert places(tenant) == []


def test_facts_that_come_and_go_in_any_order_leave_the_index_as_the_table_is(api: Api, stream: Stream) -> None:
    ids = []
    for year in (2024, 2022, 2025, 2023):
        body = {**FACT, "memorySpaceId": "home", "object": str(year), "validFrom": f"{year}-01-01T00:00:00Z"}
        ids.append(api.post("/v1/facts", body).json["factId"])
        stream.deliver()
    assert listed_facts(api) == [("2025", None), ("2024", "2025"), ("2023", "2024"), ("2022", "2023")]

    api.delete(f"/v1/facts/{ids[2]}")
    api.delete(f"/v1/facts/{ids[3]}")
    stream.deliver()
    assert listed_facts(api) == [("2024", None), ("2022", "2024")]


def listed_facts(api: Api) -> list[tuple[str, str | None]]:
    """Each fact's object, and the year until which it holds."""
    facts = api.get("/v1/facts?includeSuperseded=true").json["items"]
    return [(fact["object"], fact.get("validTo", "")[:4] or None) for fact in facts]
