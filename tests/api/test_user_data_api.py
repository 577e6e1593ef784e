"""All that there is of a user: exported, and erased everywhere, over the functions' real events."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from annals.database.dynamodb import client
from annals.errors import SearchUnavailable
from annals.memory import adapters
from annals.memory.erasure.user_erasure import erase_user
from annals.settings import settings
from local.workers import Context
from tests.conftest import Setting
from tests.support import faults
from tests.support.api import Api
from tests.support.indexing import Stream, embedded_index
from tests.support.stack import function

pytestmark = pytest.mark.usefixtures("moto")

ADA = "/v1/users/ada"
BYRON = {"memorySpaceId": "home", "userId": "byron"}


@pytest.fixture
def stream(moto: None, tmp_path: Path) -> Iterator[Stream]:
    with embedded_index(tmp_path) as index:
        yield index


def ok(answer: Any) -> Any:
    assert answer.status in (200, 201), answer.body
    return answer.json


def live(api: Api, stream: Stream) -> None:
    """Ada's own conversations and memories, what she said in Byron's, and what is known of her; and Byron's own."""
    for name, user in (("hers", "ada"), ("hers-too", "ada"), ("his", "byron")):
        body = {"type": "user-agent", "participants": {"userId": user, "memorySpaceId": "home"}, "conversationId": name}
        ok(api.post("/v1/conversations", body))
        ok(api.post(f"/v1/conversations/{name}/messages", {"role": "user", "content": f"Engines of {user}."}))
    message = {"role": "user", "content": "Ada speaks of engines.", "userId": "ada", "name": "Ada"}
    ok(api.post("/v1/conversations/his/messages", message))
    ok(api.post("/v1/conversations/his/messages", {**message, "content": "Byron answers.", "userId": "byron"}))
    ok(api.post(f"{ADA}/memories", {"memory": "Likes engines."}))
    ok(api.post("/v1/memories", {"memorySpaceId": "home", "userId": "ada", "content": "An engine's memory."}))
    ok(api.post("/v1/memories", {**BYRON, "content": "A poem."}))
    ok(api.post("/v1/users/byron/memories", {"memory": "Likes poems."}))
    fact = {"fact": "Ada builds engines.", "factType": "work", "confidence": 90, "subject": "Ada"}
    ok(api.post("/v1/facts", {"memorySpaceId": "home", "userId": "ada", **fact, "predicate": "builds", "object": "it"}))
    deliver(stream)


def deliver(stream: Stream) -> None:
    stream.deliver()
    stream.deliver_ledger()


def exported(api: Api, user: str = "ada") -> list[dict[str, Any]]:
    answer = api.get(f"/v1/users/{user}/export")
    assert answer.status == 200, answer.body
    return [json.loads(line) for line in answer.body.decode().splitlines()]


def kinds(lines: list[dict[str, Any]]) -> list[str]:
    return sorted(line["type"] for line in lines)


def require_erased(api: Api, stream: Stream) -> None:
    """Nothing of Ada is left, and all of Byron is."""
    for name in ("hers", "hers-too"):
        assert api.get(f"/v1/conversations/{name}").status == 410
        assert api.get(f"/v1/conversations/{name}/verify").json["valid"]
    his = api.get("/v1/conversations/his/messages").json["items"]
    assert [message.get("content") for message in his] == ["Engines of byron.", None, "Byron answers."]
    assert api.get("/v1/conversations/his/verify").json["valid"]
    assert api.get(f"{ADA}/memories").json["items"] == []
    assert len(api.get("/v1/users/byron/memories").json["items"]) == 1
    deliver(stream)
    hits = api.post("/v1/memory/search", {"query": "Ada engines", "filter": {"userId": "ada"}}).json["items"]
    assert hits == []
    assert kinds(exported(api)) == ["person"]
    assert kinds(exported(api, "byron")) == ["conversation", "memory", *["message"] * 3, "person", "userMemory"]
    for table in (settings().ledger_table, settings().state_table):
        items = [item for item in client().scan(TableName=table)["Items"] if api.caller.tenant in item["pk"]["S"]]
        assert "engine" not in str(items).replace("Engines of byron", "").lower()


GONE = {"conversations": 2, "messages": 3, "memories": 4, "facts": 1, "spaces": 0, "documents": 0}


def test_an_export_holds_all_that_there_is_of_a_user_and_nothing_of_others(api: Api, stream: Stream) -> None:
    live(api, stream)

    lines = exported(api)

    assert kinds(lines) == ["conversation"] * 2 + ["memory"] * 2 + ["message"] * 3 + ["person", "userMemory"]
    elsewhere = [line for line in lines if line["type"] == "message" and line["conversationId"] == "his"]
    assert [line["content"] for line in elsewhere] == ["Ada speaks of engines."]
    assert "Byron" not in json.dumps(lines)


def test_an_export_holds_only_what_its_key_may_see(api: Api, stream: Stream) -> None:
    live(api, stream)

    assert kinds(exported(api.limited(spaces={"work"}))) == ["person"]
    assert api.limited(scopes={"write"}).get(f"{ADA}/export").problem[0] == 403
    assert api.get(f"{ADA}/export?format=xml").problem == (422, "UNKNOWN_FIELD", "format")


def test_an_erased_user_is_gone_everywhere_and_nobody_else_is(api: Api, stream: Stream) -> None:
    live(api, stream)

    answer = api.delete(ADA)

    assert answer.status == 200
    receipt = answer.json
    assert (receipt["status"], receipt["removed"]) == ("erased", GONE)
    assert "userId" not in receipt
    assert api.get(f"/v1/receipts/{receipt['receiptId']}").json == receipt
    require_erased(api, stream)


def test_a_second_erasure_takes_what_came_since(api: Api, stream: Stream) -> None:
    live(api, stream)
    api.delete(ADA)
    ok(api.post(f"{ADA}/memories", {"memory": "Came back."}))

    receipt = api.delete(ADA).json

    assert receipt["removed"] == {**GONE, "memories": GONE["memories"] + 1}
    assert api.get(f"{ADA}/memories").json["items"] == []


def test_an_erasure_that_does_not_fit_is_finished_from_the_stream(api: Api, stream: Stream, setting: Setting) -> None:
    live(api, stream)
    setting("ERASE_BUDGET_S", "0")
    answer = api.delete(ADA)
    assert (answer.status, answer.json["status"], answer.json["userId"]) == (202, "erasing", "ada")
    keys = {"pk": {"S": f"T#{api.caller.tenant}#R#{answer.json['receiptId']}"}, "sk": {"S": "RECEIPT"}}
    event = {"Records": [{"dynamodb": {"Keys": keys, "SequenceNumber": "1"}}]}

    for _ in range(30):
        assert function("finish_erasure").handler(event, Context("finish_erasure")) == {"batchItemFailures": []}
        if api.get(f"/v1/receipts/{answer.json['receiptId']}").json["status"] == "erased":
            break

    assert api.get(f"/v1/receipts/{answer.json['receiptId']}").json["removed"] == GONE
    require_erased(api, stream)


OPERATIONS = ("PutItem", "DeleteItem", "TransactWriteItems")


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("calls_before", [0, 3])
def test_a_crash_at_any_write_leaves_what_a_repeat_finishes(
    api: Api, stream: Stream, operation: str, calls_before: int
) -> None:
    live(api, stream)
    broken = [faults.go_through] * calls_before + [faults.lose_request] * 4

    with faults.on(operation, *broken) as unused:
        api.delete(ADA)
    assert len(unused) < len(broken)

    receipt = api.delete(ADA).json
    assert receipt["status"] == "erased"
    assert receipt["removed"] == GONE
    require_erased(api, stream)


def test_without_the_index_an_erasure_goes_as_far_as_it_can_and_a_repeat_finishes_it(
    api: Api, stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    live(api, stream)

    class Down:
        def list_documents(self, *_: Any, **__: Any) -> None:
            raise SearchUnavailable("The index does not answer.")

    with monkeypatch.context() as patch:
        patch.setattr(adapters, "index", Down)
        assert api.delete(ADA).problem[:2] == (503, "SEARCH_UNAVAILABLE")
    assert api.get("/v1/conversations/hers").status == 410

    assert api.delete(ADA).json["removed"] == GONE
    require_erased(api, stream)


def test_only_a_key_for_all_spaces_with_the_scope_erases_a_user(api: Api, stream: Stream) -> None:
    live(api, stream)

    assert api.limited(spaces={"home"}).delete(ADA).problem[:2] == (403, "FORBIDDEN")
    assert api.limited(scopes={"read", "write"}).delete(ADA).problem[:2] == (403, "FORBIDDEN")
    assert api.get("/v1/conversations/hers").status == 200


def test_another_tenants_user_of_the_same_name_is_another(api: Api, stream: Stream) -> None:
    live(api, stream)
    other = Api.of("tenant-of-nobody")

    assert erase_user(other.caller, "ada", 5).conversations == 0
    assert kinds(exported(other)) == ["person"]
    assert api.get("/v1/conversations/hers").status == 200
