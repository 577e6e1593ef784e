"""Exports of memories: complete, as the tables have them, within the caller's spaces, and read page by page."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from annals.errors import SearchUnavailable
from annals.ledger.redact import redact
from annals.memory import adapters
from annals.memory.memories import memory_export
from annals.memory.memories.memory_export import export_memories
from annals.memory.memories.memory_query import read_export_options
from tests.support.api import Api
from tests.support.indexing import Stream, embedded_index
from tests.support.talk import HARD

pytestmark = pytest.mark.usefixtures("moto")

EXPORT = "/v1/memories/export"
ADA = {"memorySpaceId": "home", "userId": "ada"}
LIVES = {"factType": "home", "subject": "Ada", "predicate": "lives in"}


@pytest.fixture
def stream(moto: None, tmp_path: Path) -> Iterator[Stream]:
    with embedded_index(tmp_path) as index:
        yield index


def ok(answer: Any) -> Any:
    assert answer.status in (200, 201, 204), answer.body
    return answer.json if answer.body else None


def remember(api: Api, talk: str = "talk", question: str = "My cat is called Byron.") -> None:
    turn = {**ADA, "conversationId": talk, "userMessage": question, "agentResponse": "Noted."}
    ok(api.post("/v1/memory/remember", turn))


def make(api: Api, content: str = "Ada likes tea.", **more: Any) -> str:
    return str(ok(api.post("/v1/memories", {**ADA, "content": content, **more}))["memoryId"])


def live(api: Api, stream: Stream) -> str:
    """A turn, an explicit memory, a user's memory and a fact that another one superseded; the explicit one's id."""
    remember(api)
    memory_id = make(api, HARD, tags=["a", "b"], metadata={"deep": {"x": 1.0}})
    ok(api.post("/v1/users/ada/memories", {"memory": "Likes engines."}))
    for place, since in (("London", "2020-01-01T00:00:00Z"), ("Paris", "2025-01-01T00:00:00Z")):
        body = {"fact": f"Ada lives in {place}.", "object": place, "validFrom": since}
        ok(api.post("/v1/facts", {**ADA, **LIVES, **body}))
    deliver(stream)
    return memory_id


def deliver(stream: Stream) -> None:
    stream.deliver()
    stream.deliver_ledger()


def lines(api: Api, query: str = "") -> list[dict[str, Any]]:
    answer = api.get(f"{EXPORT}?format=jsonl{query}")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/x-ndjson"), answer.body
    memories = [json.loads(line) for line in answer.body.decode().removesuffix("\n").split("\n") if line]
    assert all(line.pop("type") == "memory" for line in memories)
    return memories


def rows(api: Api, query: str = "") -> list[dict[str, str]]:
    body = api.get(f"{EXPORT}?format=csv{query}").body
    return list(csv.DictReader(io.StringIO(body.decode(), newline="")))


def contents(memories: list[dict[str, Any]]) -> list[str]:
    return [each["content"] for each in memories]


def test_the_file_holds_what_the_list_shows(api: Api, stream: Stream) -> None:
    live(api, stream)

    listed = ok(api.get("/v1/memories"))["items"]

    assert len(listed) == 5
    assert lines(api) == listed
    assert api.get(EXPORT).json == {"memories": listed}


def test_messages_say_which_words_of_the_ledger_they_are(api: Api, stream: Stream) -> None:
    live(api, stream)

    refs = [each["conversationRef"] for each in lines(api, "&contentType=raw")]

    assert refs == [{"conversationId": "talk", "messageIds": [name]} for name in ("msg-002", "msg-001")]


def test_csv_gives_back_what_was_stored_to_any_reader(api: Api, stream: Stream) -> None:
    memory_id = live(api, stream)

    [row] = [row for row in rows(api) if row["memoryId"] == memory_id]

    assert row["content"] == HARD
    assert (json.loads(row["tags"]), json.loads(row["metadata"])) == (["a", "b"], {"deep": {"x": 1.0}})


def test_of_no_memories_the_file_is_empty_in_its_format(api: Api, stream: Stream) -> None:
    assert api.get(EXPORT).json == {"memories": []}
    assert lines(api) == rows(api) == []
    assert api.get(f"{EXPORT}?format=csv").body.startswith(b"memoryId,memorySpaceId,version,")


@pytest.mark.parametrize("query", ["tags=a", "userId=ada&contentType=fact", "metadata.deep.x=1", "memorySpaceId=away"])
def test_the_filters_are_those_of_the_list(api: Api, stream: Stream, query: str) -> None:
    live(api, stream)

    assert lines(api, f"&{query}") == ok(api.get(f"/v1/memories?{query}"))["items"]


def test_versions_come_where_they_are_asked_for(api: Api, stream: Stream) -> None:
    memory_id = live(api, stream)
    for content in ("Two", "Three"):
        ok(api.patch(f"/v1/memories/{memory_id}", {"content": content}))
    ok(api.patch("/v1/memories/mem:talk:1", {"content": "A changed message."}))

    by_id = {each["memoryId"]: each for each in lines(api, "&includeVersions=true")}

    assert by_id[memory_id] == ok(api.get(f"/v1/memories/{memory_id}"))
    assert contents(by_id[memory_id]["previousVersions"]) == ["Two", HARD]
    assert contents(by_id["mem:talk:1"]["previousVersions"]) == ["My cat is called Byron."]
    assert by_id["mem:talk:2"]["previousVersions"] == []
    assert not any("previousVersions" in each for each in lines(api))


def test_in_csv_each_version_has_a_row(api: Api, stream: Stream) -> None:
    memory_id = live(api, stream)
    ok(api.patch(f"/v1/memories/{memory_id}", {"content": "Two"}))

    versions = [row for row in rows(api, "&includeVersions=true") if row["memoryId"] == memory_id]

    assert [(row["version"], row["content"]) for row in versions] == [("2", "Two"), ("1", HARD)]


def test_archived_memories_and_superseded_facts_come_where_they_are_asked_for(api: Api, stream: Stream) -> None:
    memory_id = live(api, stream)
    ok(api.post(f"/v1/memories/{memory_id}/archive"))
    deliver(stream)

    assert [each["memoryId"] for each in lines(api, "&status=archived")] == [memory_id]
    assert len(lines(api)) == 4
    assert len(lines(api, "&includeArchived=true")) == 5
    both = lines(api, "&includeArchived=true&includeSuperseded=true")
    assert sorted(each["status"] for each in both) == ["active"] * 4 + ["archived", "superseded"]
    assert [each["fact"]["validTo"] for each in both if each["status"] == "superseded"] == ["2025-01-01T00:00:00.000Z"]


def test_what_changed_is_as_it_is_stored_though_the_index_has_not_heard_of_it(api: Api, stream: Stream) -> None:
    memory_id = live(api, stream)
    ok(api.patch(f"/v1/memories/{memory_id}", {"content": "Two"}))
    ok(api.patch("/v1/memories/mem:talk:1", {"content": "A changed message."}))
    ok(api.post("/v1/memories/mem:talk:2/archive"))

    exported = contents(lines(api))

    assert {"Two", "A changed message."} < {*exported}
    assert not {HARD, "My cat is called Byron.", "Noted."} & {*exported}


def test_what_was_deleted_is_not_in_the_file_though_the_index_has_not_heard_of_it(api: Api, stream: Stream) -> None:
    memory_id = live(api, stream)
    for each in lines(api):
        ok(api.delete(f"/v1/{'facts' if 'fact' in each else 'memories'}/{each['memoryId']}"))

    assert api.get(f"/v1/memories/{memory_id}").status == 404
    assert len(ok(api.get("/v1/memories"))["items"]) == 5
    assert lines(api) == []


def test_redacted_words_are_not_in_the_file_though_the_index_has_not_heard_of_it(api: Api, stream: Stream) -> None:
    live(api, stream)
    ok(api.post("/v1/conversations/talk/messages/msg-001/redact", {"reason": "asked for"}))

    assert "Byron" not in str(lines(api, "&includeVersions=true"))
    assert contents(lines(api, "&contentType=raw")) == ["Noted."]


def test_a_changed_message_that_is_being_redacted_is_not_in_the_file(api: Api, stream: Stream) -> None:
    live(api, stream)
    ok(api.patch("/v1/memories/mem:talk:1", {"content": "Ada's cat is Byron."}))
    redact(api.caller.tenant, "talk", [1], "asked for", "key-1")

    assert "Byron" not in str(lines(api, "&includeVersions=true"))


def test_erased_words_are_not_in_the_file_though_the_index_has_not_heard_of_it(api: Api, stream: Stream) -> None:
    live(api, stream)
    ok(api.delete("/v1/conversations/talk"))

    assert lines(api, "&contentType=raw") == []


def test_a_conversation_whose_erasure_has_only_begun_is_not_in_the_file(api: Api, stream: Stream) -> None:
    from annals.ledger.append import NewRecord, append
    from annals.ledger.entry import ERASED, ERASURE

    live(api, stream)
    append(api.caller.tenant, "talk", [NewRecord(ERASURE, b"{}")], state=ERASED)

    assert lines(api, "&contentType=raw") == []


def test_a_caller_gets_the_memories_of_its_spaces_and_tenant_only(api: Api, stream: Stream) -> None:
    live(api, stream)
    make(api, "Elsewhere", memorySpaceId="away")
    deliver(stream)

    assert contents(lines(api.limited(spaces={"away"}))) == ["Elsewhere"]
    assert lines(api.limited(spaces={"away"}), "&memorySpaceId=home") == []
    assert lines(Api.of("another-tenant")) == []
    assert api.limited(scopes={"write"}).get(EXPORT).problem[:2] == (403, "FORBIDDEN")


@pytest.mark.parametrize(
    ("query", "code", "field"),
    [
        ("format=openai-chat", "INVALID_FORMAT", "format"),
        ("includeVersions=yes", "INVALID_FORMAT", "includeVersions"),
        ("limit=5", "UNKNOWN_FIELD", "limit"),
        ("importanceMin=101", "INVALID_IMPORTANCE", "importanceMin"),
    ],
)
def test_a_file_that_cannot_be_is_refused_before_any_of_it_is_sent(
    api: Api, stream: Stream, query: str, code: str, field: str
) -> None:
    assert api.get(f"{EXPORT}?{query}").problem == (422, code, field)


def test_without_an_index_that_answers_it_is_refused(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent() -> Any:
        raise SearchUnavailable("The index is silent.")

    monkeypatch.setattr(adapters, "index", silent)
    assert api.get(EXPORT).problem[:2] == (503, "SEARCH_UNAVAILABLE")


def test_many_pages_hold_each_memory_once_in_the_order_of_the_list(
    api: Api, stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_export, "PAGE", 3)
    monkeypatch.setattr(memory_export, "MAX_GAP", 2)
    for number in range(4):
        for talk in ("one", "two"):
            remember(api, talk, f"Sentence {number}.")
        make(api, f"Memory {number}")
    deliver(stream)
    ok(api.delete("/v1/memories/mem:one:4"))

    listed = [each["memoryId"] for each in ok(api.get("/v1/memories"))["items"]]
    assert [each["memoryId"] for each in lines(api)] == [name for name in listed if name != "mem:one:4"]
    by_users = contents(lines(api, "&createdAfter=1000000000&role=user"))
    assert by_users == [f"Sentence {n}." for n in (3, 3, 2, 2, 1, 1, 0, 0)]


def test_no_more_is_read_than_is_sent(api: Api, stream: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(7):
        make(api, f"Memory {number}")
    deliver(stream)
    monkeypatch.setattr(memory_export, "PAGE", 2)
    pages: list[Any] = []
    list_documents = adapters.index().list_documents

    def count_pages(*args: Any, **options: Any) -> Any:
        pages.append(options)
        return list_documents(*args, **options)

    monkeypatch.setattr(adapters.index(), "list_documents", count_pages)

    pieces = export_memories(api.caller, read_export_options({"format": "jsonl"}))

    assert len(list(islice(pieces, 3))) == 3
    assert len(pages) == 2


def test_messages_of_one_conversation_may_lie_far_apart(api: Api, stream: Stream) -> None:
    ok(api.post("/v1/conversations", {"type": "user-agent", "participants": ADA, "conversationId": "long"}))
    for first in (1, 31):
        messages = [{"role": "user", "content": f"{number}"} for number in range(first, first + 30)]
        ok(api.post("/v1/conversations/long/messages", {"messages": messages}))
    deliver(stream)
    ok(api.patch("/v1/memories/mem:long:1", {"importance": 90}))
    ok(api.patch("/v1/memories/mem:long:60", {"importance": 90}))
    stream.deliver()

    assert [each["content"] for each in lines(api, "&importanceMin=80")] == ["60", "1"]
