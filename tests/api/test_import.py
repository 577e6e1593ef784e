"""Imports: what was exported comes back as it was, once, whole or not at all."""

from __future__ import annotations

import json
from typing import Any

import pytest

from annals.conversations import import_parsing
from annals.conversations.importing import MAX_BATCH_BYTES
from annals.ledger.keys import conversation_pk
from annals.ledger.read import walk
from tests.support.api import Api, Reply
from tests.support.talk import CALL, SPACE, talk

pytestmark = pytest.mark.usefixtures("moto")

PATH = "/v1/conversations/import"
OWNERS = "memorySpaceId=space-1&userId=ada"
GIVEN_ANEW = {"messageId", "seq", "version", "updatedAt", "headHash"}
"""What an import does not keep: it follows from the new ledger."""


def text(*lines: dict[str, Any]) -> str:
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def conversation(conversation_id: str = "c", **more: Any) -> dict[str, Any]:
    own = {"type": "conversation", "conversationType": "user-agent", "conversationId": conversation_id}
    return {**own, "participants": SPACE, **more}


def message(content: str, conversation_id: str = "c", **more: Any) -> dict[str, Any]:
    return {"type": "message", "conversationId": conversation_id, "role": "user", "content": content, **more}


def bring(api: Api, *lines: dict[str, Any], query: str = "") -> Reply:
    return api.post(f"{PATH}?{query}", text(*lines), content_type="application/x-ndjson")


def counts(answer: Reply) -> dict[str, tuple[int, int]]:
    assert answer.status == 200, answer.body
    return {each["conversationId"]: (each["imported"], each["skipped"]) for each in answer.json["conversations"]}


def contents(api: Api, conversation_id: str = "c") -> list[str]:
    items = api.get(f"/v1/conversations/{conversation_id}/messages?order=asc").json["items"]
    return [item["content"] for item in items]


def exported(api: Api, name: str = "jsonl") -> list[dict[str, Any]]:
    body = api.get(f"/v1/conversations/export?format={name}").body
    return [json.loads(line) for line in body.decode().splitlines() if line]


def imported_lines(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in line.items() if name not in GIVEN_ANEW} for line in lines]


def lines_of(body: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in body.decode().split("\n") if line]


def test_what_is_exported_imported_and_exported_again_is_the_same(api: Api) -> None:
    talk(api)
    talk(api, "plain", rich=False)
    file = api.get("/v1/conversations/export?format=jsonl").body
    other = Api.of(f"{api.caller.tenant}-copy")
    answer = other.post(PATH, file, content_type="application/x-ndjson")
    assert counts(answer) == {"talk": (6, 0), "plain": (6, 0)}
    again = other.get("/v1/conversations/export?format=jsonl").body
    assert sorted(map(json.dumps, imported_lines(lines_of(again)))) == sorted(
        map(json.dumps, imported_lines(lines_of(file)))
    )
    assert all(other.get(f"/v1/conversations/{name}/verify").json["valid"] for name in ("talk", "plain"))


def test_messages_keep_their_ids_where_nothing_stood_between_them(api: Api) -> None:
    talk(api)
    file = api.get("/v1/conversations/export?format=jsonl").body
    other = Api.of(f"{api.caller.tenant}-copy")
    other.post(PATH, file, content_type="application/x-ndjson")
    ids = [line.get("messageId") for line in lines_of(other.get("/v1/conversations/export?format=jsonl").body)]
    assert ids == [line.get("messageId") for line in lines_of(file)]


def test_importing_again_stores_nothing(api: Api) -> None:
    talk(api)
    file = api.get("/v1/conversations/export?format=jsonl").body
    other = Api.of(f"{api.caller.tenant}-copy")
    for imported in (6, 0, 0):
        answer = other.post(PATH, file, content_type="application/x-ndjson")
        assert counts(answer) == {"talk": (imported, 6 - imported)}
    head = other.get("/v1/conversations/talk").json["headHash"]
    other.post(PATH, file, content_type="application/x-ndjson")
    assert other.get("/v1/conversations/talk").json["headHash"] == head


def test_a_file_imported_where_it_came_from_changes_nothing(api: Api) -> None:
    talk(api)
    head = api.get("/v1/conversations/talk").json["headHash"]
    file = api.get("/v1/conversations/export?format=jsonl").body
    assert counts(api.post(PATH, file, content_type="application/x-ndjson")) == {"talk": (0, 6)}
    assert api.get("/v1/conversations/talk").json["headHash"] == head


def test_a_conversation_that_holds_the_beginning_is_completed(api: Api) -> None:
    bring(api, conversation(), message("1"), message("2"))
    answer = bring(api, conversation(), message("1"), message("2"), message("3"))
    assert counts(answer) == {"c": (1, 2)}
    assert contents(api) == ["1", "2", "3"]


def test_a_conversation_that_went_on_since_is_left(api: Api) -> None:
    lines = conversation(), message("1")
    bring(api, *lines)
    api.post("/v1/conversations/c/messages", {"role": "user", "content": "2"})
    assert counts(bring(api, *lines)) == {"c": (0, 1)}
    assert contents(api) == ["1", "2"]


@pytest.mark.parametrize(
    "other",
    [
        [message("1"), message("other")],
        [message("other"), message("2")],
        [message("1"), message("2", role="assistant")],
        [message("1"), message("2", metadata={"n": 1})],
        [message("1"), message("2", parts=[1.0])],
        [message("1"), message("2"), message("a preamble", role="system", kind="preamble")],
    ],
)
def test_a_conversation_that_differs_is_409_and_nothing_is_stored(api: Api, other: list[dict[str, Any]]) -> None:
    first = message("1"), message("2", parts=[1]), message("preamble", role="system", kind="preamble")
    bring(api, conversation(), *first)
    answer = bring(api, conversation("new"), message("x", "new"), conversation(), *other, message("3"))
    assert answer.problem[:2] == (409, "CONVERSATION_DIFFERS")
    assert api.get("/v1/conversations/new").status == 404
    assert len(exported(api)) == 4


def test_a_conversation_of_others_is_409(api: Api) -> None:
    bring(api, conversation())
    answer = bring(api, conversation(participants={**SPACE, "userId": "bob"}), message("1"))
    assert answer.problem[:2] == (409, "CONVERSATION_ALREADY_EXISTS")


def test_an_erased_conversation_does_not_come_back(api: Api) -> None:
    bring(api, conversation(), message("1"))
    api.delete("/v1/conversations/c")
    assert bring(api, conversation(), message("1")).problem[:2] == (410, "CONVERSATION_ERASED")


def test_a_message_that_was_redacted_since_does_not_come_back(api: Api) -> None:
    lines = conversation(), message("1"), message("secret"), message("3")
    bring(api, *lines)
    api.post("/v1/conversations/c/messages/msg-002/redact", {"reason": "asked for"})
    assert counts(bring(api, *lines, message("4"))) == {"c": (1, 3)}
    assert b"secret" not in api.get("/v1/conversations/c/export").body


def test_a_message_that_was_redacted_before_keeps_its_place_without_being_a_memory(api: Api) -> None:
    redacted = {"type": "message", "conversationId": "c", "status": "redacted", "messageId": "msg-001", "seq": 1}
    bring(api, conversation(), {**redacted, "timestamp": "2025-01-01T00:00:00.000Z"}, message("2"))
    first = api.get("/v1/conversations/c/messages?order=asc").json["items"][0]
    assert first == {
        "messageId": "msg-001", "seq": 1, "timestamp": "2025-01-01T00:00:00.000Z", "status": "redacted",
    }  # fmt: skip
    assert api.get("/v1/conversations/c/context?maxTokens=1000").json["messages"][0]["content"] == "2"


GOOD = [conversation(), message("1")]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("{", "INVALID_FORMAT"),
        ('{"type": "message", "conversationId": "c", "role": "user", "content": "\\ud800"}', "INVALID_FORMAT"),
        ("[1]", "INVALID_FORMAT"),
        ("{}", "INVALID_FORMAT"),
        ('{"type": "note"}', "INVALID_FORMAT"),
        (json.dumps(message("x", role="bot")), "INVALID_ROLE"),
        (json.dumps(message("")), "MISSING_REQUIRED_FIELD"),
        (json.dumps(message("x", colour="red")), "UNKNOWN_FIELD"),
        (json.dumps(message("x", timestamp="yesterday")), "INVALID_FORMAT"),
        (json.dumps(message("x", "nobody")), "INVALID_FORMAT"),
        (json.dumps(conversation()), "DUPLICATE_VALUES"),
        (json.dumps(conversation("d", conversationType="bad")), "INVALID_TYPE"),
        (json.dumps(conversation("d", participants={"memorySpaceId": "s"})), "INVALID_PARTICIPANTS"),
        (json.dumps(conversation("d", participants={"userId": "u", "memorySpaceId": " "})), "MISSING_REQUIRED_FIELD"),
        (json.dumps(conversation("a\nb")), "INVALID_ID_FORMAT"),
        (json.dumps(conversation("d", offset=-1)), "INVALID_RANGE"),
        ('{"messages": []}', "EMPTY_ARRAY"),
        ('{"messages": [{"role": "user"}]}', "MISSING_REQUIRED_FIELD"),
        ('{"messages": ["hello"]}', "INVALID_FORMAT"),
        ('{"messages": "hello"}', "INVALID_FORMAT"),
        ('{"messages": [{"role": ["user"], "content": "x"}]}', "INVALID_ROLE"),
    ],
)
def test_a_damaged_line_is_named_and_nothing_is_stored(api: Api, line: str, code: str) -> None:
    answer = api.post(f"{PATH}?{OWNERS}", f"{text(*GOOD)}\n{line}\n{text(message('2'))}")
    assert answer.problem == (422, code, "line 4")
    assert answer.json["detail"].startswith("Line 4: ")
    assert exported(api) == []


def test_a_message_that_no_entry_can_hold_is_413_and_nothing_is_stored(api: Api) -> None:
    answer = bring(api, *GOOD, message("x" * 400_000))
    assert answer.problem == (413, "ENTRY_TOO_LARGE", "line 3")
    assert exported(api) == []


@pytest.mark.parametrize("kind", ["application/x-ndjson", "application/jsonl", "application/json; charset=utf-8"])
def test_json_lines_go_by_any_of_their_names(api: Api, kind: str) -> None:
    assert counts(api.post(PATH, text(*GOOD), content_type=kind)) == {"c": (1, 0)}


def test_another_content_type_is_415(api: Api) -> None:
    assert api.post(PATH, text(*GOOD), content_type="text/plain").problem[:2] == (415, "UNSUPPORTED_MEDIA_TYPE")


def test_an_empty_body_is_422(api: Api) -> None:
    assert api.post(PATH, "\n \n").problem[:2] == (422, "MISSING_REQUIRED_FIELD")
    assert api.post(PATH).problem[:2] == (422, "MISSING_REQUIRED_FIELD")


def test_lines_may_end_as_on_windows_and_begin_with_a_mark(api: Api) -> None:
    body = "\ufeff" + text(*GOOD).replace("\n", "\r\n")
    assert counts(api.post(PATH, body)) == {"c": (1, 0)}


def test_an_import_needs_the_scope_write(api: Api) -> None:
    assert bring(api.limited(scopes={"read"}), *GOOD).problem[:2] == (403, "FORBIDDEN")


def test_another_space_is_404_and_nothing_is_stored(api: Api) -> None:
    elsewhere = conversation("d", participants={**SPACE, "memorySpaceId": "space-2"})
    answer = bring(api.limited(spaces={"space-1"}), *GOOD, elsewhere)
    assert answer.problem == (404, "NOT_FOUND", "memorySpaceId")
    assert exported(api) == []


def test_what_is_not_said_in_a_query_parameter_that_there_is_is_refused(api: Api) -> None:
    assert bring(api, *GOOD, query="colour=red").problem == (422, "UNKNOWN_FIELD", "colour")


CHAT = {
    "messages": [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Weather?"}], "name": "Ada"},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "content": "22 °C", "tool_call_id": "call_1"},
        {"role": "assistant", "content": "Mild."},
    ]
}


def test_a_chat_of_openai_s_format_comes_back_as_it_was(api: Api) -> None:
    assert list(counts(bring(api, CHAT, query=OWNERS)).values()) == [(5, 0)]
    assert exported(api, "openai-chat") == [{"messages": CHAT["messages"]}]


def test_a_chat_s_text_is_its_content_and_can_be_searched(api: Api) -> None:
    [name] = counts(bring(api, CHAT, query=OWNERS))
    assert contents(api, name) == ["Be brief.", "Weather?", "", "22 °C", "Mild."]


def test_the_same_chat_again_finds_the_first_one_s_conversation(api: Api) -> None:
    first = counts(bring(api, CHAT, query=OWNERS))
    assert counts(bring(api, CHAT, CHAT, query=OWNERS)) == dict.fromkeys(first, (0, 5))
    assert counts(bring(api, CHAT, query="memorySpaceId=space-1&userId=bob")).keys().isdisjoint(first)


def test_a_chat_s_name_cannot_be_told_from_its_words(api: Api, tenant: str) -> None:
    other = Api.of(f"{tenant}-b")
    assert counts(bring(api, CHAT, query=OWNERS)).keys().isdisjoint(counts(bring(other, CHAT, query=OWNERS)))


def test_a_chat_of_which_words_were_withdrawn_is_found_again_and_they_stay_withdrawn(api: Api) -> None:
    [name] = counts(bring(api, CHAT, query=OWNERS))
    api.post(f"/v1/conversations/{name}/messages/msg-002/redact", {"reason": "asked"})
    assert counts(bring(api, CHAT, query=OWNERS)) == {name: (0, 5)}
    api.delete(f"/v1/conversations/{name}")
    assert bring(api, CHAT, query=OWNERS).problem[:2] == (410, "CONVERSATION_ERASED")


def test_a_chat_of_two_agents_is_theirs(api: Api) -> None:
    [name] = counts(bring(api, CHAT, query="type=agent-agent&agent1=a&agent2=b"))
    assert api.get(f"/v1/conversations/{name}").json["participants"] == {"agent1": "a", "agent2": "b"}


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("userId=ada", (422, "MISSING_REQUIRED_FIELD", "memorySpaceId")),
        ("memorySpaceId=s", (422, "INVALID_PARTICIPANTS", "participants")),
        ("type=bad&memorySpaceId=s&userId=u", (422, "INVALID_TYPE", "type")),
        ("memorySpaceId=%20&userId=u", (422, "MISSING_REQUIRED_FIELD", "memorySpaceId")),
    ],
)
def test_a_chat_without_an_owner_is_refused(api: Api, query: str, problem: tuple[int, str, str]) -> None:
    assert bring(api, CHAT, query=query).problem == problem


def test_what_a_chat_s_line_says_beside_its_messages_is_metadata(api: Api) -> None:
    [name] = counts(bring(api, {**CHAT, "tools": [{"type": "function"}]}, query=OWNERS))
    assert api.get(f"/v1/conversations/{name}").json["metadata"] == {"tools": [{"type": "function"}]}


def test_a_file_comes_in_parts(api: Api) -> None:
    first = conversation(messageCount=4, status="sealed"), message("1"), message("2")
    second = conversation(messageCount=4, status="sealed", offset=2), message("3"), message("4")
    assert bring(api, *second).problem == (409, "CONVERSATION_DIFFERS", "offset")
    assert counts(bring(api, *first)) == {"c": (2, 0)}
    assert api.get("/v1/conversations/c").json["status"] == "active"
    for imported in (2, 0):
        assert counts(bring(api, *second)) == {"c": (imported, 2 - imported)}
    assert contents(api) == ["1", "2", "3", "4"]
    assert api.get("/v1/conversations/c").json["status"] == "sealed"
    assert counts(bring(api, *first)) == {"c": (0, 2)}


def test_a_part_is_compared_from_its_offset(api: Api) -> None:
    bring(api, conversation(), message("1"), message("2"), message("3"))
    answer = bring(api, conversation(offset=1), message("2"), message("other"))
    assert answer.problem == (409, "CONVERSATION_DIFFERS", "messages")
    assert "Message 3 " in answer.json["detail"]


def test_messages_go_into_entries_of_many(api: Api) -> None:
    many = [message(f"{n} " + "x" * 1000) for n in range(1000)]
    assert counts(bring(api, conversation(), *many)) == {"c": (1000, 0)}
    entries = list(walk(conversation_pk(api.caller.tenant, "c"), first=1))
    sizes = [sum(len(record.body or b"") for record in entry.records) for entry in entries]
    assert len(entries) == 4
    assert max(sizes) <= MAX_BATCH_BYTES


def test_an_entry_holds_messages_of_one_thread(api: Api) -> None:
    threads = [None, "a", "a", "b", None]
    bring(api, conversation(), *(message(f"{n}", threadId=thread) for n, thread in enumerate(threads)))
    entries = walk(conversation_pk(api.caller.tenant, "c"), first=1)
    assert [(entry.thread_id, len(entry.records)) for entry in entries] == [(None, 1), ("a", 2), ("b", 1), (None, 1)]


def test_an_import_that_broke_off_is_completed_by_another(api: Api) -> None:
    many = [message(f"{n} " + "x" * 1000) for n in range(1000)]
    bring(api, conversation(), *many[:299])
    assert counts(bring(api, conversation(), *many)) == {"c": (701, 299)}
    assert contents_of_all(api) == [line["content"] for line in many]


def contents_of_all(api: Api) -> list[str]:
    return [line["content"] for line in exported(api) if line["type"] == "message"]


def many(count: int, words: str = "hello") -> list[dict[str, Any]]:
    """The lines of so many small conversations."""
    names = [f"small-{number}" for number in range(count)]
    return [line for name in names for line in (conversation(name), message(words, name), message("2", name))]


def test_more_lines_or_conversations_than_one_request_brings_are_refused_by_number(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_parsing, "MAX_CONVERSATIONS", 3)
    answer = bring(api, *many(4))
    assert answer.problem == (413, "REQUEST_TOO_LARGE", "line 10")
    assert "3 conversations" in answer.json["detail"]
    monkeypatch.setattr(import_parsing, "MAX_LINES", 8)
    answer = bring(api, *many(3))
    assert answer.problem[:2] == (413, "REQUEST_TOO_LARGE")
    assert "8" in answer.json["detail"]
    assert api.get("/v1/conversations").json["items"] == []
