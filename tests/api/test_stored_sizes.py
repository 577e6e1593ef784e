"""What is larger than an item of the table can be is refused by name, and nothing of it is stored."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest
from botocore.exceptions import ClientError

from annals.api.problems import from_aws
from annals.database.dynamodb import client
from annals.database.item_size import MAX_ITEM_BYTES, item_size
from annals.database.state import state_item
from annals.errors import RequestTooLarge
from annals.settings import settings
from tests.support.api import Api, Reply

pytestmark = pytest.mark.usefixtures("moto")

FAT = "x" * 450_000
WIDE_IDS = [f"{'😀' * 124}{each:04d}" for each in range(1_000)]
MEMORY = {"memorySpaceId": "home", "content": "short", "userId": "ada"}
FACT = {"memorySpaceId": "home", "fact": "f", "subject": "s", "predicate": "p", "object": "o"}


def stored() -> list[str]:
    """Everything that both tables hold."""
    return sorted(
        json.dumps(item, default=str, sort_keys=True)
        for table in (settings().state_table, settings().ledger_table)
        for page in client().get_paginator("scan").paginate(TableName=table)
        for item in page["Items"]
    )


@pytest.mark.parametrize(
    ("method", "path", "body", "field"),
    [
        ("POST", "/v1/memories", {**MEMORY, "content": FAT}, "content"),
        ("POST", "/v1/memories", {**MEMORY, "metadata": {"a": FAT}}, "metadata"),
        ("POST", "/v1/facts", {**FACT, "metadata": {"a": FAT}}, "metadata"),
        ("POST", "/v1/users/ada/memories", {"memory": "m", "metadata": {"a": FAT}}, "metadata"),
        (
            "POST",
            "/v1/keys",
            {"name": "n", "scopes": ["read"], "memorySpaces": WIDE_IDS},
            "memorySpaces",
        ),
        ("PUT", "/v1/spaces/home", {"metadata": {"a": FAT}}, "metadata"),
        ("PUT", "/v1/spaces/home", {"participants": [{"participantId": each} for each in WIDE_IDS]}, "participants"),
        (
            "POST",
            "/v1/conversations",
            {"type": "user-agent", "participants": {"userId": "u", "memorySpaceId": "m"}, "metadata": {"a": FAT}},
            "metadata",
        ),
    ],
)
@pytest.mark.parametrize("key", [None, "once"])
def test_what_no_item_has_room_for_is_refused_by_its_field_and_nothing_is_stored(
    api: Api, method: str, path: str, body: dict[str, Any], field: str, key: str | None
) -> None:
    before = stored()
    headers = {"idempotency_key": key} if key else {}
    assert api.send(method, path, body, **headers).problem == (413, "REQUEST_TOO_LARGE", field)
    assert stored() == before


@pytest.mark.parametrize(
    ("collection", "body", "field"),
    [
        ("/v1/memories", MEMORY, "metadata"),
        ("/v1/users/ada/memories", {"memory": "m"}, "metadata"),
        (
            "/v1/conversations",
            {"type": "user-agent", "participants": {"userId": "u", "memorySpaceId": "m"}},
            "metadata",
        ),
    ],
)
def test_metadata_that_changes_let_grow_is_refused_where_it_outgrows_its_item(
    api: Api, collection: str, body: dict[str, Any], field: str
) -> None:
    new = api.post(collection, body).json
    path = f"{collection}/{new.get('memoryId') or new['conversationId']}"
    refused = None
    for each in range(12):
        before = stored()
        answer = api.patch(path, {"metadata": {f"part {each}": "x" * 60_000}})
        if answer.status != 200:
            refused = answer
            break
    assert refused is not None
    assert refused.problem == (413, "REQUEST_TOO_LARGE", field)
    assert stored() == before


def test_a_change_that_would_make_a_memory_too_large_keeps_the_version_before(api: Api) -> None:
    memory = api.post("/v1/memories", MEMORY).json
    path = f"/v1/memories/{memory['memoryId']}"
    before = stored()
    assert api.patch(path, {"content": FAT}).problem == (413, "REQUEST_TOO_LARGE", "content")
    assert stored() == before
    assert api.get(path).json["version"] == 1


def test_the_largest_message_can_be_changed_archived_and_deleted_as_a_memory(api: Api) -> None:
    body = {"type": "user-agent", "participants": {"userId": "u" * 128, "memorySpaceId": "😀" * 128}}
    created = api.post("/v1/conversations", body).json
    pasted = {"role": "user", "content": '"' * 190_000}
    assert api.post(f"/v1/conversations/{created['conversationId']}/messages", pasted).status == 201
    path = f"/v1/memories/mem:{created['conversationId']}:1"
    assert api.patch(path, {"importance": 90}).status == 200
    assert api.post(f"{path}/archive").status == 200
    assert api.delete(path).status == 204


def test_an_item_of_the_very_limit_is_taken_and_one_byte_more_is_refused() -> None:
    key = {"pk": {"S": "T#t#X"}, "sk": {"S": "X"}}
    room = MAX_ITEM_BYTES - item_size({"pk": "T#t#X", "sk": "X", "text": ""})
    assert state_item(key, {"text": "x" * room}, kind="thing", fields={"text": "x"})
    with pytest.raises(RequestTooLarge, match=f"at most {MAX_ITEM_BYTES}"):
        state_item(key, {"text": "x" * (room + 1)}, kind="thing", fields={"text": "x"})


@pytest.mark.parametrize("number", ["0", "-1", "2", "9" * 11, "9" * 2_000])
def test_a_version_of_any_number_that_never_was_is_no_failure(api: Api, number: str) -> None:
    memory = api.post("/v1/memories", MEMORY).json
    answer = api.get(f"/v1/memories/{memory['memoryId']}/versions/{number}")
    assert answer.problem[:2] in ((404, "VERSION_NOT_FOUND"), (422, "INVALID_RANGE"))


WIDE = "😀" * 128


def _answers(api: Api) -> list[Reply]:
    """Requests whose every id is as long as ids can be, in characters that take the most bytes."""
    people = {"userId": WIDE, "agentId": WIDE[::-1], "participantId": WIDE, "memorySpaceId": WIDE}
    new = {"type": "user-agent", "participants": people}
    once = {"idempotency_key": "%" * 255}
    turn = {**people, "conversationId": WIDE, "userMessage": "a", "agentResponse": "b"}
    fact = {**FACT, "memorySpaceId": WIDE, "userId": WIDE}
    path = quote(WIDE)
    message = {"role": "user", "content": "a", "threadId": WIDE, "runId": WIDE}
    return [
        api.post("/v1/conversations", {**new, "conversationId": WIDE}, **once),
        api.put("/v1/conversations/by-participants", new),
        api.put("/v1/conversations/by-session", {**new, "sessionId": WIDE + WIDE}, **once),
        api.post(f"/v1/conversations/{path}/messages", message, **once),
        api.post("/v1/memory/remember", turn, **once),
        api.post("/v1/facts", {**fact, "sourceRef": {"conversationId": WIDE, "messageIds": ["msg-001"]}}, **once),
        api.post("/v1/memories", {**MEMORY, **people}, **once),
        api.post(f"/v1/users/{path}/memories", {"memory": "m", "memorySpaceId": WIDE}, **once),
        api.put(f"/v1/spaces/{path}", {"retentionDays": 1}),
        api.post("/v1/a2a/messages", {"from": WIDE, "to": "b", "text": "t", "memorySpaceId": WIDE}, **once),
        api.post("/v1/keys", {"name": WIDE, "scopes": ["read"], "memorySpaces": [WIDE]}, **once),
        api.get(f"/v1/conversations?participants.userId={'u' * 128}&limit=1"),
        api.delete(f"/v1/conversations/{path}"),
    ]


def test_ids_as_long_as_they_can_be_fit_into_every_key(tenant: str) -> None:
    longest = Api.of(f"{tenant} {'%' * 100}")
    assert [answer.status for answer in _answers(longest)] == [
        201,
        201,
        201,
        201,
        201,
        201,
        201,
        201,
        201,
        201,
        201,
        200,
        200,
    ]


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        ({"Code": "ValidationException", "Message": "Item size has exceeded the maximum allowed size"}, 413, None),
        (
            {"Code": "ValidationException", "Message": "Item size to update has exceeded the maximum allowed size"},
            413,
            None,
        ),
        (
            {
                "Code": "ValidationException",
                "Message": "One or more parameter values were invalid: "
                "Size of hashkey has exceeded the maximum size limit of2048 bytes",
            },
            422,
            "INVALID_ID_FORMAT",
        ),
        (
            {
                "Code": "ValidationException",
                "Message": "One or more parameter values were invalid: "
                "Aggregated size of all range keys has exceeded the size limit of 1024 bytes",
            },
            422,
            "INVALID_ID_FORMAT",
        ),
        ({"Code": "ValidationException", "Message": "Invalid UpdateExpression"}, 500, "INTERNAL_ERROR"),
    ],
)
def test_what_dynamodb_refuses_for_its_size_is_the_callers_to_mend(
    error: dict[str, str], status: int, code: str | None
) -> None:
    refusal = from_aws(ClientError({"Error": error}, "PutItem"))  # type: ignore[arg-type]
    assert (refusal.status, refusal.code) == (status, code or "REQUEST_TOO_LARGE")


def test_a_transaction_called_off_for_an_items_size_is_not_said_to_be_busy() -> None:
    reasons = [
        {"Code": "None"},
        {"Code": "ValidationError", "Message": "Item size has exceeded the maximum allowed size"},
    ]
    error: Any = {"Error": {"Code": "TransactionCanceledException", "Message": "…"}, "CancellationReasons": reasons}
    assert from_aws(ClientError(error, "TransactWriteItems")).status == 413
