"""What reads a conversation of which messages are rewound: each gets what is left, and the ledger keeps all."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from annals.ledger.offline import verify_lines
from annals.memory import adapters, summarizing
from annals.memory.indexing.drift import find_drift
from annals.memory.summarizers import OfflineSummarizer
from annals.operations.rebuild import rebuild_index
from tests.support.api import Api
from tests.support.indexing import Stream, embedded_index
from tests.support.ledgers import new_conversation

pytestmark = pytest.mark.usefixtures("moto")

CHAT = "/v1/conversations/conv-1"
MESSAGES = f"{CHAT}/messages"
PART = {"role": "assistant", "content": "To be, or", "status": "incomplete"}
WHOLE = {"role": "assistant", "content": "To be, or not to be", "supersedes": "msg-002"}
SECRET = "xylophone"


@pytest.fixture(autouse=True)
def conversation(tenant: str) -> str:
    return new_conversation(tenant)


@pytest.fixture
def stream(moto: None, tmp_path: Path) -> Iterator[Stream]:
    with embedded_index(tmp_path) as found:
        yield found


def user(content: str, **fields: Any) -> dict[str, Any]:
    return {"role": "user", "content": content, **fields}


def append(api: Api, *messages: dict[str, Any]) -> None:
    for message in messages:
        answer = api.post(MESSAGES, message)
        assert answer.status == 201, answer.json


def rewind(api: Api, **target: Any) -> list[dict[str, Any]]:
    answer = api.post(f"{CHAT}/rewind", target)
    assert answer.status == 200, answer.json
    return list(answer.json["removed"])


def ids(api: Api, query: str = "") -> list[str]:
    return [message["messageId"] for message in api.get(f"{MESSAGES}?{query}").json["items"]]


@pytest.fixture
def rewound(api: Api) -> None:
    """Two messages that are left, and one between them that is taken back."""
    append(api, user("I play."), user(f"I play the {SECRET}."))
    rewind(api, messages=1)
    append(api, user("I play the piano."))


@pytest.mark.usefixtures("rewound")
def test_a_context_window_holds_what_is_left(api: Api) -> None:
    window = api.get(f"{CHAT}/context?maxTokens=1000").json
    assert [message["content"] for message in window["messages"]] == ["I play.", "I play the piano."]
    assert (window["total"], window["omitted"]["count"]) == (2, 0)


@pytest.mark.usefixtures("rewound")
def test_figures_count_what_is_left(api: Api) -> None:
    assert api.get(f"{CHAT}/analytics").json["messageCount"] == 2
    assert api.get(CHAT).json["messageCount"] == 3
    rewind(api, messages=1)
    assert api.get(f"{CHAT}/analytics").json["messageCount"] == 1


@pytest.mark.usefixtures("rewound")
@pytest.mark.parametrize("format_name", ["json", "jsonl", "csv", "openai-chat", "anthropic", "bedrock", "ai-sdk"])
def test_exports_hold_what_is_left(api: Api, format_name: str) -> None:
    exported = api.get(f"{CHAT}/export?format={format_name}").body.decode()
    assert "piano" in exported
    assert SECRET not in exported


@pytest.mark.usefixtures("rewound")
def test_the_ledger_s_own_export_keeps_all_and_verifies(api: Api) -> None:
    exported = api.get(f"{CHAT}/export?format=ledger").body
    assert SECRET in exported.decode()
    [verified] = verify_lines(exported.splitlines())
    assert (verified.verification.valid, verified.verification.message_count) == (True, 3)


@pytest.mark.usefixtures("rewound")
def test_an_exported_ledger_is_imported_as_its_readers_see_it(api: Api) -> None:
    exported = api.get(f"{CHAT}/export?format=ledger").body
    other = Api.of(f"{api.caller.tenant}-copy")
    for expected in (2, 0):
        imported = other.post("/v1/conversations/import", exported, content_type="application/x-ndjson")
        assert imported.json["conversations"][0]["imported"] == expected
    assert [message["content"] for message in other.get(MESSAGES).json["items"]] == ["I play.", "I play the piano."]


@pytest.mark.usefixtures("rewound")
def test_an_export_can_be_imported_where_it_comes_from(api: Api) -> None:
    exported = api.get(f"{CHAT}/export?format=jsonl").body
    imported = api.post("/v1/conversations/import", exported, content_type="application/x-ndjson")
    assert imported.json["conversations"][0]["imported"] == 0, imported.json


@pytest.mark.usefixtures("rewound")
def test_the_export_of_a_user_holds_what_is_rewound_too(api: Api, stream: Stream) -> None:
    lines = [json.loads(line) for line in api.get("/v1/users/user-1/export").body.splitlines()]
    statuses = {line["content"]: line.get("status") for line in lines if line["type"] == "message"}
    assert statuses == {"I play.": None, f"I play the {SECRET}.": "rewound", "I play the piano.": None}


def found(api: Api, query: str = SECRET) -> set[str]:
    """The messages that searches, lists and recalls of memories find."""
    asked = {"query": query, "memorySpaceId": "space-1"}
    memories = api.post("/v1/memory/search", asked).json["items"]
    matches = api.post("/v1/conversations/search", {"query": query}).json["items"]
    in_memories = {each["conversationRef"]["messageIds"][0] for each in memories}
    assert in_memories == {match["messageId"] for item in matches for match in item["matches"]}
    recalled = api.post("/v1/memory/recall", asked).json["items"]
    assert {each["conversationRef"]["messageIds"][0] for each in recalled} <= in_memories
    return in_memories


def listed(api: Api) -> set[str]:
    return {item["memoryId"] for item in api.get("/v1/memories?memorySpaceId=space-1").json["items"]}


def test_a_search_finds_what_is_left_at_once_and_after_a_rebuild(api: Api, stream: Stream) -> None:
    append(api, user("I play."), user(f"I play the {SECRET}."))
    stream.deliver_ledger()
    assert "msg-002" in found(api)
    rewind(api, messages=1)
    assert "msg-002" not in found(api)
    assert listed(api) == {"mem:conv-1:1"}
    append(api, user("I play the piano."))
    stream.deliver_ledger()
    for _ in range(2):
        assert found(api, "play") == {"msg-001", "msg-004"}
        assert "msg-002" not in found(api)
        assert adapters.index().find_fingerprints(api.caller.tenant, ["mem:conv-1:2"]) == {}
        rebuild_index(adapters.index(), adapters.embedder(), lambda _: None)


def test_a_consistent_search_finds_what_is_left(api: Api, stream: Stream) -> None:
    append(api, user(f"I play the {SECRET}."))
    rewind(api, messages=1)
    append(api, user("I play the piano."))
    asked = {"query": "play", "consistent": True, "filter": {"conversationId": "conv-1"}, "memorySpaceId": "space-1"}
    hits = api.post("/v1/memory/search", asked).json["items"]
    assert [hit["conversationRef"]["messageIds"] for hit in hits] == [["msg-003"]]


def test_a_window_holds_no_words_that_were_rewound(api: Api, stream: Stream) -> None:
    append(api, user(f"I play the {SECRET}."))
    rewind(api, messages=1)
    append(api, user("Every day."))
    stream.deliver_ledger()
    assert found(api) == set()


def test_a_cleared_conversation_leaves_nothing_in_the_index(api: Api, stream: Stream) -> None:
    append(api, *(user(f"{SECRET} {number}") for number in range(5)))
    stream.deliver_ledger()
    rewind(api, toSeq=0)
    stream.deliver_ledger()
    names = [f"mem:conv-1:{seq}" for seq in range(1, 6)]
    assert adapters.index().find_fingerprints(api.caller.tenant, names) == {}


def test_a_rewound_message_is_no_memory_any_more(api: Api, stream: Stream) -> None:
    append(api, user("one"), user("two"))
    assert api.patch("/v1/memories/mem:conv-1:2", {"importance": 90}).status == 200
    rewind(api, messages=1)
    assert api.get("/v1/memories/mem:conv-1:2").status == 404
    assert api.patch("/v1/memories/mem:conv-1:2", {"importance": 10}).status == 404
    assert api.delete("/v1/memories/mem:conv-1:2").status == 404
    stream.deliver_ledger()
    stream.deliver()
    assert listed(api) == {"mem:conv-1:1"}


def test_facts_of_rewound_messages_stay(api: Api, stream: Stream) -> None:
    append(api, user("I am allergic to peanuts."))
    fact = {
        "memorySpaceId": "space-1", "userId": "user-1", "fact": "Allergic to peanuts.", "factType": "health",
        "confidence": 90, "subject": "user-1", "predicate": "is allergic to", "object": "peanuts",
        "sourceRef": {"conversationId": "conv-1", "messageIds": ["msg-001"]},
    }  # fmt: skip
    created = api.post("/v1/facts", fact)
    assert created.status == 201, created.json
    rewind(api, toSeq=0)
    assert api.get(f"/v1/facts/{created.json['factId']}").status == 200


def test_a_summary_of_rewound_messages_is_made_anew(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summarizing, "get_summarizer", OfflineSummarizer)
    append(api, user("I play."), user(f"I play the {SECRET}."))
    assert SECRET in api.post(f"{CHAT}/summarize", {}).json["summary"]
    rewind(api, messages=1)
    assert SECRET not in str(api.get(f"{CHAT}/context?maxTokens=1000&includeSummary=true").json)
    assert SECRET not in str(api.get(f"{CHAT}?include=summary").json)
    summary = api.post(f"{CHAT}/summarize", {}).json
    assert (SECRET in summary["summary"], summary["toSeq"]) == (False, 1)
    append(api, user("The piano."))
    assert api.post(f"{CHAT}/summarize", {}).json["toSeq"] == 4


def test_a_pop_takes_a_message_with_all_its_versions(api: Api) -> None:
    append(api, user("What?"), PART, WHOLE)
    assert [message["messageId"] for message in rewind(api, messages=1)] == ["msg-003"]
    assert ids(api) == ["msg-001"]
    assert ids(api, "includeRewound=true") == ["msg-001", "msg-003"]
    assert api.post(MESSAGES, WHOLE).problem == (404, "MESSAGE_NOT_FOUND", None)


def test_a_message_that_stays_keeps_its_whole_text_whenever_it_was_completed(api: Api, stream: Stream) -> None:
    append(api, user("What?"), PART, user("Go on."), {**WHOLE, "content": f"To be the {SECRET}"})
    stream.deliver_ledger()
    stream.deliver()
    rewind(api, toSeq=2)
    for _ in range(2):
        assert ids(api) == ["msg-001", "msg-004"]
        assert ids(api, "order=asc") == ["msg-001", "msg-004"]
        assert ids(api, "lastRuns=1") == ["msg-001", "msg-004"]
        assert "status" not in api.get(f"{MESSAGES}/msg-004").json
        assert api.get(f"{MESSAGES}/msg-003").json["status"] == "rewound"
        assert SECRET in api.get(f"{CHAT}/export?format=openai-chat").body.decode()
        stream.deliver_ledger()
        assert found(api) == {"msg-004"}
        assert api.get("/v1/memories/mem:conv-1:4").status == 200
        assert api.get(f"{CHAT}/analytics").json["byRole"] == {"user": 1, "assistant": 1}
        append(api, user("And then?"))
        rewind(api, messageId="msg-004")
    assert [message["messageId"] for message in rewind(api, messages=2)] == ["msg-001", "msg-004"]


def test_the_external_id_of_a_message_that_stays_is_its_own(api: Api) -> None:
    append(api, user("What?"), {**PART, "externalId": "a"}, user("Go on."), {**WHOLE, "externalId": "a"})
    rewind(api, toSeq=2)
    assert ids(api, "externalId=a") == ["msg-004"]
    append(api, {**WHOLE, "externalId": "a"})
    assert ids(api) == ["msg-001", "msg-004"]


def test_a_pop_passes_over_archived_messages_and_a_clear_takes_them(api: Api) -> None:
    append(api, user("one"), user("two"), user("three"))
    api.post(f"{CHAT}/archive", {"before": 3})
    assert len(rewind(api, messages=5)) == 1
    assert rewind(api, messages=5) == []
    assert ids(api, "includeArchived=true") == ["msg-001", "msg-002"]
    assert len(rewind(api, toSeq=0)) == 2
    assert ids(api, "includeArchived=true") == []


def test_an_archive_by_time_counts_what_is_left(api: Api) -> None:
    append(api, user("one", timestamp="2026-01-01T00:00:00Z"), user("two", timestamp="2026-05-01T00:00:00Z"))
    rewind(api, messages=1)
    append(api, user("three", timestamp="2026-01-02T00:00:00Z"), user("four", timestamp="2026-05-02T00:00:00Z"))
    api.post(f"{CHAT}/archive", {"before": "2026-03-01T00:00:00Z"})
    assert ids(api) == ["msg-005"]


def test_a_rewound_message_can_be_redacted(api: Api) -> None:
    append(api, user("one"), user(SECRET))
    rewind(api, messages=1)
    assert api.post(f"{MESSAGES}/msg-002/redact", {"reason": "private"}).json["status"] == "redacted"
    items = api.get(f"{MESSAGES}?includeRewound=true").json["items"]
    assert [message.get("status") for message in items] == [None, "redacted"]
    assert SECRET not in api.get(f"{CHAT}/export?format=ledger").body.decode()
    assert ids(api) == ["msg-001"]
    assert api.get(f"{CHAT}/verify").json["valid"]


def test_a_redaction_leaves_a_search_knowing_what_is_rewound(api: Api, stream: Stream) -> None:
    append(api, user("one"), user(SECRET))
    stream.deliver_ledger()
    rewind(api, messages=1)
    api.post(f"{MESSAGES}/msg-001/redact", {"reason": "private"})
    assert found(api) == set()


def test_a_conversation_with_rewinds_is_erased_with_all_its_words(api: Api) -> None:
    append(api, user("one"), user(SECRET))
    rewind(api, messages=1)
    assert api.delete(CHAT).status == 200
    assert api.get(MESSAGES).status == 410
    assert api.get(f"{CHAT}/verify").json["valid"]


def test_the_preamble_stays(api: Api) -> None:
    append(api, user("one"))
    api.post(f"{CHAT}/preamble", {"content": "Ada plays."})
    rewind(api, toSeq=0)
    assert [message["content"] for message in api.get(MESSAGES).json["items"]] == ["Ada plays."]


def test_a_draft_that_is_open_is_stored_after_the_rewind(api: Api) -> None:
    append(api, user("one"))
    said = {"role": "assistant", "content": "I say", "revision": 1}
    assert api.put(f"{MESSAGES}/reply", said).status == 200
    rewind(api, toSeq=0)
    done = {"role": "assistant", "content": " more", "revision": 2, "completed": True}
    assert api.put(f"{MESSAGES}/reply", done).status == 201
    assert [message["content"] for message in api.get(MESSAGES).json["items"]] == ["I say more"]


def test_the_id_of_a_rewound_message_can_be_said_again(api: Api) -> None:
    append(api, user("one"))
    for text in ("first", "second"):
        said = {"role": "assistant", "content": text, "revision": 1}
        assert api.put(f"{MESSAGES}/reply", said).json["message"]["content"] == text
        assert [item["content"] for item in api.get(f"{MESSAGES}?drafts=true").json["items"]] == ["one", text]
        done = {"role": "assistant", "content": "!", "revision": 2, "completed": True}
        assert api.put(f"{MESSAGES}/reply", done).status == 201
        assert [message["content"] for message in rewind(api, messages=1)] == [f"{text}!"]
    assert api.put(f"{MESSAGES}/reply", {**done, "content": "third"}).status == 201
    assert [item["content"] for item in api.get(MESSAGES).json["items"]] == ["one", "third"]


def test_a_message_that_is_kept_incomplete_and_rewound_is_begun_anew(api: Api) -> None:
    append(api, user("one"), {**PART, "externalId": "reply"})
    rewind(api, messages=1)
    done = {"role": "assistant", "content": "Whole.", "completed": True}
    assert api.put(f"{MESSAGES}/reply", done).json["message"]["content"] == "Whole."
    assert [item["content"] for item in api.get(MESSAGES).json["items"]] == ["one", "Whole."]


def test_many_rewinds_are_read_and_verified(api: Api) -> None:
    kept = []
    for number in range(80):
        append(api, user(f"{number}"))
        if number % 2:
            rewind(api, messages=1)
        else:
            kept.append(f"{number}")
    assert [item["content"] for item in api.get(f"{MESSAGES}?limit=1000").json["items"]] == kept
    assert [item["content"] for item in api.get(f"{MESSAGES}?limit=3&order=asc").json["items"]] == kept[:3]
    assert api.get(f"{CHAT}/verify").json["valid"]
    rewind(api, toSeq=2)
    append(api, user("end"))
    assert [item["content"] for item in api.get(f"{MESSAGES}?limit=1000").json["items"]] == ["0", "end"]
    exported = api.get(f"{CHAT}/export?format=ledger").body
    [verified] = verify_lines(exported.splitlines())
    assert verified.verification.valid


def test_a_consistent_search_of_a_cleared_conversation_looks_for_nothing_of_it(api: Api, stream: Stream) -> None:
    for number in range(6):
        append(api, *(user(f"{number} plays {part}") for part in range(3)))
        rewind(api, toSeq=0)
    append(api, user("I play the piano."))
    asked = {"query": "piano", "consistent": True, "filter": {"conversationId": "conv-1"}, "memorySpaceId": "space-1"}
    for _ in range(2):
        hits = api.post("/v1/memory/search", asked).json["items"]
        assert [hit["conversationRef"]["messageIds"] for hit in hits] == [["msg-025"]]


def test_an_index_without_what_is_rewound_has_not_drifted(api: Api, stream: Stream) -> None:
    append(api, user("one"), user("two"), user("three"))
    stream.deliver_ledger()
    rewind(api, messages=2)
    drift = find_drift(adapters.index(), adapters.embedder(), lambda _: None, repair=True, lag_s=0)
    assert (drift.counts["orphaned"], drift.counts["missing"], drift.counts["stale"]) == (2, 0, 0)
    stream.deliver_ledger()
    drift = find_drift(adapters.index(), adapters.embedder(), lambda _: None, lag_s=0)
    assert sum(drift.counts.values()) == 0


def test_prompts_hold_what_is_left(api: Api, stream: Stream) -> None:
    append(api, user("I play."), user(f"I play the {SECRET}."))
    stream.deliver_ledger()
    rewind(api, messages=1)
    asked = {"query": SECRET, "memorySpaceId": "space-1", "history": 10, "filter": {"conversationId": "conv-1"}}
    recalled = api.post("/v1/memory/recall", asked).json
    assert [message["content"] for message in recalled["history"]] == ["I play."]
    turn = {
        "memorySpaceId": "space-1",
        "conversationId": "conv-1",
        "userId": "user-1",
        "userMessage": "What do I play?",
    }
    answer = api.post("/v1/memory/remember-stream", turn)
    assert answer.status == 200
    assert SECRET not in answer.body.decode()
