"""A process that dies at any of its requests to DynamoDB: the same request, sent again, finishes what it began.

Each request of an operation is broken off once, before it is sent and after it was carried out; then the operation
starts anew in a process that knows nothing, as after a crash.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from annals.conversations.receipts import get_conversation_receipt
from annals.ledger.keys import conversation_pk
from annals.ledger.read import walk
from annals.memory.erasure import conversation_erasure as erase
from local.emulator import Emulator
from local.workers import FunctionFailed
from tests.conftest import Setting
from tests.support.api import Api, Reply
from tests.support.crashes import dying
from tests.support.following import following, invoke
from tests.support.ledgers import say, verify_stored

MOST_CALLS = 60
PATIENCE_S = 60
USER = {"userId": "ada", "memorySpaceId": "home"}
NEW = {"type": "user-agent", "participants": USER, "metadata": {"secret": "tulip"}}
BY_SESSION, SESSION = "/v1/conversations/by-session", {**NEW, "sessionId": "s"}
KEY = {"idempotency_key": "k"}

pytestmark = pytest.mark.usefixtures("tables")


@dataclass
class Operation:
    """A request, what has to be there before, and what has to hold once it was sent again.

    ``check`` also takes the first answer to the request that was not broken off.
    """

    request: Callable[[Api], Reply]
    check: Callable[[Api, Reply], None]
    prepare: Callable[[Api], object] = field(default=lambda api: None)


def conversation(api: Api) -> None:
    """A conversation with three messages, held by its participants."""
    assert api.post("/v1/conversations", {**NEW, "conversationId": "one"}).status == 201
    for content in ("tulip 1", "tulip 2", "tulip 3"):
        assert api.post("/v1/conversations/one/messages", {"role": "user", "content": content}).status == 201


def held_conversation(api: Api) -> None:
    """A conversation with a message that is found by its participants."""
    made = api.put("/v1/conversations/by-participants", NEW).json["conversationId"]
    assert api.post(f"/v1/conversations/{made}/messages", {"role": "user", "content": "tulip"}).status == 201


def the_one(api: Api) -> Any:
    """The only conversation that there is."""
    (found,) = api.get("/v1/conversations").json["items"]
    return found


def messages(api: Api, conversation_id: str = "one") -> list[Any]:
    return list(api.get(f"/v1/conversations/{conversation_id}/messages").json["items"])


def entries(api: Api, conversation_id: str = "one") -> int:
    """How many entries the chain has, which is valid."""
    found = api.get(f"/v1/conversations/{conversation_id}/verify").json
    assert found["valid"], found
    return int(found["entries"])


def created(api: Api, answer: Reply) -> None:
    assert answer.status == 201
    assert the_one(api) == answer.json
    assert entries(api, answer.json["conversationId"]) == 1


def created_or_there(api: Api, answer: Reply) -> None:
    assert answer.status == 201 or answer.problem[1] == "CONVERSATION_ALREADY_EXISTS"
    assert the_one(api)["conversationId"] == "one"


def got(api: Api, answer: Reply) -> None:
    assert answer.status in (200, 201)
    assert the_one(api) == answer.json
    assert api.put("/v1/conversations/by-participants", NEW).json == answer.json


def got_session(api: Api, answer: Reply) -> None:
    assert answer.status in (200, 201)
    assert the_one(api) == answer.json == api.put(BY_SESSION, SESSION).json


def appended(api: Api, answer: Reply) -> None:
    assert (answer.status, answer.json["messages"]) == (201, messages(api)[3:])
    assert [message["content"] for message in messages(api)] == ["tulip 1", "tulip 2", "tulip 3", "new"]
    assert entries(api) == 5


def remembered(api: Api, answer: Reply) -> None:
    assert answer.status == 201
    made = answer.json["conversation"]["conversationId"]
    assert the_one(api)["conversationId"] == made
    assert [message["content"] for message in messages(api, made)] == ["q", "a"]
    assert entries(api, made) == 2


def sent(api: Api, answer: Reply) -> None:
    assert answer.status == 201
    assert [message["content"] for message in messages(api, the_one(api)["conversationId"])] == ["hi"]


def redacted(api: Api, answer: Reply) -> None:
    assert (answer.status, answer.json["status"]) == (200, "redacted")
    assert [message.get("content") for message in messages(api)] == ["tulip 1", None, "tulip 3"]
    assert entries(api) == 5


def archived(api: Api, answer: Reply) -> None:
    assert answer.status == 200
    assert [message["content"] for message in messages(api)] == ["tulip 3"]
    assert entries(api) == 5


def sealed(api: Api, answer: Reply) -> None:
    assert (answer.status, answer.json["status"], entries(api)) == (200, "sealed", 5)


def prefaced(api: Api, answer: Reply) -> None:
    assert answer.status == 201
    assert [message["content"] for message in messages(api)][:2] == ["so far", "tulip 1"]
    assert entries(api) == 5


def patched(api: Api, answer: Reply) -> None:
    assert (answer.status, answer.json["metadata"]) == (200, {"secret": "tulip", "new": 1})
    assert api.get("/v1/conversations/one").json == answer.json


def erased(api: Api, answer: Reply) -> None:
    assert (answer.status, answer.json["status"], answer.json["removed"]["messages"]) == (200, "erased", 1)
    made = answer.json["conversationId"]
    assert api.get(f"/v1/conversations/{made}").problem[1] == "CONVERSATION_ERASED"
    assert api.post("/v1/conversations", {**NEW, "conversationId": made}).problem[1] == "CONVERSATION_ERASED"
    assert api.get("/v1/conversations").json == {"items": []}
    assert api.get("/v1/conversations/count").json == {"count": 0}
    assert entries(api, made) == 3
    assert api.delete(f"/v1/conversations/{made}").json == answer.json
    assert nothing_is_left(api.caller.tenant, made)
    assert api.put("/v1/conversations/by-participants", NEW).status == 201


def nothing_is_left(tenant: str, conversation_id: str) -> bool:
    """Whether no entry but the erasure's own holds what was said."""
    found = list(walk(conversation_pk(tenant, conversation_id)))[:-1]
    return all(record.body is None and record.salt is None for entry in found for record in entry.records)


OPERATIONS = {
    "create with a key": Operation(lambda api: api.post("/v1/conversations", NEW, **KEY), created),
    "create with an id": Operation(
        lambda api: api.post("/v1/conversations", {**NEW, "conversationId": "one"}), created_or_there
    ),
    "get or create": Operation(lambda api: api.put("/v1/conversations/by-participants", NEW), got),
    "get or create a session": Operation(lambda api: api.put(BY_SESSION, SESSION), got_session),
    "append": Operation(
        lambda api: api.post("/v1/conversations/one/messages", {"role": "user", "content": "new"}, **KEY),
        appended,
        conversation,
    ),
    "append behind a seq": Operation(
        lambda api: api.post(
            "/v1/conversations/one/messages", {"role": "user", "content": "new"}, if_match='"3"', **KEY
        ),
        appended,
        conversation,
    ),
    "remember": Operation(
        lambda api: api.post(
            "/v1/memory/remember",
            {"memorySpaceId": "home", "userId": "ada", "userMessage": "q", "agentResponse": "a"},
            **KEY,
        ),
        remembered,
    ),
    "send between agents": Operation(
        lambda api: api.post("/v1/a2a/messages", {"from": "b", "to": "a", "text": "hi"}, **KEY), sent
    ),
    "redact": Operation(
        lambda api: api.post("/v1/conversations/one/messages/msg-002/redact", {"reason": "why"}), redacted, conversation
    ),
    "archive": Operation(lambda api: api.post("/v1/conversations/one/archive", {"before": 3}), archived, conversation),
    "seal": Operation(lambda api: api.post("/v1/conversations/one/seal"), sealed, conversation),
    "preamble": Operation(
        lambda api: api.post("/v1/conversations/one/preamble", {"content": "so far"}, **KEY), prefaced, conversation
    ),
    "patch": Operation(lambda api: api.patch("/v1/conversations/one", {"metadata": {"new": 1}}), patched, conversation),
    "erase": Operation(lambda api: api.delete(f"/v1/conversations/{held_by(api)}"), erased, held_conversation),
}

_held: dict[str, str] = {}


def held_by(api: Api) -> str:
    """The id of the tenant's conversation, also when no list shows it any more."""
    if api.caller.tenant not in _held:
        _held[api.caller.tenant] = the_one(api)["conversationId"]
    return _held[api.caller.tenant]


@pytest.mark.parametrize("moment", ["before-call", "after-call"])
@pytest.mark.parametrize("name", OPERATIONS)
def test_what_a_crash_broke_off_is_finished_by_the_same_request(tenant: str, name: str, moment: str) -> None:
    operation = OPERATIONS[name]
    for call in range(1, MOST_CALLS):
        api = Api.of(f"{tenant}-{call}")
        operation.prepare(api)
        if name == "erase":
            held_by(api)
        with dying(moment, call) as death:
            answer = operation.request(api)
        if not death.came:
            operation.check(api, answer)
            assert call > 1
            return
        assert answer.status == 500 or answer.status < 300, answer.body
        operation.check(api, operation.request(api))
    pytest.fail(f"{name} takes more than {MOST_CALLS} requests")


def test_a_redaction_is_there_entirely_or_not_at_all(tenant: str) -> None:
    for call in range(1, MOST_CALLS):
        api = Api.of(f"{tenant}-{call}")
        conversation(api)
        with dying("before-call", call) as death:
            api.post("/v1/conversations/one/messages/msg-002/redact", {"reason": "why"})
        assert (entries(api), messages(api)[1].get("content")) in [(4, "tulip 2"), (5, None)]
        if not death.came:
            assert call > 1
            return


def test_an_erasure_that_has_begun_shows_nothing_more(tenant: str) -> None:
    for call in range(1, MOST_CALLS):
        api = Api.of(f"{tenant}-{call}")
        conversation(api)
        with dying("before-call", call) as death:
            api.delete("/v1/conversations/one")
        conversation_now, history_now = (api.get(f"/v1/conversations/one{path}") for path in ("", "/messages"))
        assert (conversation_now.status, history_now.status) in [(200, 200), (410, 410)]
        assert entries(api) == (4 if history_now.status == 200 else 5)
        if not death.came:
            assert call > 1
            return


def receipt_event(tenant: str, receipt_id: str) -> dict[str, Any]:
    """The stream's event for a receipt."""
    keys = {"pk": {"S": f"T#{tenant}#R#{receipt_id}"}, "sk": {"S": "RECEIPT"}}
    return {"Records": [{"dynamodb": {"Keys": keys, "SequenceNumber": "1"}}]}


def wait_for(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_ten_thousand_messages_are_erased_behind_the_answer(
    tables: Emulator, api: Api, setting: Setting, tmp_path: Path
) -> None:
    api.post("/v1/conversations", {**NEW, "conversationId": "one"})
    for _ in range(100):
        say(api.caller.tenant, *(["tulip"] * 100), conversation_id="one")
    setting("ERASE_BUDGET_S", "0")
    response = api.delete("/v1/conversations/one")
    assert (response.status, response.json["status"]) == (202, "erasing")
    receipt = f"/v1/receipts/{response.json['receiptId']}"
    with following(tables, tmp_path, "finish_erasure"):
        wait_for(lambda: api.get(receipt).json["status"] == "erased")
    assert api.get(receipt).json["removed"]["messages"] == 10_000
    assert nothing_is_left(api.caller.tenant, "one")
    verified = verify_stored(conversation_pk(api.caller.tenant, "one"))
    assert (verified.valid, verified.message_count, verified.entries) == (True, 10_000, 102)
    assert api.get(receipt).json["headHash"] == verified.head_hash.hex()


def test_an_erasure_goes_on_through_the_stream_however_often_it_takes(
    tables: Emulator, api: Api, setting: Setting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erase, "BATCH", 2)
    conversation(api)
    for number in range(9):
        say(api.caller.tenant, f"tulip {number}", conversation_id="one")
    setting("ERASE_BUDGET_S", "0")
    calls: list[int] = []

    def dying_now_and_then(function: str, event: Any) -> Any:
        calls.append(1)
        return FunctionFailed("Died", "") if len(calls) % 2 else invoke(function, event)

    receipt = f"/v1/receipts/{api.delete('/v1/conversations/one').json['receiptId']}"
    with following(tables, tmp_path, "finish_erasure", by=dying_now_and_then):
        wait_for(lambda: api.get(receipt).json["status"] == "erased")
    assert len(calls) > 5
    assert nothing_is_left(api.caller.tenant, "one")


@pytest.mark.parametrize("moment", ["before-call", "after-call"])
def test_an_erasure_that_was_handed_over_is_never_lost(tenant: str, setting: Setting, moment: str) -> None:
    setting("ERASE_BUDGET_S", "0")
    for call in range(1, MOST_CALLS):
        api = Api.of(f"{tenant}-{call}")
        conversation(api)
        receipt_id = api.delete("/v1/conversations/one").json["receiptId"]
        setting("ERASE_BUDGET_S", "20")
        event = receipt_event(api.caller.tenant, receipt_id)
        with dying(moment, call) as death:
            answer = invoke("finish_erasure", event)
        receipt = get_conversation_receipt(api.caller.tenant, receipt_id)
        assert receipt.erased_at or answer["batchItemFailures"]
        assert invoke("finish_erasure", event) == {"batchItemFailures": []}
        assert api.get(f"/v1/receipts/{receipt_id}").json["status"] == "erased"
        assert nothing_is_left(api.caller.tenant, "one")
        setting("ERASE_BUDGET_S", "0")
        if not death.came:
            assert call > 1
            return


@pytest.mark.parametrize("moment", ["before-call", "after-call"])
def test_erasing_many_leaves_nothing_that_nobody_finishes(tenant: str, moment: str) -> None:
    for call in range(1, MOST_CALLS):
        api = Api.of(f"{tenant}-{call}")
        for name in ("one", "two"):
            api.post("/v1/conversations", {**NEW, "conversationId": name})
        payload = {"filter": {"participants": {"userId": "ada"}}}
        with dying(moment, call) as death:
            api.post("/v1/conversations/delete-many", payload)
        assert api.post("/v1/conversations/delete-many", payload).status == 200
        for name in ("one", "two"):
            assert api.get(f"/v1/conversations/{name}").status == 410
            receipt = get_conversation_receipt(
                api.caller.tenant, erase.receipt_id(conversation_pk(api.caller.tenant, name))
            )
            assert receipt.leased_until == 0
        if not death.came:
            assert call > 1
            return
