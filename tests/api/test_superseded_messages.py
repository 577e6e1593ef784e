"""Incomplete messages, and the later ones that say the whole of them: readers get these, the ledger keeps both."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from annals.memory import adapters
from annals.operations.rebuild import rebuild_index
from tests.support.api import Api
from tests.support.indexing import Stream, embedded_index
from tests.support.ledgers import new_conversation

pytestmark = pytest.mark.usefixtures("moto")

CHAT = "/v1/conversations/conv-1"
MESSAGES = f"{CHAT}/messages"
PART = {"role": "assistant", "content": "To be, or", "status": "incomplete"}
WHOLE = {"role": "assistant", "content": "To be, or not to be", "supersedes": "msg-002"}


@pytest.fixture(autouse=True)
def conversation(tenant: str) -> str:
    return new_conversation(tenant)


def append(api: Api, *messages: dict[str, Any]) -> None:
    for message in messages:
        answer = api.post(MESSAGES, message)
        assert answer.status == 201, answer.json


def user(content: str) -> dict[str, Any]:
    return {"role": "user", "content": content}


@pytest.fixture
def completed(api: Api) -> None:
    """Four messages, the second one incomplete, and a fifth one that is its whole."""
    append(api, user("What is the question?"), PART, user("Go on."), user("Please."), WHOLE)


def ids(api: Api, query: str = "") -> list[str]:
    answer = api.get(f"{MESSAGES}?{query}" if query else MESSAGES)
    assert answer.status == 200, answer.json
    return [message["messageId"] for message in answer.json["items"]]


@pytest.mark.usefixtures("completed")
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", "1 5 3 4"),
        ("order=asc", "1 5 3 4"),
        ("order=desc", "4 3 5 1"),
        ("limit=2", "3 4"),
        ("limit=3", "5 3 4"),
        ("order=asc&limit=2", "1 5"),
        ("order=desc&limit=3", "4 3 5"),
        ("after=1", "5 3 4"),
        ("after=2", "3 4 5"),
        ("after=4", "5"),
        ("before=3", "1 5"),
        ("before=2", "1"),
        ("roles=assistant", "5"),
        ("offset=1", "1 5 3"),
        ("offset=3", "1"),
        ("order=asc&offset=1", "5 3 4"),
        ("order=asc&offset=3", "4"),
        ("order=asc&offset=4", ""),
        ("lastRuns=1", "4"),
        ("lastRuns=3", "1 5 3 4"),
    ],
)
def test_a_history_shows_the_whole_message_in_the_place_of_the_incomplete_one(
    api: Api, query: str, expected: str
) -> None:
    assert ids(api, query) == [f"msg-{int(seq):03d}" for seq in expected.split()]


@pytest.mark.usefixtures("completed")
@pytest.mark.parametrize("order", ["", "order=asc&", "order=desc&", "after=2&"])
def test_pages_show_each_message_once(api: Api, order: str) -> None:
    shown, cursor = [], ""
    for _ in range(10):
        page = api.get(f"{MESSAGES}?{order}limit=1{cursor}").json
        shown += [message["messageId"] for message in page["items"]]
        if "nextCursor" not in page:
            break
        cursor = f"&cursor={page['nextCursor']}"
    assert sorted(shown) == (["msg-003", "msg-004", "msg-005"] if "after" in order else sorted(ids(api)))


@pytest.mark.usefixtures("completed")
def test_both_can_be_read_by_their_ids(api: Api) -> None:
    part, whole = api.get(f"{MESSAGES}/msg-002").json, api.get(f"{MESSAGES}/msg-005").json
    assert (part["content"], part["status"], part["supersededBy"]) == ("To be, or", "incomplete", "msg-005")
    assert (whole["content"], whole["supersedes"], "status" in whole) == (WHOLE["content"], "msg-002", False)
    both = api.post(f"{MESSAGES}/get-many", {"messageIds": ["msg-002", "msg-005"]}).json["items"]
    assert both == [part, whole]


@pytest.mark.usefixtures("completed")
def test_the_ledger_keeps_both_and_verifies(api: Api) -> None:
    verified = api.get(f"{CHAT}/verify").json
    assert (verified["valid"], verified["messageCount"]) == (True, 5)


@pytest.mark.usefixtures("completed")
def test_a_context_window_has_the_whole_message_alone(api: Api) -> None:
    messages = api.get(f"{CHAT}/context?maxTokens=1000").json["messages"]
    assert [message["messageId"] for message in messages] == ["msg-001", "msg-005", "msg-003", "msg-004"]


@pytest.mark.usefixtures("completed")
def test_the_incomplete_one_is_no_memory_any_more(api: Api) -> None:
    assert api.get("/v1/memories/mem:conv-1:2").status == 404
    assert api.get("/v1/memories/mem:conv-1:5").json["content"] == WHOLE["content"]
    assert api.patch("/v1/memories/mem:conv-1:2", {"content": "x"}).status == 404
    assert api.delete("/v1/memories/mem:conv-1:2").status == 404


@pytest.mark.usefixtures("completed")
def test_figures_count_the_whole_one_alone(api: Api) -> None:
    assert api.get(f"{CHAT}/analytics").json["byRole"] == {"user": 3, "assistant": 1}


def test_figures_that_count_an_incomplete_one_are_counted_anew(api: Api) -> None:
    append(api, user("What?"), PART)
    assert api.get(f"{CHAT}/analytics").json["byRole"] == {"user": 1, "assistant": 1}
    append(api, WHOLE)
    assert api.get(f"{CHAT}/analytics").json["byRole"] == {"user": 1, "assistant": 1}


@pytest.mark.usefixtures("completed")
@pytest.mark.parametrize("message_id", ["msg-002", "msg-005"])
def test_a_redaction_takes_all_versions(api: Api, message_id: str) -> None:
    answer = api.post(f"{MESSAGES}/{message_id}/redact", {"reason": "private"})
    assert (answer.status, answer.json["messageId"], answer.json["status"]) == (200, message_id, "redacted")
    for each in ("msg-002", "msg-005"):
        assert "content" not in api.get(f"{MESSAGES}/{each}").json
    assert "To be" not in str(api.get(f"{MESSAGES}?includeArchived=true").json)
    assert api.get(f"{CHAT}/verify").json["valid"]
    assert api.get("/v1/memories/mem:conv-1:5").status == 404
    assert api.post(f"{MESSAGES}/{message_id}/redact", {"reason": "again"}).status == 200


def test_an_incomplete_one_may_be_superseded_by_another_incomplete_one(api: Api) -> None:
    append(api, user("What?"), PART, {**WHOLE, "status": "incomplete"}, {**WHOLE, "supersedes": "msg-003"})
    assert ids(api) == ["msg-001", "msg-004"]
    assert ids(api, "after=2") == ["msg-004"]
    assert ids(api, "after=3") == ["msg-004"]
    assert api.get(f"{MESSAGES}/msg-003").json["supersededBy"] == "msg-004"
    api.post(f"{MESSAGES}/msg-003/redact", {"reason": "private"})
    statuses = [api.get(f"{MESSAGES}/msg-00{seq}").json.get("status") for seq in (2, 3, 4)]
    assert statuses == ["redacted"] * 3


@pytest.mark.parametrize(
    ("supersedes", "problem"),
    [
        ("msg-001", (409, "MESSAGE_COMPLETED", None)),
        ("msg-009", (404, "MESSAGE_NOT_FOUND", None)),
        ("no id", (404, "MESSAGE_NOT_FOUND", None)),
        ("", (404, "MESSAGE_NOT_FOUND", None)),
        ("x" * 200, (422, "INVALID_FORMAT", "supersedes")),
        (7, (422, "INVALID_FORMAT", "supersedes")),
    ],
)
def test_only_an_incomplete_message_can_be_superseded(api: Api, supersedes: Any, problem: Any) -> None:
    append(api, user("What?"), PART)
    assert api.post(MESSAGES, {**WHOLE, "supersedes": supersedes}).problem == problem
    assert ids(api) == ["msg-001", "msg-002"]


def test_null_supersedes_nothing(api: Api) -> None:
    append(api, user("What?"), PART, {**WHOLE, "supersedes": None})
    assert ids(api) == ["msg-001", "msg-002", "msg-003"]


@pytest.mark.usefixtures("completed")
def test_nothing_is_superseded_twice(api: Api) -> None:
    assert api.post(MESSAGES, WHOLE).problem == (409, "MESSAGE_SUPERSEDED", "supersedes")


def test_a_message_of_another_role_is_not_superseded(api: Api) -> None:
    append(api, user("What?"), PART)
    assert api.post(MESSAGES, {**WHOLE, "role": "user"}).problem == (422, "INVALID_ROLE", "role")


def test_a_redacted_message_is_not_superseded(api: Api) -> None:
    append(api, user("What?"), PART)
    api.post(f"{MESSAGES}/msg-002/redact", {"reason": "private"})
    assert api.post(MESSAGES, WHOLE).problem == (410, "MESSAGE_REDACTED", None)


def test_a_repeated_request_gets_the_message_that_it_stored(api: Api) -> None:
    append(api, user("What?"), PART)
    first = api.post(MESSAGES, WHOLE, idempotency_key="k")
    again = api.post(MESSAGES, WHOLE, idempotency_key="k")
    assert (first.status, again.status, again.headers["idempotent-replayed"]) == (201, 201, "true")
    assert again.json["messages"] == first.json["messages"]
    append(api, *(user(str(number)) for number in range(25)))
    assert api.post(MESSAGES, WHOLE, idempotency_key="k").json["messages"] == first.json["messages"]


def test_a_message_of_an_external_id_takes_it_over_from_the_one_that_it_supersedes(api: Api) -> None:
    append(api, user("What?"), {**PART, "externalId": "reply/1"}, {**WHOLE, "externalId": "reply/1"})
    assert ids(api, "externalId=reply%2F1") == ["msg-003"]
    answer = api.post(MESSAGES, {**WHOLE, "externalId": "reply/1"})
    assert (answer.status, answer.json["messages"][0]["messageId"]) == (201, "msg-003")


def test_a_request_supersedes_no_message_twice(api: Api) -> None:
    append(api, user("What?"), PART)
    assert api.post(MESSAGES, {"messages": [WHOLE, WHOLE]}).problem == (
        422,
        "DUPLICATE_VALUES",
        "messages[1].supersedes",
    )


def test_a_new_conversation_has_nothing_to_supersede(api: Api) -> None:
    made = {"participants": {"userId": "ada", "memorySpaceId": "home"}}
    answer = api.post("/v1/conversations/new/messages", {**WHOLE, "conversation": made})
    assert answer.problem == (404, "CONVERSATION_NOT_FOUND", None)
    assert api.get("/v1/conversations/new").status == 404


@pytest.mark.usefixtures("completed")
def test_an_archived_version_does_not_hide_the_whole_one(api: Api) -> None:
    assert api.post(f"{CHAT}/archive", {"before": 4}).status == 200
    assert ids(api) == ["msg-004", "msg-005"]
    assert ids(api, "includeArchived=true") == ["msg-001", "msg-005", "msg-003", "msg-004"]


@pytest.fixture
def stream(moto: None, tmp_path: Path) -> Iterator[Stream]:
    with embedded_index(tmp_path) as found:
        yield found


def found(api: Api) -> set[str]:
    """The messages that a search of memories and one of conversations find."""
    memories = api.post("/v1/memory/search", {"query": "be", "memorySpaceId": "space-1"}).json["items"]
    matches = api.post("/v1/conversations/search", {"query": "be"}).json["items"]
    in_memories = {each["conversationRef"]["messageIds"][0] for each in memories}
    assert in_memories == {match["messageId"] for item in matches for match in item["matches"]}
    return in_memories


def test_a_search_finds_the_whole_message_alone(api: Api, stream: Stream) -> None:
    append(api, user("What is the question?"), PART, user("Go on."))
    stream.deliver_ledger()
    assert found(api) == {"msg-001", "msg-002", "msg-003"}
    append(api, WHOLE)
    stream.deliver_ledger()
    stream.deliver()
    assert found(api) == {"msg-001", "msg-003", "msg-004"}
    rebuild_index(adapters.index(), adapters.embedder(), lambda _: None)
    assert found(api) == {"msg-001", "msg-003", "msg-004"}


def test_an_answer_belongs_to_whom_its_incomplete_version_belongs(api: Api, stream: Stream) -> None:
    made = {"type": "user-agent", "participants": {"agentId": "bot", "memorySpaceId": "home"}}
    api.post("/v1/conversations", {"conversationId": "group", **made})
    whole = {**WHOLE, "content": "To be, or not to be: xylophone"}
    for message in ({**user("My secret?"), "userId": "ada"}, PART, {**user("Hello."), "userId": "bob"}, whole):
        assert api.post("/v1/conversations/group/messages", message).status == 201
    stream.deliver_ledger()
    stream.deliver()
    question = {"query": "xylophone", "memorySpaceId": "home", "history": 10, "filter": {"conversationId": "group"}}
    recalled = {name: api.post("/v1/memory/recall", {**question, "userId": name}).json for name in ("ada", "bob")}
    assert "xylophone" in str(recalled["ada"]["items"])
    assert "xylophone" in str(recalled["ada"]["history"])
    assert "xylophone" not in str(recalled["bob"])


SHAPES = {"jsonl": "application/x-ndjson", "csv": "text/csv"}


@pytest.mark.usefixtures("completed")
@pytest.mark.parametrize("format_name", SHAPES)
@pytest.mark.parametrize("archived", [False, True])
def test_an_export_has_both_and_an_import_makes_them_what_they_were(api: Api, format_name: str, archived: bool) -> None:
    append(api, {**PART, "externalId": "r"}, {**WHOLE, "externalId": "r", "supersedes": "msg-006"})
    if archived:
        assert api.post(f"{CHAT}/archive", {"before": 8}).status == 200
    exported = api.get(f"{CHAT}/export?format={format_name}").body.decode()
    other = Api.of(f"{api.caller.tenant}-copy")
    imported = other.post(
        "/v1/conversations/import?memorySpaceId=space-1&userId=user-1",
        exported.encode(),
        content_type=SHAPES[format_name],
    )
    assert imported.status == 200, imported.json
    query = "includeArchived=true"
    assert ids(other, query) == ids(api, query) == ["msg-001", "msg-005", "msg-003", "msg-004", "msg-007"]
    assert other.get(f"{MESSAGES}/msg-002").json["supersededBy"] == "msg-005"
    assert ids(other, "externalId=r") == ["msg-007"]
    again = other.post(
        "/v1/conversations/import?memorySpaceId=space-1&userId=user-1",
        exported.encode(),
        content_type=SHAPES[format_name],
    )
    assert again.json["conversations"] == [{"conversationId": "conv-1", "imported": 0, "skipped": 7}]
    other.post(f"{MESSAGES}/msg-005/redact", {"reason": "private"})
    assert other.get(f"{MESSAGES}/msg-002").json["status"] == "redacted"
    assert other.get(f"{CHAT}/verify").json["valid"]


@pytest.mark.usefixtures("completed")
def test_what_is_exported_for_a_model_has_the_whole_message_alone(api: Api) -> None:
    line = json.loads(api.get(f"{CHAT}/export?format=openai-chat").body)
    contents = [message["content"] for message in line["messages"]]
    assert contents == ["What is the question?", "To be, or not to be", "Go on.", "Please."]
