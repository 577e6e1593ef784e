"""From the moment when an erasure or a redaction has begun, no route shows the words, however far it has come."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from annals.database.dynamodb import client
from annals.ledger.keys import conversation_pk, entry_sk
from annals.memory.erasure import conversation_erasure, message_redaction
from annals.settings import settings
from tests.support import stack
from tests.support.api import Api, Reply
from tests.support.holding import TenantIndex
from tests.support.indexing import embedded_index

pytestmark = pytest.mark.usefixtures("own_tables", "index")

SECRET = "xylophone"
ADA = {"memorySpaceId": "home", "userId": "ada"}
ONE = {"conversationId": "chat", "messageIds": ["msg-001"]}
FACT = {**ADA, "fact": f"It is {SECRET}.", "subject": "it", "predicate": "is", "object": SECRET, "sourceRef": ONE}
RAW = "/v1/memories/mem:chat:1"
CHAT = "/v1/conversations/chat"


class Died(Exception):
    """The process is gone."""


@pytest.fixture
def index(tmp_path: Path) -> Iterator[None]:
    with embedded_index(tmp_path):
        yield


def stored(api: Api) -> dict[str, str]:
    """A message with a changed memory, an explicit memory and a fact that come from it; all are in the index."""
    turn = {"userMessage": f"My password is {SECRET}.", "agentResponse": "I keep it."}
    assert api.post("/v1/memory/remember", {**ADA, "conversationId": "chat", **turn}).status == 201
    assert api.patch(RAW, {"content": f"The password is {SECRET}."}).status == 200
    payload = {**ADA, "content": f"Ada's password is {SECRET}.", "conversationRef": ONE}
    explicit = api.post("/v1/memories", payload).json["memoryId"]
    fact = api.post("/v1/facts", FACT).json["factId"]
    TenantIndex(api.caller.tenant).bring_up_to_date()
    found = {hit["memoryId"] for hit in api.post("/v1/memory/search", {"query": SECRET}).json["items"]}
    assert {"mem:chat:1", explicit, fact} <= found
    return {"explicit": explicit, "fact": fact}


def requests(ids: dict[str, str]) -> dict[str, Callable[[Api], Reply]]:
    """Whoever reads, or changes, what comes from the message."""
    explicit = f"/v1/memories/{ids['explicit']}"
    question = {"query": SECRET}
    return {
        "a memory": lambda api: api.get(RAW),
        "a memory's versions": lambda api: api.get(f"{RAW}/versions"),
        "a version": lambda api: api.get(f"{RAW}/versions/1"),
        "a memory at a time": lambda api: api.get(f"{RAW}?at=2100-01-01T00:00:00Z"),
        "an explicit memory": lambda api: api.get(explicit),
        "memories": lambda api: api.get("/v1/memories?userId=ada"),
        "memories as a file": lambda api: api.get("/v1/memories/export?format=jsonl"),
        "a fact": lambda api: api.get(f"/v1/facts/{ids['fact']}"),
        "facts": lambda api: api.get("/v1/facts"),
        "search": lambda api: api.post("/v1/memory/search", question),
        "recall": lambda api: api.post("/v1/memory/recall", question),
        "search of conversations": lambda api: api.post("/v1/conversations/search", question),
        "a conversation with all": lambda api: api.get(f"{CHAT}?include=messages,facts,summary"),
        "messages": lambda api: api.get(f"{CHAT}/messages"),
        "a message": lambda api: api.get(f"{CHAT}/messages/msg-001"),
        "messages by id": lambda api: api.post(f"{CHAT}/messages/get-many", {"messageIds": ["msg-001"]}),
        "context": lambda api: api.get(f"{CHAT}/context?maxTokens=1000&includeSummary=true"),
        "analytics": lambda api: api.get(f"{CHAT}/analytics"),
        "a conversation as a file": lambda api: api.get(f"{CHAT}/export?format=json"),
        "conversations as a file": lambda api: api.get("/v1/conversations/export?format=jsonl"),
        "conversations": lambda api: api.get("/v1/conversations"),
        "all of a person": lambda api: api.get("/v1/users/ada/export"),
        "a change": lambda api: api.patch(RAW, {"content": "new"}),
        "a change of an explicit memory": lambda api: api.patch(explicit, {"importance": 1}),
        "archiving": lambda api: api.post(f"{RAW}/archive"),
        "deleting": lambda api: api.delete(RAW),
        "another fact": lambda api: api.post("/v1/facts", FACT),
        "another memory": lambda api: api.post("/v1/memories", {**ADA, "content": SECRET, "conversationRef": ONE}),
    }


CHANGES = {
    "a change",
    "a change of an explicit memory",
    "archiving",
    "deleting",
    "another fact",
    "another memory",
}
CONVERSATION_S = {"messages", "a message", "messages by id", "context", "analytics", "a conversation with all"}


def answers(api: Api, ids: dict[str, str]) -> Iterator[tuple[str, Reply]]:
    for name, request in requests(ids).items():
        answer = request(api)
        assert answer.status < 500, (name, answer.body)
        assert SECRET not in answer.body.decode(), name
        yield name, answer


def test_an_erasure_that_was_broken_off_behind_its_record_shows_nothing_on_any_route(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = stored(api)
    monkeypatch.setattr(conversation_erasure, "_delete_derived", _die)
    assert api.delete(CHAT).status == 500

    for name, answer in answers(api, ids):
        assert name not in CHANGES or answer.status in (404, 410), (name, answer.status)
        assert name not in CONVERSATION_S or answer.status == 410, (name, answer.status)


def test_a_redaction_that_was_broken_off_behind_its_record_shows_nothing_on_any_route(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = stored(api)
    monkeypatch.setattr(message_redaction, "delete_derived", _die)
    assert api.post(f"{CHAT}/messages/msg-001/redact", {"reason": "asked for"}).status == 500

    for name, answer in answers(api, ids):
        assert name not in CHANGES or answer.status in (404, 410), (name, answer.status)
    assert api.post("/v1/facts", FACT).problem[:2] == (410, "MESSAGE_REDACTED")


def test_what_another_request_deletes_meanwhile_is_passed_over_and_not_counted(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [api.post("/v1/memories", {**ADA, "content": f"note {n}", "tags": ["x"]}).json["memoryId"] for n in range(3)]
    fact = {**FACT, "tags": ["x"], "sourceRef": None}
    facts = [api.post("/v1/facts", {**fact, "predicate": str(n)}).json["factId"] for n in range(2)]
    TenantIndex(api.caller.tenant).bring_up_to_date()
    assert api.delete(f"/v1/memories/{made[1]}").status == 204
    assert api.delete(f"/v1/facts/{facts[0]}").status == 204

    answer = api.post("/v1/memories/delete-many", {"filter": {"tags": ["x"]}})

    assert (answer.status, answer.json["count"]) == (200, 3)
    assert set(answer.json["memoryIds"]) == {made[0], made[2], facts[1]}


def test_a_head_without_its_ledger_holds_up_no_erasing_of_many(api: Api) -> None:
    for name in ("one", "two"):
        made = {"type": "user-agent", "participants": {"userId": "ada", "memorySpaceId": "home"}}
        assert api.post("/v1/conversations", {**made, "conversationId": name}).status == 201
    key = {"pk": {"S": conversation_pk(api.caller.tenant, "one")}, "sk": {"S": entry_sk(0)}}
    client().delete_item(TableName=settings().ledger_table, Key=key)
    stack.forget()
    asked: Any = {"filter": {"participants": {"userId": "ada"}}}

    answer = api.post("/v1/conversations/delete-many", asked)

    assert (answer.status, answer.json["conversationIds"]) == (200, ["two"])
    assert api.get("/v1/conversations").json["items"] == []


def _die(*_: Any, **__: Any) -> Any:
    raise Died
