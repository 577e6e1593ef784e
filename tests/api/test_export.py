"""Exports: every format is complete, exact, within the caller's spaces, and never silently short."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

import pytest

from annals.conversations.snapshot import take_snapshot
from annals.errors import ConversationErased
from annals.http.download import safe_file_name
from annals.ledger.read import walk
from tests.support.api import Api
from tests.support.talk import CALL, HARD, talk

pytestmark = pytest.mark.usefixtures("moto")

FORMATS = {
    "json": "application/json",
    "jsonl": "application/x-ndjson",
    "csv": "text/csv; charset=utf-8",
    **dict.fromkeys(("openai-chat", "anthropic", "bedrock", "ai-sdk", "sharegpt"), "application/x-ndjson"),
    "ledger": "application/x-ndjson",
}


def lines(body: bytes) -> list[dict[str, Any]]:
    assert body.endswith(b"\n")
    return [json.loads(line) for line in body.decode().removesuffix("\n").split("\n")]


def rows(body: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(body.decode(), newline="")))


def history(api: Api, path: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = api.get(f"{path}/messages?order=asc&includeArchived=true").json["items"]
    return items


def test_json_is_the_conversation_with_all_its_messages(api: Api) -> None:
    path = talk(api)
    exported = api.get(f"{path}/export").json
    assert exported.pop("messages") == [{"kind": "preamble", **history(api, path)[0]}, *history(api, path)[1:]]
    assert exported == api.get(path).json


def test_json_of_many_is_a_list_of_them_the_oldest_first(api: Api) -> None:
    paths = [talk(api, name, rich=False) for name in ("c", "a", "b")]
    exported = api.get("/v1/conversations/export").json
    assert [each["conversationId"] for each in exported["conversations"]] == ["c", "a", "b"]
    assert exported["conversations"] == [api.get(f"{path}/export?format=json").json for path in paths]


def test_json_of_no_conversations_is_an_empty_list(api: Api) -> None:
    assert api.get("/v1/conversations/export").json == {"conversations": []}


def test_jsonl_is_a_line_for_the_conversation_and_one_for_each_message(api: Api) -> None:
    path = talk(api)
    conversation, *messages = lines(api.get(f"{path}/export?format=jsonl").body)
    own = {"type": "message", "conversationId": "talk"}
    stored = api.get(path).json
    assert conversation == {**stored, "type": "conversation", "conversationType": stored["type"]}
    assert [message for message in messages if "kind" not in message] == [
        {**own, **message} for message in history(api, path)[1:]
    ]
    assert messages[0]["kind"] == "preamble"
    assert [message.get("status") for message in messages[1:]] == [
        "archived", None, None, None, "redacted", None,
    ]  # fmt: skip


def test_csv_gives_back_what_was_said_to_any_reader(api: Api) -> None:
    path = talk(api)
    body = api.get(f"{path}/export?format=csv").body
    exported = rows(body)
    assert [row["messageId"] for row in exported] == [message["messageId"] for message in history(api, path)]
    assert exported[1]["content"] == HARD
    assert exported[4]["content"] == "'=1+1"
    assert json.loads(exported[2]["parts"]) == [CALL]
    assert json.loads(exported[2]["metadata"]) == {"tokens": 3, "cost": 1.0}
    assert [row["kind"] for row in exported[:2]] == ["preamble", "message"]
    assert exported[5]["status"] == "redacted"
    assert body.count(b"\r\n") == len(exported) + 1 + HARD.count("\r\n")


def test_csv_of_many_has_one_header(api: Api) -> None:
    for name in ("a", "b"):
        talk(api, name, rich=False)
    exported = rows(api.get("/v1/conversations/export?format=csv").body)
    assert [row["conversationId"] for row in exported] == ["a"] * 6 + ["b"] * 6


def test_openai_chat_is_one_line_that_a_model_can_be_given(api: Api) -> None:
    path = talk(api)
    [chat] = lines(api.get(f"{path}/export?format=openai-chat").body)
    assert chat["messages"] == [
        {"role": "system", "content": "Ada asks."},
        {"role": "user", "content": HARD, "name": "Ada"},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "content": "22 °C", "tool_call_id": "call_1"},
        {"role": "assistant", "content": "=1+1"},
        {"role": "user", "content": "bye"},
    ]


def test_the_ledger_is_every_entry_with_what_its_chain_needs(api: Api) -> None:
    path = talk(api)
    header, *entries = lines(api.get(f"{path}/export?format=ledger").body)
    assert header["format"] == "annals-ledger-1"
    assert header["conversationId"] == "talk"
    assert header["headHash"] == entries[-1]["hash"] == api.get(path).json["headHash"]
    stored = list(walk(header["pk"]))
    assert [entry["hash"] for entry in entries] == [entry.hash.hex() for entry in stored]
    assert entries[1]["records"][0]["body"] == (stored[1].records[0].body or b"").decode()
    redacted = next(record for entry in entries for record in entry["records"] if record["seq"] == 5)
    assert (redacted["body"], redacted["salt"]) == (None, None)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("path", ["/v1/conversations/talk/export", "/v1/conversations/export"])
def test_a_file_says_what_it_is_and_how_it_is_called(api: Api, name: str, path: str) -> None:
    talk(api)
    answer = api.get(f"{path}?format={name}")
    assert answer.status == 200
    assert answer.headers["content-type"] == FORMATS[name]
    assert answer.headers["content-disposition"].startswith('attachment; filename="')
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("name", "safe"),
    [("a/b\\c", "a_b_c"), ('x"; y=\r\n', "x___y___"), ("../../etc", "_.._etc"), ("мир", "___"), ("...", "export")],
)
def test_a_file_name_is_safe(name: str, safe: str) -> None:
    assert safe_file_name(name) == safe


@pytest.mark.parametrize("name", ["json", "jsonl", "csv"])
def test_metadata_can_be_left_out(api: Api, name: str) -> None:
    path = talk(api)
    body = api.get(f"{path}/export?format={name}&includeMetadata=false").body
    assert b"metadata" not in body
    assert b"metadata" in api.get(f"{path}/export?format={name}").body


@pytest.mark.parametrize("path", ["/v1/conversations/talk/export", "/v1/conversations/export"])
@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("format=xml", (422, "INVALID_FORMAT", "format")),
        ("includeMetadata=maybe", (422, "INVALID_FORMAT", "includeMetadata")),
        ("format=ledger&includeMetadata=false", (422, "INVALID_FORMAT", "includeMetadata")),
    ],
)
def test_options_that_cannot_be_are_refused(api: Api, path: str, query: str, problem: tuple[int, str, str]) -> None:
    talk(api)
    assert api.get(f"{path}?{query}").problem == problem


def test_a_query_parameter_that_is_none_is_refused(api: Api) -> None:
    path = talk(api)
    assert api.get(f"{path}/export?colour=red").problem == (422, "UNKNOWN_FIELD", "colour")
    assert api.get("/v1/conversations/export?colour=red").problem == (422, "INVALID_FILTER", "colour")


def test_filters_choose_what_is_exported(api: Api) -> None:
    for name in ("a", "b"):
        talk(api, name, rich=False)
    api.patch("/v1/conversations/b", {"metadata": {"topic": "cats"}})
    exported = api.get("/v1/conversations/export?metadata.topic=cats&participants.userId=ada").json
    assert [each["conversationId"] for each in exported["conversations"]] == ["b"]


def test_what_was_erased_is_not_exported(api: Api) -> None:
    path = talk(api)
    assert api.delete(path).status == 200
    assert api.get(f"{path}/export").problem == (410, "CONVERSATION_ERASED", None)
    assert api.get("/v1/conversations/export").json == {"conversations": []}


def test_an_unknown_conversation_is_404(api: Api) -> None:
    assert api.get("/v1/conversations/nobody/export").problem == (404, "CONVERSATION_NOT_FOUND", None)


def test_an_id_that_cannot_be_is_422(api: Api) -> None:
    assert api.get("/v1/conversations/a%0Ab/export").problem[:2] == (422, "INVALID_ID_FORMAT")


def test_another_space_is_not_exported(api: Api) -> None:
    path = talk(api)
    elsewhere = api.limited(spaces={"space-2"})
    assert elsewhere.get(f"{path}/export").problem == (404, "CONVERSATION_NOT_FOUND", None)
    assert elsewhere.get("/v1/conversations/export").json == {"conversations": []}
    assert api.limited(spaces={"space-1"}).get(f"{path}/export").status == 200


def test_another_tenant_sees_nothing(api: Api) -> None:
    path = talk(api)
    assert Api.of("somebody-else").get(f"{path}/export").status == 404


def test_an_export_needs_the_scope_read(api: Api) -> None:
    path = talk(api)
    writer = api.limited(scopes={"write"})
    assert writer.get(f"{path}/export").problem == (403, "FORBIDDEN", None)
    assert writer.get("/v1/conversations/export").problem == (403, "FORBIDDEN", None)


def test_a_conversation_that_grows_meanwhile_is_exported_as_it_was(api: Api) -> None:
    path = talk(api, rich=False)
    exported = take_snapshot(api.caller.tenant, "talk")
    messages: Iterator[dict[str, Any]] = exported.messages()
    first = next(messages)
    api.post(f"{path}/messages", {"role": "user", "content": "late"})
    assert [first["seq"], *(message["seq"] for message in messages)] == [1, 2, 3, 4, 5, 6]


def test_an_erasure_that_overtakes_an_export_breaks_it_off(api: Api) -> None:
    path = talk(api, rich=False)
    messages = take_snapshot(api.caller.tenant, "talk").messages()
    assert api.delete(path).status == 200
    with pytest.raises(ConversationErased):
        list(messages)


def test_what_was_redacted_meanwhile_is_explained_in_the_ledger_s_file(api: Api) -> None:
    path = talk(api, rich=False)
    exported = take_snapshot(api.caller.tenant, "talk")
    api.post(f"{path}/messages/msg-005/redact", {"reason": "asked for"})
    entries = list(exported.entries())
    assert next(record for entry in entries for record in entry.records if record.seq == 5).body is None
    assert entries[-1].records[0].kind == "redaction"
