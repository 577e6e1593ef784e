"""Appending and reading messages."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings

from annals.database.item_size import MAX_ENTRY_BYTES
from annals.ledger.keys import conversation_pk
from annals.ledger.read import walk
from tests.support.api import Api, Reply
from tests.support.ledgers import new_conversation, tamper
from tests.support.strategies import json_objects, json_values, texts

pytestmark = pytest.mark.usefixtures("moto")

MESSAGES = "/v1/conversations/conv-1/messages"
HELLO = {"role": "user", "content": "hello"}


@pytest.fixture(autouse=True)
def conversation(tenant: str) -> str:
    return new_conversation(tenant)


def _contents(answer: Reply) -> list[str]:
    return [message["content"] for message in answer.json["items"]]


def _ids(answer: Reply) -> list[str]:
    return [message["messageId"] for message in answer.json["items"]]


def _say(api: Api, *contents: str, **more: Any) -> None:
    for content in contents:
        assert api.post(MESSAGES, {**HELLO, "content": content, **more}).status == 201


def test_an_appended_message_has_an_id_a_seq_and_a_time(api: Api) -> None:
    answer = api.post(MESSAGES, HELLO)
    assert answer.status == 201
    (message,) = answer.json["messages"]
    assert (message["messageId"], message["seq"], message["content"]) == ("msg-001", 1, "hello")
    assert message["timestamp"].endswith("Z")
    assert (answer.json["messageCount"], answer.headers["etag"]) == (1, '"1"')
    assert api.get(f"{MESSAGES}/msg-001").json == message


def test_the_answer_s_hash_is_the_conversation_s(api: Api) -> None:
    answer = api.post(MESSAGES, HELLO).json
    assert answer["headHash"] == api.get("/v1/conversations/conv-1").json["headHash"]


def test_a_conversation_counts_its_messages_at_once(api: Api) -> None:
    _say(api, "1", "2")
    seen = api.get("/v1/conversations/conv-1").json
    assert (seen["messageCount"], seen["version"]) == (2, 1)
    assert seen["lastMessageAt"] == api.get(f"{MESSAGES}/msg-002").json["timestamp"]


BAD_MESSAGES: list[tuple[dict[str, Any], str, str]] = [
    ({"role": "user", "content": ""}, "MISSING_REQUIRED_FIELD", "content"),
    ({"role": "user"}, "MISSING_REQUIRED_FIELD", "content"),
    ({"role": "user", "content": "", "parts": None}, "MISSING_REQUIRED_FIELD", "content"),
    ({"content": "x"}, "MISSING_REQUIRED_FIELD", "role"),
    ({"role": "bot", "content": "x"}, "INVALID_ROLE", "role"),
    ({"role": "User", "content": "x"}, "INVALID_ROLE", "role"),
    ({"role": None, "content": "x"}, "INVALID_ROLE", "role"),
    ({**HELLO, "colour": "red"}, "UNKNOWN_FIELD", "colour"),
    ({**HELLO, "seq": 7}, "UNKNOWN_FIELD", "seq"),
    ({**HELLO, "tenant": "other"}, "UNKNOWN_FIELD", "tenant"),
    ({**HELLO, "content": 7}, "INVALID_FORMAT", "content"),
    ({**HELLO, "metadata": "x"}, "INVALID_FORMAT", "metadata"),
    ({**HELLO, "userId": " "}, "MISSING_REQUIRED_FIELD", "userId"),
    ({**HELLO, "threadId": "a\nb"}, "INVALID_ID_FORMAT", "threadId"),
    ({**HELLO, "timestamp": "yesterday"}, "INVALID_FORMAT", "timestamp"),
    ({**HELLO, "timestamp": "2025-01-01T00:00:00"}, "INVALID_FORMAT", "timestamp"),
    ({**HELLO, "timestamp": "0001-01-01T00:00:00+23:00"}, "INVALID_FORMAT", "timestamp"),
    ({**HELLO, "timestamp": 10**18}, "INVALID_FORMAT", "timestamp"),
    ({**HELLO, "timestamp": True}, "INVALID_FORMAT", "timestamp"),
]


@pytest.mark.parametrize(("message", "code", "field"), BAD_MESSAGES)
def test_a_message_that_cannot_be_is_refused_by_field(api: Api, message: dict[str, Any], code: str, field: str) -> None:
    assert api.post(MESSAGES, message).problem == (422, code, field)


@pytest.mark.parametrize(("message", "code", "field"), BAD_MESSAGES)
def test_one_bad_message_of_a_batch_refuses_them_all(api: Api, message: dict[str, Any], code: str, field: str) -> None:
    assert api.post(MESSAGES, {"messages": [HELLO, message]}).problem == (422, code, f"messages[1].{field}")
    assert api.get(MESSAGES).json["total"] == 0


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({"messages": []}, "EMPTY_ARRAY", "messages"),
        ({"messages": [HELLO], "role": "user"}, "UNKNOWN_FIELD", "role"),
        ({"messages": [{**HELLO, "threadId": "a"}, HELLO]}, "INVALID_FORMAT", "messages"),
        ({"messages": HELLO}, "INVALID_FORMAT", "messages"),
        ([HELLO], "INVALID_FORMAT", None),
        ([{**HELLO, "content": "would be lost"}, HELLO], "INVALID_FORMAT", None),
        ([], "INVALID_FORMAT", None),
        ("hello", "INVALID_JSON", None),
        (b'"hello"', "INVALID_FORMAT", None),
    ],
)
def test_a_batch_that_cannot_be_is_refused(api: Api, body: Any, code: str, field: str | None) -> None:
    assert api.post(MESSAGES, body).problem == (400 if code == "INVALID_JSON" else 422, code, field)
    assert api.get(MESSAGES).json["total"] == 0


def test_a_batch_is_one_entry_with_seqs_in_a_row(api: Api) -> None:
    _say(api, "first")
    answer = api.post(MESSAGES, {"messages": [{**HELLO, "content": text} for text in "abc"]})
    assert [message["seq"] for message in answer.json["messages"]] == [2, 3, 4]
    assert (answer.json["messageCount"], answer.headers["etag"]) == (4, '"4"')
    assert api.get("/v1/conversations/conv-1/verify").json["entries"] == 3


def test_an_agent_is_an_assistant(api: Api) -> None:
    assert api.post(MESSAGES, {"role": "agent", "content": "x"}).json["messages"][0]["role"] == "assistant"
    assert _contents(api.get(f"{MESSAGES}?roles=agent")) == ["x"]


def test_parts_alone_are_enough(api: Api) -> None:
    answer = api.post(MESSAGES, {"role": "tool", "parts": [{"type": "image"}]})
    assert (answer.status, answer.json["messages"][0]["content"]) == (201, "")


def test_a_time_of_the_caller_s_is_kept_as_utc(api: Api) -> None:
    for sent, stored in [
        ("2020-02-29T23:59:59.5+01:00", "2020-02-29T22:59:59.500Z"),
        (1_750_000_000_123, "2025-06-15T15:06:40.123Z"),
        ("0999-01-01T00:00:00Z", "0999-01-01T00:00:00.000Z"),
    ]:
        assert api.post(MESSAGES, {**HELLO, "timestamp": sent}).json["messages"][0]["timestamp"] == stored
    assert len(_ids(api.get(f"{MESSAGES}?since=2020-01-01T00:00:00Z"))) == 2


def test_there_is_no_appending_where_no_conversation_is(api: Api) -> None:
    for stranger in (api.limited(spaces={"home"}), Api.of("another")):
        assert stranger.post(MESSAGES, HELLO).problem == (404, "CONVERSATION_NOT_FOUND", None)
    answer = api.post("/v1/conversations/none/messages", HELLO)
    assert answer.problem == (404, "CONVERSATION_NOT_FOUND", None)


def test_a_sealed_conversation_takes_no_messages(api: Api) -> None:
    _say(api, "before")
    assert api.post("/v1/conversations/conv-1/seal").json["status"] == "sealed"
    assert api.post(MESSAGES, HELLO).problem[:2] == (409, "CONVERSATION_SEALED")
    assert _contents(api.get(MESSAGES)) == ["before"]


def test_an_entry_over_the_limit_is_refused_with_the_limit_and_nothing_is_stored(api: Api) -> None:
    answer = api.post(MESSAGES, {**HELLO, "content": "x" * MAX_ENTRY_BYTES})
    assert answer.problem[:2] == (413, "ENTRY_TOO_LARGE")
    assert str(MAX_ENTRY_BYTES) in answer.json["detail"]
    assert api.get(MESSAGES).json["total"] == 0


def test_a_message_just_below_the_limit_comes_back(api: Api) -> None:
    content = "x" * (MAX_ENTRY_BYTES - 500)
    assert api.post(MESSAGES, {**HELLO, "content": content}).status == 201
    assert _contents(api.get(MESSAGES)) == [content]


def test_the_same_key_again_gives_the_same_answer_and_stores_nothing(api: Api) -> None:
    first = api.post(MESSAGES, HELLO, idempotency_key="k")
    _say(api, "later")
    again = api.post(MESSAGES, HELLO, idempotency_key="k")
    assert (again.status, again.json, again.headers["etag"]) == (201, first.json, first.headers["etag"])
    assert (first.headers.get("idempotent-replayed"), again.headers["idempotent-replayed"]) == (None, "true")
    assert api.get(MESSAGES).json["total"] == 2


def test_the_same_key_with_another_body_is_refused(api: Api) -> None:
    api.post(MESSAGES, HELLO, idempotency_key="k")
    other = api.post(MESSAGES, {**HELLO, "content": "other"}, idempotency_key="k")
    assert other.problem == (409, "IDEMPOTENCY_KEY_REUSED", "Idempotency-Key")
    assert api.get(MESSAGES).json["total"] == 1


def test_the_same_key_in_another_conversation_is_refused(api: Api) -> None:
    new_conversation(api.caller.tenant, "conv-2")
    api.post(MESSAGES, HELLO, idempotency_key="k")
    other = api.post("/v1/conversations/conv-2/messages", HELLO, idempotency_key="k")
    assert other.problem[:2] == (409, "IDEMPOTENCY_KEY_REUSED")


def test_if_match_appends_only_behind_its_seq(api: Api) -> None:
    assert api.post(MESSAGES, HELLO, if_match='"0"').status == 201
    assert api.post(MESSAGES, HELLO, if_match='"1"').status == 201
    late = api.post(MESSAGES, HELLO, if_match='"1"')
    assert late.problem == (412, "PRECONDITION_FAILED", "If-Match")
    assert (late.json["current"], api.get(MESSAGES).json["total"]) == (2, 2)


@pytest.mark.parametrize("text", ["*", "abc", '"-1"', '"1", "2"', 'W/"1"', "", '"1e3"', '"' + "9" * 13 + '"'])
def test_an_if_match_that_is_no_number_is_refused(api: Api, text: str) -> None:
    assert api.post(MESSAGES, HELLO, if_match=text).problem == (422, "INVALID_FORMAT", "If-Match")


def test_if_match_with_a_key_is_answered_again_when_it_is_sent_again(api: Api) -> None:
    first = api.post(MESSAGES, HELLO, if_match='"0"', idempotency_key="k")
    again = api.post(MESSAGES, HELLO, if_match='"0"', idempotency_key="k")
    assert (again.status, again.json, again.headers["idempotent-replayed"]) == (201, first.json, "true")
    other = api.post(MESSAGES, {**HELLO, "content": "other"}, if_match='"0"', idempotency_key="k")
    assert other.problem[:2] == (409, "IDEMPOTENCY_KEY_REUSED")


def test_if_match_in_the_middle_of_an_entry_is_refused(api: Api) -> None:
    api.post(MESSAGES, {"messages": [HELLO] * 3})
    assert api.post(MESSAGES, HELLO, if_match='"1"', idempotency_key="k").problem[:2] == (412, "PRECONDITION_FAILED")


def test_a_history_is_the_newest_messages_in_chronological_order(api: Api) -> None:
    _say(api, *map(str, range(1, 11)))
    for query, expected in [
        ("limit=3", "8 9 10"),
        ("limit=3&order=desc", "10 9 8"),
        ("limit=3&order=asc", "1 2 3"),
        ("limit=3&order=asc&offset=3", "4 5 6"),
        ("offset=100", ""),
        ("after=7", "8 9 10"),
        ("before=3", "1 2"),
    ]:
        assert _contents(api.get(f"{MESSAGES}?{query}")) == expected.split()
    older = api.get(f"{MESSAGES}?limit=3").json["nextCursor"]
    assert _contents(api.get(f"{MESSAGES}?limit=3&cursor={older}")) == ["5", "6", "7"]


def test_a_history_s_total_counts_all_messages_and_its_etag_is_the_tail_s_seq(api: Api) -> None:
    _say(api, "1", "2", "3")
    page = api.get(f"{MESSAGES}?limit=1&roles=tool")
    assert (page.json["items"], page.json["total"], page.headers["etag"]) == ([], 3, '"3"')


@pytest.mark.parametrize("name", ["limit", "offset", "after", "before"])
def test_numbers_out_of_range_are_refused_by_name(api: Api, name: str) -> None:
    wrong = {"limit": ["0", "-1", "1001"]}.get(name, ["-1", str(10**12), str(10**2000)])
    for value in wrong:
        assert api.get(f"{MESSAGES}?{name}={value}").problem == (422, "INVALID_RANGE", name)
    assert api.get(f"{MESSAGES}?{name}=x").problem == (422, "INVALID_FORMAT", name)


@pytest.mark.parametrize(
    ("query", "code", "field"),
    [
        ("cursor=abc", "INVALID_CURSOR", "cursor"),
        ("roles=bot", "INVALID_ROLE", "roles"),
        ("since=yesterday", "INVALID_FORMAT", "since"),
        ("since=2025-01-02T00:00:00Z&until=2025-01-02T00:00:00Z", "INVALID_DATE_RANGE", "since"),
        ("since=2025-01-03T00:00:00Z&until=2025-01-02T00:00:00Z", "INVALID_DATE_RANGE", "since"),
        ("colour=red", "UNKNOWN_FIELD", "colour"),
        ("tenant=other", "UNKNOWN_FIELD", "tenant"),
    ],
)
def test_a_history_that_cannot_be_is_refused_by_name(api: Api, query: str, code: str, field: str) -> None:
    assert api.get(f"{MESSAGES}?{query}").problem == (422, code, field)


def test_a_history_is_filtered_by_role_thread_run_and_time(api: Api) -> None:
    for number in range(1, 7):
        role = "user" if number % 2 else "assistant"
        more = {"threadId": "t"} if number in (2, 3) else {"runId": "r"} if number == 5 else {}
        day = f"2025-01-0{number}T00:00:00Z"
        api.post(MESSAGES, {"role": role, "content": str(number), "timestamp": day, **more})
    for query, expected in [
        ("roles=user", "1 3 5"),
        ("roles=user,assistant", "1 2 3 4 5 6"),
        ("threadId=t", "2 3"),
        ("threadId=none", ""),
        ("runId=r", "5"),
        ("since=2025-01-03T00:00:00Z", "3 4 5 6"),
        ("until=2025-01-03T00:00:00Z", "1 2 3"),
        ("since=2025-01-02T00:00:00Z&until=2025-01-05T00:00:00Z&roles=user", "3 5"),
        ("roles=user&limit=1", "5"),
    ]:
        assert _contents(api.get(f"{MESSAGES}?{query}")) == expected.split(), query


def test_an_archive_mark_in_the_middle_of_an_entry_leaves_its_later_messages(api: Api) -> None:
    api.post(MESSAGES, {"messages": [{**HELLO, "content": text} for text in "abc"]})
    _say(api, "d")
    assert api.post("/v1/conversations/conv-1/archive", {"before": 3}).status == 200
    for query, expected in [("", "cd"), ("lastRuns=9", "cd"), ("includeArchived=true", "abcd"), ("order=asc", "cd")]:
        assert _contents(api.get(f"{MESSAGES}?{query}")) == list(expected), query
    assert api.get("/v1/conversations/conv-1/verify").json["valid"]


def test_an_offset_beyond_all_messages_leaves_no_preamble_either(api: Api) -> None:
    _say(api, "1", "2")
    api.post("/v1/conversations/conv-1/preamble", {"content": "before"})
    for query, expected in [("", "before 1 2"), ("offset=2", "before"), ("offset=3", ""), ("order=desc", "2 1 before")]:
        assert _contents(api.get(f"{MESSAGES}?{query}")) == expected.split(), query


def test_redaction_and_erasure_leave_the_chain_valid(api: Api) -> None:
    _say(api, "1", "the same again " * 200, "3")
    before = api.get("/v1/conversations/conv-1/verify").json
    assert api.post(f"{MESSAGES}/msg-002/redact", {"reason": "private"}).status == 200
    redacted = api.get("/v1/conversations/conv-1/verify").json
    assert (redacted["valid"], redacted["messageCount"], redacted["entries"]) == (True, 3, before["entries"] + 1)
    assert api.delete("/v1/conversations/conv-1").status == 200
    erased = api.get("/v1/conversations/conv-1/verify").json
    assert (erased["valid"], erased["messageCount"], erased["entries"]) == (True, 3, before["entries"] + 2)
    bodies = [record.body for entry in walk(conversation_pk(api.caller.tenant, "conv-1")) for record in entry.records]
    assert bodies[:-1] == [None] * 5


def test_a_message_that_there_is_not_is_not_found(api: Api) -> None:
    _say(api, "1")
    for unknown in ("msg-000", "msg-002", "msg-1", "msg-0001", "x", "msg-999999999999", "%20", "msg-٠٠١"):
        assert api.get(f"{MESSAGES}/{unknown}").problem == (404, "MESSAGE_NOT_FOUND", None)


def test_many_messages_come_in_stored_order_without_the_unknown(api: Api) -> None:
    _say(api, "1", "2")
    api.post(MESSAGES, {"messages": [{**HELLO, "content": text} for text in "345"]})
    body = {"messageIds": ["msg-005", "msg-009", "msg-001", "msg-004", "nonsense"]}
    assert _contents(api.post(f"{MESSAGES}/get-many", body)) == ["1", "4", "5"]


@pytest.mark.parametrize(
    ("ids", "code"), [([], "EMPTY_ARRAY"), (["msg-001", "msg-001"], "DUPLICATE_VALUES"), ("msg-001", "INVALID_FORMAT")]
)
def test_a_list_of_ids_that_cannot_be_is_refused(api: Api, ids: Any, code: str) -> None:
    assert api.post(f"{MESSAGES}/get-many", {"messageIds": ids}).problem == (422, code, "messageIds")


CONTENTS = [
    "x" * 100_000,
    "😀👨‍👩‍👧‍👦🏳️‍🌈",
    "e\u0301 ≠ é",
    "a\0b\x01\x1f",
    "line\n" * 1_000,
    "\u202eمرحبا بالعالم שלום\u202c",
    "'; DROP TABLE messages; --",
    "<script>alert('&amp;')</script>",
    '"\\u0041\\n" \\',
    " \t leading and trailing \n",
    "\ufeff\u2028\uffff",
]


@pytest.mark.parametrize("content", CONTENTS, ids=range(len(CONTENTS)))
def test_any_text_comes_back_exactly(api: Api, content: str) -> None:
    assert api.post(MESSAGES, {**HELLO, "content": content}).status == 201
    assert _contents(api.get(MESSAGES)) == [content]
    assert api.get(f"{MESSAGES}/msg-001").json["content"] == content


PARTS = [
    [0.1, 1e-7, 123456789.123456789, -0.0, 1e22, 5e-324, 9007199254740993, 10**30],
    {"nested": [[[{"deep": [None, True, False, []]}]], {}], "": "", "unknown": {"camelCase": 1, "snake_case": 2}},
    [{"type": "image", "data": "iVBORw0KGgo=" * 100}],
    "just a string",
    None,
    False,
]


@pytest.mark.parametrize("parts", PARTS, ids=range(len(PARTS)))
def test_any_parts_come_back_exactly(api: Api, parts: Any) -> None:
    assert api.post(MESSAGES, {**HELLO, "parts": parts}).status == 201
    assert json.dumps(api.get(MESSAGES).json["items"][0]["parts"]) == json.dumps(parts)


@settings(max_examples=20)
@given(content=texts.filter(bool), parts=json_values, metadata=json_objects)
def test_whatever_is_said_comes_back_as_it_was(moto: None, content: str, parts: Any, metadata: Any) -> None:
    api = Api.of("whatever")
    if api.get("/v1/conversations/conv-1").status == 404:
        new_conversation("whatever")
    sent = {"role": "user", "content": content, "parts": parts, "metadata": metadata}
    stored = api.post(MESSAGES, sent).json["messages"][0]
    assert json.dumps({name: stored[name] for name in sent}) == json.dumps(sent)
    assert api.get(f"{MESSAGES}?limit=1").json["items"] == [stored]


def test_earlier_messages_stay_as_they_are(api: Api) -> None:
    _say(api, "1", "2")
    before = api.get(MESSAGES).json["items"]
    _say(api, "3")
    assert api.get(MESSAGES).json["items"][:2] == before


def test_a_conversation_as_it_was_written_verifies(api: Api) -> None:
    _say(api, "1", "2")
    answer = api.get("/v1/conversations/conv-1/verify").json
    head = api.get("/v1/conversations/conv-1").json
    assert answer == {"valid": True, "messageCount": 2, "entries": 3, "headHash": head["headHash"]}


@pytest.mark.parametrize(
    ("path", "value"),
    [("records[0].body", '{"role":"user","content":"forged"}'), ("count", 7), ("at", 5), ("n", 3), ("state", "sealed")],
)
def test_a_change_behind_the_api_is_found(api: Api, path: str, value: Any) -> None:
    _say(api, "1", "2", "3")
    tamper(conversation_pk(api.caller.tenant, "conv-1"), 2, path, value)
    answer = api.get("/v1/conversations/conv-1/verify").json
    assert (answer["valid"], answer["firstBadSeq"]) == (False, 2)


def test_a_change_in_a_deflated_body_is_found(api: Api) -> None:
    _say(api, "1", "the same again " * 200)
    tamper(conversation_pk(api.caller.tenant, "conv-1"), 2, "records[0].body", b"\xff\xff not deflated")
    answer = api.get("/v1/conversations/conv-1/verify").json
    assert (answer["valid"], answer["firstBadSeq"]) == (False, 2)


def test_there_is_nothing_to_verify_where_no_conversation_is(api: Api) -> None:
    assert api.get("/v1/conversations/none/verify").problem[:2] == (404, "CONVERSATION_NOT_FOUND")
    assert Api.of("another").get("/v1/conversations/conv-1/verify").status == 404


@pytest.mark.parametrize("path", [MESSAGES, f"{MESSAGES}/msg-001", "/v1/conversations/conv-1/verify"])
def test_reading_needs_the_scope_read_and_the_conversation_s_space(api: Api, path: str) -> None:
    _say(api, "1")
    assert api.limited(scopes={"write"}).get(path).problem == (403, "FORBIDDEN", None)
    assert api.limited(spaces={"home"}).get(path).problem == (404, "CONVERSATION_NOT_FOUND", None)
    assert api.limited(scopes={"read"}, spaces={"space-1"}).get(path).status == 200


def test_appending_needs_the_scope_write(api: Api) -> None:
    assert api.limited(scopes={"read", "admin"}).post(MESSAGES, HELLO).problem == (403, "FORBIDDEN", None)


def test_a_message_may_say_what_it_is_as_a_memory(api: Api) -> None:
    made = {
        "type": "user-agent",
        "participants": {"userId": "ada", "memorySpaceId": "home"},
        "conversationId": "marked",
    }
    assert api.post("/v1/conversations", made).status == 201

    marked = {"role": "user", "content": "I am allergic to nuts.", "importance": 90, "tags": ["health"]}
    answer = api.post("/v1/conversations/marked/messages", marked)

    assert answer.json["messages"][0].keys() & {"importance", "tags", "memory"} == set()
    memory = api.get("/v1/memories/mem:marked:1").json
    assert (memory["importance"], memory["tags"]) == (90, ["health"])
    refused = api.post("/v1/conversations/marked/messages", {**marked, "importance": 101})
    assert refused.problem == (422, "INVALID_IMPORTANCE", "importance")
