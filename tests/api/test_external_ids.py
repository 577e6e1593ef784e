"""Messages with ids of the caller's own: stored once, found by them, and gone with their words."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest

from annals.database.dynamodb import client, from_item
from annals.errors import ExternalIdTaken
from annals.ledger.entry import REDACTION
from annals.settings import settings
from tests.support.api import Api, Reply
from tests.support.ingesting import failures_queue, record, take

pytestmark = pytest.mark.usefixtures("moto")

PATH = "/v1/conversations/conv-1"
MESSAGES = f"{PATH}/messages"
NEW = {"conversationId": "conv-1", "type": "user-agent", "participants": {"userId": "ada", "memorySpaceId": "work"}}
TAKEN = (409, ExternalIdTaken.code, "externalId")
ODD_IDS = [
    "a/b", "100%", "1+1", "a b", " ", "/", "..", "\u65e5\u672c/\u00fc", "%2F", "\u00e9", "e\u0301",
    "\U0001f469\u200d\U0001f467", "x" * 256, '"', "a#b", "a?b=c&d",
]  # fmt: skip


def said(content: str, external_id: str | None = None, **more: Any) -> dict[str, Any]:
    own = {} if external_id is None else {"externalId": external_id}
    return {"role": "user", "content": content, **own, **more}


def several(*messages: dict[str, Any]) -> dict[str, Any]:
    return {"messages": list(messages)}


def find(api: Api, external_id: str, more: str = "") -> list[dict[str, Any]]:
    answer = api.get(f"{MESSAGES}?externalId={quote(external_id, safe='')}{more}")
    assert answer.status == 200, answer.body
    items: list[dict[str, Any]] = answer.json["items"]
    return items


def contents(api: Api) -> list[str | None]:
    return [message.get("content") for message in api.get(MESSAGES).json["items"]]


def is_replay(answer: Reply) -> bool:
    return answer.status == 201 and answer.headers.get("idempotent-replayed") == "true"


def stored_texts(api: Api) -> str:
    """All that both tables hold of the tenant, as text."""
    pages = (
        client().get_paginator("scan").paginate(TableName=table)
        for table in (settings().ledger_table, settings().state_table)
    )
    items = (from_item(item) for each in pages for page in each for item in page["Items"])
    return repr([item for item in items if item["pk"].startswith(f"T#{api.caller.tenant}#")])


@pytest.fixture
def chat(api: Api) -> Api:
    """A client whose tenant has an empty conversation."""
    assert api.post("/v1/conversations", NEW).status == 201
    return api


@pytest.mark.parametrize("external_id", ODD_IDS)
def test_a_message_comes_back_with_its_external_id_and_is_found_by_it(chat: Api, external_id: str) -> None:
    chat.post(MESSAGES, said("before"))
    stored = chat.post(MESSAGES, said("hello", external_id)).json["messages"][0]
    chat.post(MESSAGES, said("after", f"{external_id}!"[-256:]))
    assert stored["externalId"] == external_id
    assert find(chat, external_id) == [stored] == [chat.get(f"{MESSAGES}/msg-002").json]


@pytest.mark.parametrize("external_id", ["", "x" * 257, "a\nb", "\x00", "\x7f", "\x85", 7, {}])
def test_an_external_id_that_is_none_is_refused(chat: Api, external_id: Any) -> None:
    answer = chat.post(MESSAGES, {**said("hello"), "externalId": external_id})
    assert (answer.status, answer.json["field"]) == (422, "externalId")
    assert contents(chat) == []


def test_an_unknown_external_id_finds_nothing(chat: Api) -> None:
    assert find(chat, "one") == []
    chat.post(MESSAGES, said("hello", "two"))
    assert find(chat, "one") == []


def test_a_message_with_a_known_external_id_is_answered_as_it_is_stored(chat: Api) -> None:
    first = chat.post(MESSAGES, said("hello", "one"))
    chat.post(MESSAGES, said("more"))
    again = chat.post(MESSAGES, said("hello", "one"))
    assert is_replay(again)
    assert not is_replay(first)
    assert again.json == first.json
    assert again.headers["etag"] == first.headers["etag"]
    assert contents(chat) == ["hello", "more"]


@pytest.mark.parametrize("other", [{"content": "bye"}, {"role": "tool"}, {"metadata": {"a": 1}}, {"name": "Ada"}])
def test_another_message_with_a_known_external_id_is_refused(chat: Api, other: dict[str, Any]) -> None:
    chat.post(MESSAGES, said("hello", "one"))
    assert chat.post(MESSAGES, {**said("hello", "one"), **other}).problem == TAKEN
    assert contents(chat) == ["hello"]


def test_the_order_of_names_makes_no_other_message(chat: Api) -> None:
    chat.post(MESSAGES, said("hello", "one", metadata={"a": 1, "b": 2}))
    assert is_replay(chat.post(MESSAGES, said("hello", "one", metadata={"b": 2, "a": 1})))


def test_an_external_id_is_one_of_its_conversation_alone(chat: Api) -> None:
    assert chat.post("/v1/conversations", {**NEW, "conversationId": "conv-2"}).status == 201
    chat.post(MESSAGES, said("hello", "one"))
    assert not is_replay(chat.post("/v1/conversations/conv-2/messages", said("hello", "one")))
    assert chat.post("/v1/conversations/conv-2/messages", said("bye", "one")).problem == TAKEN


def test_a_known_message_is_answered_whatever_became_of_the_conversation_since(chat: Api) -> None:
    first = chat.post(MESSAGES, said("hello", "one"), if_match='"0"')
    chat.post(MESSAGES, said("more"))
    assert is_replay(chat.post(MESSAGES, said("hello", "one"), if_match='"0"'))
    chat.post(f"{PATH}/seal")
    assert chat.post(MESSAGES, said("hello", "one")).json == first.json
    assert chat.post(MESSAGES, said("new", "two")).problem[:2] == (409, "CONVERSATION_SEALED")


def test_an_idempotency_key_beside_an_external_id_still_stands_for_one_request(chat: Api) -> None:
    first = chat.post(MESSAGES, said("hello", "one"), idempotency_key="k")
    assert is_replay(chat.post(MESSAGES, said("hello", "one"), idempotency_key="k"))
    assert chat.post(MESSAGES, said("bye", "two"), idempotency_key="k").problem[1] == "IDEMPOTENCY_KEY_REUSED"
    chat.post(MESSAGES, said("two", "two"))
    assert chat.post(MESSAGES, said("two", "two"), idempotency_key="k").problem[1] == "IDEMPOTENCY_KEY_REUSED"
    assert is_replay(chat.post(MESSAGES, said("hello", "one"), idempotency_key="other"))
    assert first.json["messages"] == find(chat, "one")


def test_a_batch_that_is_stored_is_answered_as_it_is(chat: Api) -> None:
    batch = several(said("q", "one"), said("between"), said("a", "two"))
    first = chat.post(MESSAGES, batch)
    assert is_replay(again := chat.post(MESSAGES, batch))
    assert again.json == first.json
    assert is_replay(alone := chat.post(MESSAGES, said("a", "two")))
    assert alone.json["messages"] == first.json["messages"][2:]


def test_messages_that_were_stored_one_by_one_are_known_as_a_batch(chat: Api) -> None:
    for word in ("one", "two"):
        chat.post(MESSAGES, said(word, word))
    again = chat.post(MESSAGES, several(said("two", "two"), said("one", "one")))
    assert is_replay(again)
    assert [message["content"] for message in again.json["messages"]] == ["two", "one"]
    assert again.headers["etag"] == '"2"'


def test_a_batch_that_begins_with_known_messages_appends_the_others_behind_them(chat: Api) -> None:
    first = chat.post(MESSAGES, several(said("q", "one"), said("no id"))).json
    batch = several(said("q", "one"), said("no id"), said("between"), said("a", "two"), said("end"))
    grown = chat.post(MESSAGES, batch)
    assert grown.status == 201
    assert not is_replay(grown)
    assert grown.json["messages"][:2] == first["messages"]
    assert [message["messageId"] for message in grown.json["messages"]] == [f"msg-00{seq}" for seq in range(1, 6)]
    assert is_replay(again := chat.post(MESSAGES, batch))
    assert again.json == grown.json
    assert contents(chat) == ["q", "no id", "between", "a", "end"]


def test_a_batch_in_which_a_new_message_comes_before_a_known_one_is_refused(chat: Api) -> None:
    chat.post(MESSAGES, said("a", "two"))
    assert chat.post(MESSAGES, several(said("q", "one"), said("a", "two"))).problem == TAKEN
    assert contents(chat) == ["a"]


def test_a_batch_whose_end_nobody_would_know_again_is_refused(chat: Api) -> None:
    chat.post(MESSAGES, said("q", "one"))
    assert chat.post(MESSAGES, several(said("q", "one"), said("no id"))).problem == TAKEN
    assert contents(chat) == ["q"]


def test_a_batch_with_another_message_under_a_known_id_stores_nothing(chat: Api) -> None:
    chat.post(MESSAGES, said("q", "one"))
    assert chat.post(MESSAGES, several(said("new", "two"), said("other", "one"))).problem == TAKEN
    assert chat.post(MESSAGES, several(said("q", "one"), said("new", "two"), said("q", "three"))).status == 201
    assert contents(chat) == ["q", "new", "q"]


def test_an_external_id_stands_once_in_a_request(chat: Api) -> None:
    batch = several(said("a", "one"), said("b"), said("a", "one"))
    assert chat.post(MESSAGES, batch).problem == (422, "DUPLICATE_VALUES", "messages[2].externalId")
    assert contents(chat) == []


def test_a_request_has_as_many_external_ids_as_a_transaction_takes(chat: Api) -> None:
    batch = several(*(said("x", str(number)) for number in range(90)), said("x"))
    assert chat.post(MESSAGES, batch).status == 201
    assert is_replay(chat.post(MESSAGES, batch))
    batch["messages"].append(said("x", "90"))
    assert chat.post(MESSAGES, batch).problem == (422, "INVALID_RANGE", "messages")


def test_other_conditions_hold_beside_an_external_id(chat: Api) -> None:
    chat.post(MESSAGES, said("hello", "one", runId="run/1"))
    assert len(find(chat, "one", "&roles=user&runId=run%2F1")) == 1
    for condition in ("roles=tool", "runId=run", "threadId=t", "after=1", "before=1"):
        assert find(chat, "one", f"&{condition}") == []


def test_an_archived_message_is_found_by_its_external_id(chat: Api) -> None:
    chat.post(MESSAGES, said("hello", "one"))
    chat.post(f"{PATH}/archive", {"before": 2})
    assert [message["status"] for message in find(chat, "one")] == ["archived"]


def test_a_redacted_message_keeps_its_place_and_nothing_of_its_external_id(chat: Api) -> None:
    chat.post(MESSAGES, several(said("My PIN is 4711.", "ada@example.org/1"), said("and", "two")))
    assert "ada@example.org" in stored_texts(chat)
    assert chat.post(f"{MESSAGES}/msg-001/redact", {"reason": "asked"}).status == 200
    assert "ada@example.org" not in stored_texts(chat)
    assert [message["status"] for message in find(chat, "ada@example.org/1")] == ["redacted"]


def test_a_repeat_of_a_redacted_append_does_not_store_the_words_again(chat: Api) -> None:
    message = said("My PIN is 4711.", "one")
    chat.post(MESSAGES, message)
    chat.post(f"{MESSAGES}/msg-001/redact", {"reason": "asked"})
    for repeat in (message, several(message)):
        assert is_replay(again := chat.post(MESSAGES, repeat))
        assert [each["status"] for each in again.json["messages"]] == ["redacted"]
    assert "My PIN" not in stored_texts(chat)
    assert REDACTION in stored_texts(chat)


def test_an_erased_conversation_takes_its_external_ids_along(chat: Api) -> None:
    chat.post(MESSAGES, said("hello", "ada@example.org"))
    before = stored_texts(chat)
    assert chat.delete(PATH).status == 200
    assert chat.post(MESSAGES, said("hello", "ada@example.org")).status == 410
    assert "X#" in before
    assert "X#" not in stored_texts(chat)


def test_what_is_known_of_another_tenant_is_not_known_here(chat: Api) -> None:
    chat.post(MESSAGES, said("hello", "one"))
    other = Api.of(f"{chat.caller.tenant}-other")
    other.post("/v1/conversations", NEW)
    assert not is_replay(other.post(MESSAGES, said("hello", "one")))


def test_an_external_id_of_a_conversation_in_a_closed_space_tells_nothing(chat: Api) -> None:
    chat.post(MESSAGES, said("hello", "one"))
    stranger = chat.limited(spaces={"home"})
    assert stranger.get(f"{MESSAGES}?externalId=one").status == 404
    assert stranger.post(MESSAGES, said("hello", "one")).status == 404


IMPORT = "/v1/conversations/import"
LINES = "application/x-ndjson"


def lines(*messages: dict[str, Any]) -> str:
    own = {"conversationType": "user-agent", "participants": NEW["participants"]}
    values = [{"type": "conversation", "conversationId": "conv-1", **own}]
    values += [{"type": "message", "conversationId": "conv-1", **message} for message in messages]
    return "\n".join(map(json.dumps, values))


def bring(api: Api, file: str | bytes, query: str = "") -> Reply:
    return api.post(f"{IMPORT}?{query}", file, content_type=LINES)


def counts(answer: Reply) -> tuple[int, int]:
    assert answer.status == 200, answer.body
    (imported,) = answer.json["conversations"]
    return imported["imported"], imported["skipped"]


@pytest.mark.parametrize("name", ["jsonl", "csv"])
def test_an_exported_external_id_is_imported_once_and_found(chat: Api, name: str) -> None:
    for external_id in ODD_IDS:
        chat.post(MESSAGES, said(f"of {external_id}", external_id, runId=external_id))
    file = chat.get(f"/v1/conversations/export?format={name}&formulas=keep").body
    query = "memorySpaceId=work&userId=ada" if name == "csv" else ""
    other = Api.of(f"{chat.caller.tenant}-other")
    assert counts(bring(other, file, query)) == (len(ODD_IDS), 0)
    assert counts(bring(other, file, query)) == (0, len(ODD_IDS))
    assert counts(bring(chat, file, query)) == (0, len(ODD_IDS))
    for seq, external_id in enumerate(ODD_IDS, start=1):
        assert [message["seq"] for message in find(other, external_id)] == [seq]
        assert is_replay(other.post(MESSAGES, said(f"of {external_id}", external_id, runId=external_id)))


def test_a_json_export_has_external_ids(chat: Api) -> None:
    chat.post(MESSAGES, said("hello", "a/1"))
    assert chat.get(f"{PATH}/export?format=json").json["messages"][0]["externalId"] == "a/1"


def test_more_external_ids_than_an_entry_has_room_for_are_imported(api: Api) -> None:
    file = lines(*(said("x", str(number)) for number in range(200)))
    assert counts(bring(api, file)) == (200, 0)
    assert [message["seq"] for message in find(api, "199")] == [200]
    assert counts(bring(api, file)) == (0, 200)


def test_a_file_in_which_two_messages_share_an_external_id_is_refused(api: Api) -> None:
    answer = bring(api, lines(said("a", "one"), said("b", "one")))
    assert answer.problem == (422, "DUPLICATE_VALUES", "line 3")
    assert api.get(PATH).status == 404


def test_a_file_that_brings_a_taken_external_id_is_refused(chat: Api) -> None:
    chat.post(MESSAGES, said("a", "one"))
    part = lines(said("b", "one")).replace('"type": "conversation"', '"type": "conversation", "offset": 1')
    assert bring(chat, part).problem == TAKEN
    assert contents(chat) == ["a"]


def test_an_event_that_comes_by_two_ways_is_stored_once(chat: Api, tenant: str) -> None:
    event = {"conversation": {"conversationId": "conv-1"}, "messages": [said("hello", "one")]}
    with failures_queue(tenant) as failures:
        assert take(record({**event, "idempotencyKey": "a"}), record({**event, "idempotencyKey": "b"})) == []
        assert take(record({"conversation": {"conversationId": "conv-1"}, "messages": [said("bye", "one")]})) == []
        assert failures.reasons() == [ExternalIdTaken.code]
    assert contents(chat) == ["hello"]
