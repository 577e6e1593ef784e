"""When a conversation's last message was said, and when it was created, by the messages' own times everywhere.

Retention counts by when things were stored.
"""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from annals.conversations.heads import find_stored_head, head_key, project_head
from annals.database.dynamodb import client, from_item
from annals.ledger.keys import conversation_pk, entry_sk
from annals.settings import settings
from tests.support.api import Api
from tests.support.talk import SPACE

pytestmark = pytest.mark.usefixtures("moto")

IMPORT = "/v1/conversations/import"
NEW = {"type": "user-agent", "participants": SPACE}
JUNE = "2025-06-15T08:00:00.000Z"
JULY = "2025-07-01T08:00:00.000Z"
FUTURE = "2199-01-01T00:00:00.000Z"


def create(api: Api, name: str = "c") -> str:
    assert api.post("/v1/conversations", {**NEW, "conversationId": name}).status == 201
    return name


def say(api: Api, *times: str | None, name: str = "c") -> Any:
    messages = [{"role": "user", "content": "hi", **({"timestamp": at} if at else {})} for at in times]
    answer = api.post(f"/v1/conversations/{name}/messages", {"messages": messages})
    assert answer.status == 201, answer.body
    return answer.json


def pk_of(api: Api, name: str = "c") -> str:
    return conversation_pk(api.caller.tenant, name)


def last_message_times(api: Api, name: str = "c") -> set[str | None]:
    """``lastMessageAt`` wherever it is shown: the conversation, its list, exports, analytics."""
    project_head(pk_of(api, name))
    path = f"/v1/conversations/{name}"
    [listed] = [each for each in api.get("/v1/conversations").json["items"] if each["conversationId"] == name]
    return {
        api.get(path).json["lastMessageAt"],
        listed["lastMessageAt"],
        api.get(f"{path}/export").json["lastMessageAt"],
        api.get(f"{path}/analytics").json["lastMessageAt"],
    }


def test_the_last_message_is_the_one_that_was_said_last_wherever_it_is_shown(api: Api) -> None:
    create(api)
    say(api, JUNE, JULY, JUNE)
    assert last_message_times(api) == {JULY}
    say(api, JUNE)
    assert last_message_times(api) == {JULY}


def test_a_message_without_a_time_of_its_own_is_said_when_it_is_stored(api: Api) -> None:
    create(api)
    say(api, JUNE)
    stored = say(api, None)["messages"][0]["timestamp"]
    assert last_message_times(api) == {stored}
    say(api, JULY)
    assert last_message_times(api) == {stored}


def test_a_message_from_the_future_is_said_when_it_is_stored(api: Api) -> None:
    create(api)
    before = time.time_ns() // 10**6
    say(api, FUTURE)
    [at] = last_message_times(api)
    assert at is not None
    assert at < FUTURE
    head = find_stored_head(pk_of(api))
    assert head is not None
    assert head.last_message_at is not None
    assert before <= head.last_message_at <= time.time_ns() // 10**6


def test_marks_and_redactions_change_nothing_of_when_the_last_message_was_said(api: Api) -> None:
    create(api)
    say(api, JULY, JUNE)
    api.post("/v1/conversations/c/preamble", {"content": "before"})
    api.post("/v1/conversations/c/archive", {"before": 2})
    api.post("/v1/conversations/c/messages/msg-001/redact", {"reason": "asked"})
    assert last_message_times(api) == {JULY}
    say(api, JUNE)
    api.post("/v1/conversations/c/seal")
    assert last_message_times(api) == {JULY}
    assert api.get("/v1/conversations/c/verify").json["valid"]


def test_lists_follow_when_messages_were_said_and_a_lost_head_is_made_anew_the_same(api: Api) -> None:
    for name, at in (("june", JUNE), ("july", JULY), ("now", None)):
        say(api, at, name=create(api, name))
        project_head(pk_of(api, name))
    api.post("/v1/conversations/june/seal")
    project_head(pk_of(api, "june"))

    def listed() -> list[str]:
        return [each["conversationId"] for each in api.get("/v1/conversations").json["items"]]

    assert listed() == ["now", "july", "june"]
    between = f"lastMessageAfter={JUNE}&lastMessageBefore=2025-08-01T00:00:00Z"
    items = api.get(f"/v1/conversations?{between}").json["items"]
    assert [each["conversationId"] for each in items] == ["july"]
    for name in ("june", "july", "now"):
        before = find_stored_head(pk_of(api, name))
        client().delete_item(TableName=settings().state_table, Key=head_key(pk_of(api, name)))
        project_head(pk_of(api, name))
        assert find_stored_head(pk_of(api, name)) == before
    assert listed() == ["now", "july", "june"]


def line(**more: Any) -> dict[str, Any]:
    own = {"type": "conversation", "conversationType": "user-agent", "conversationId": "c"}
    return {**own, "participants": SPACE, **more}


def bring(api: Api, *lines: dict[str, Any]) -> None:
    body = "".join(json.dumps(each) + "\n" for each in lines)
    answer = api.post(IMPORT, body, content_type="application/x-ndjson")
    assert answer.status == 200, answer.body


def message(**more: Any) -> dict[str, Any]:
    return {"type": "message", "conversationId": "c", "role": "user", "content": "hi", **more}


def test_an_imported_conversation_was_created_when_its_file_says(api: Api) -> None:
    bring(api, line(createdAt=JUNE), message(timestamp=JULY))
    project_head(pk_of(api))
    [listed] = api.get(f"/v1/conversations?createdAfter=2025-06-14T00:00:00Z&createdBefore={JULY}").json["items"]
    seen = api.get("/v1/conversations/c").json
    assert seen == listed
    assert (seen["createdAt"], seen["lastMessageAt"]) == (JUNE, JULY)
    client().delete_item(TableName=settings().state_table, Key=head_key(pk_of(api)))
    assert project_head(pk_of(api)) == find_stored_head(pk_of(api))
    assert api.get("/v1/conversations/c").json["createdAt"] == JUNE
    assert api.get("/v1/conversations/c/verify").json["valid"]


def test_a_conversation_is_not_created_in_the_future(api: Api) -> None:
    bring(api, line(createdAt=FUTURE), message())
    assert api.get("/v1/conversations/c").json["createdAt"] < FUTURE


def test_retention_counts_from_when_messages_were_stored(api: Api) -> None:
    create(api)
    say(api, "2019-01-01T00:00:00Z")
    project_head(pk_of(api))
    head = find_stored_head(pk_of(api))
    assert head is not None
    assert head.silent_since >= head.genesis.stored_at
    bring(api, line(conversationId="old", createdAt="2019-01-01T00:00:00Z"))
    empty = project_head(pk_of(api, "old"))
    assert empty is not None
    assert empty.silent_since == empty.genesis.stored_at > empty.genesis.created_at


def test_a_head_and_entries_of_earlier_versions_keep_what_they_meant(api: Api) -> None:
    create(api)
    stored = say(api, None)["messages"][0]["timestamp"]
    project_head(pk_of(api))
    for attribute in ("silentSince", "storedAt"):
        client().update_item(
            TableName=settings().state_table,
            Key=head_key(pk_of(api)),
            UpdateExpression="REMOVE #name",
            ExpressionAttributeNames={"#name": attribute},
        )
    head = find_stored_head(pk_of(api))
    assert head is not None
    assert head.silent_since == head.last_message_at
    entry = {"pk": {"S": pk_of(api)}, "sk": {"S": entry_sk(1)}}
    item = client().get_item(TableName=settings().ledger_table, Key=entry)["Item"]
    assert "said" not in from_item(item)
    assert last_message_times(api) == {stored}
