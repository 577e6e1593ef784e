"""Memories as resources, over the functions' real events."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.api import Api
from tests.support.indexing import embedded_index

pytestmark = pytest.mark.usefixtures("moto")

ADA = {"memorySpaceId": "home", "userId": "ada"}


def make(api: Api, **more: Any) -> str:
    answer = api.post("/v1/memories", {**ADA, "content": "Ada likes tea.", **more})
    assert answer.status == 201
    memory_id: str = answer.json["memoryId"]
    return memory_id


def remember(api: Api) -> tuple[str, str]:
    turn = {**ADA, "userMessage": "My cat is called Byron.", "agentResponse": "Noted."}
    answer = api.post("/v1/memory/remember", turn).json
    return answer["conversation"]["conversationId"], answer["memories"][0]["memoryId"]


def test_a_memory_comes_back_as_it_was_made(api: Api) -> None:
    body = {"importance": 0, "tags": ["drinks"], "metadata": {"_a": None, "B": 1.5}, "contentType": "summarized"}

    memory = api.get(f"/v1/memories/{make(api, **body)}").json

    assert {name: memory[name] for name in body} == body
    assert (memory["version"], memory["status"], memory["previousVersions"]) == (1, "active", [])


def test_a_memory_without_an_owner_is_refused(api: Api) -> None:
    answer = api.post("/v1/memories", {"memorySpaceId": "home", "content": "x"})

    assert (answer.status, answer.json["code"]) == (422, "OWNER_REQUIRED")


@pytest.mark.parametrize("importance", [-1, 101, 1.5, True, "50"])
def test_an_importance_out_of_range_is_refused_and_named(api: Api, importance: Any) -> None:
    answer = api.post("/v1/memories", {**ADA, "content": "x", "importance": importance})

    assert (answer.status, answer.json["code"], answer.json["field"]) == (422, "INVALID_IMPORTANCE", "importance")


def test_a_change_makes_a_version_and_keeps_the_one_before(api: Api) -> None:
    memory_id = make(api)

    changed = api.patch(f"/v1/memories/{memory_id}", {"content": "Ada likes coffee."}).json

    assert (changed["version"], changed["content"]) == (2, "Ada likes coffee.")
    assert [(each["version"], each["content"]) for each in changed["previousVersions"]] == [(1, "Ada likes tea.")]
    assert api.get(f"/v1/memories/{memory_id}/versions/1").json["content"] == "Ada likes tea."


def test_twelve_changes_leave_ten_previous_versions(api: Api) -> None:
    memory_id = make(api)
    for number in range(12):
        changed = api.patch(f"/v1/memories/{memory_id}", {"content": f"Version {number + 2}"}).json

    assert [each["version"] for each in changed["previousVersions"]] == list(range(12, 2, -1))
    assert api.get(f"/v1/memories/{memory_id}/versions/2").json["code"] == "VERSION_NOT_FOUND"
    assert len(api.get(f"/v1/memories/{memory_id}/versions").json["items"]) == 11


def test_a_memory_at_a_time_is_as_it_was_then(api: Api) -> None:
    memory_id = make(api)
    then = api.get(f"/v1/memories/{memory_id}").json["updatedAt"]
    time.sleep(0.002)
    api.patch(f"/v1/memories/{memory_id}", {"content": "Ada likes coffee."})

    assert api.get(f"/v1/memories/{memory_id}?at={then}").json["content"] == "Ada likes tea."
    assert api.get(f"/v1/memories/{memory_id}?at=2001-01-01T00:00:00Z").json["code"] == "VERSION_NOT_FOUND"


def test_a_change_that_says_nothing_is_refused(api: Api) -> None:
    answer = api.patch(f"/v1/memories/{make(api)}", {})

    assert (answer.status, answer.json["code"]) == (422, "MISSING_REQUIRED_FIELD")


def test_a_change_of_an_old_version_is_refused(api: Api) -> None:
    memory_id = make(api)
    api.patch(f"/v1/memories/{memory_id}", {"content": "two"})

    answer = api.patch(f"/v1/memories/{memory_id}", {"content": "three"}, if_match='"1"')

    assert (answer.status, answer.json["current"]) == (412, 2)


def test_metadata_is_merged(api: Api) -> None:
    memory_id = make(api, metadata={"keep": 1, "drop": 2})

    changed = api.patch(f"/v1/memories/{memory_id}", {"metadata": {"drop": None, "new": {"a": 1}}}).json

    assert changed["metadata"] == {"keep": 1, "new": {"a": 1}}


def test_a_changed_raw_memory_leads_to_the_original_words(api: Api) -> None:
    conversation_id, memory_id = remember(api)

    changed = api.patch(f"/v1/memories/{memory_id}", {"content": "The cat is Lord Byron."}).json

    assert changed["previousVersions"][0]["content"] == "My cat is called Byron."
    assert changed["conversationRef"] == {"conversationId": conversation_id, "messageIds": ["msg-001"]}
    words = api.get(f"/v1/conversations/{conversation_id}/messages/msg-001").json["content"]
    assert words == "My cat is called Byron."


def test_a_deleted_memory_is_gone_and_its_words_stay_in_the_ledger(api: Api) -> None:
    conversation_id, memory_id = remember(api)

    assert api.delete(f"/v1/memories/{memory_id}").status == 204

    assert api.get(f"/v1/memories/{memory_id}").json["code"] == "MEMORY_NOT_FOUND"
    assert api.delete(f"/v1/memories/{memory_id}").json["code"] == "MEMORY_NOT_FOUND"
    assert api.get(f"/v1/conversations/{conversation_id}/messages").json["total"] == 2


def test_redacting_a_message_takes_its_changed_memory_too(api: Api) -> None:
    conversation_id, memory_id = remember(api)
    api.patch(f"/v1/memories/{memory_id}", {"content": "The cat is Lord Byron."})

    api.post(f"/v1/conversations/{conversation_id}/messages/msg-001/redact", {"reason": "asked for"})

    assert api.get(f"/v1/memories/{memory_id}").json["code"] == "MEMORY_NOT_FOUND"


def test_erasing_a_conversation_takes_its_changed_memories_too(api: Api) -> None:
    conversation_id, memory_id = remember(api)
    api.patch(f"/v1/memories/{memory_id}", {"content": "The cat is Lord Byron."})

    api.delete(f"/v1/conversations/{conversation_id}")

    assert api.get(f"/v1/memories/{memory_id}").json["code"] == "MEMORY_NOT_FOUND"
    assert api.get(f"/v1/memories/{memory_id}/versions/1").json["code"] == "MEMORY_NOT_FOUND"


def test_an_archived_memory_is_restored_with_its_importance(api: Api) -> None:
    memory_id = make(api, importance=77)

    assert api.post(f"/v1/memories/{memory_id}/archive", None).json["status"] == "archived"
    restored = api.post(f"/v1/memories/{memory_id}/restore", None).json

    assert (restored["status"], restored["importance"]) == ("active", 77)
    again = api.post(f"/v1/memories/{memory_id}/restore", None)
    assert (again.status, again.json["code"]) == (409, "MEMORY_NOT_ARCHIVED")


def test_a_retried_memory_is_made_once(api: Api) -> None:
    first = api.post("/v1/memories", {**ADA, "content": "x"}, idempotency_key="once")
    again = api.post("/v1/memories", {**ADA, "content": "x"}, idempotency_key="once")

    assert (again.status, again.json) == (201, first.json)
    other = api.post("/v1/memories", {**ADA, "content": "y"}, idempotency_key="once")
    assert other.json["code"] == "IDEMPOTENCY_KEY_REUSED"


def test_a_record_of_the_ledger_that_comes_again_undoes_no_change_of_a_long_entrys_messages(
    api: Api, tmp_path: Path
) -> None:
    body = {"type": "user-agent", "participants": ADA, "conversationId": "long"}
    assert api.post("/v1/conversations", body).status == 201
    messages = [{"role": "user", "content": f"Sentence {number}."} for number in range(1, 41)]
    assert api.post("/v1/conversations/long/messages", {"messages": messages}).status == 201
    with embedded_index(tmp_path) as stream:
        stream.deliver_ledger()
        api.patch("/v1/memories/mem:long:40", {"importance": 90})
        api.delete("/v1/memories/mem:long:39")
        stream.deliver()
        stream.deliver_ledger()

        assert api.get("/v1/memories/count?importanceMin=80").json == {"count": 1}
        assert api.get("/v1/memories/count").json == {"count": 39}
