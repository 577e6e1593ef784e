"""Times that are said in another zone than UTC: they are kept as they were said, and tell which day that was there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from annals.api.fields import to_said
from annals.memory.facts.models import NewTurnFacts
from annals.memory.recall.recall_text import memory_line
from annals.search.dates import find_date
from annals.search.documents import Document, from_source
from annals.times import SaidTime
from tests.support.api import Api
from tests.support.indexing import Stream, embedded_index

pytestmark = pytest.mark.usefixtures("moto")

SAID, UTC = "2025-06-15T08:00:00+09:00", "2025-06-14T23:00:00.000Z"
CHAT = "/v1/conversations/chat"
OWNED = {"memorySpaceId": "home", "userId": "ada"}
OWNERS = "memorySpaceId=home&userId=ada"
TURN = {
    **OWNED,
    "conversationId": "chat",
    "userMessage": "I moved to Paris today.",
    "agentResponse": "Good luck there!",
}
FACT = {"fact": "Ada lives in Paris.", "subject": "Ada", "predicate": "lives in", "object": "Paris"}


@pytest.fixture
def stream(moto: None, tmp_path: Path) -> Iterator[Stream]:
    with embedded_index(tmp_path) as found:
        yield found


def messages(api: Api) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.get(f"{CHAT}/messages").json["items"]
    return found


def new_chat(api: Api) -> None:
    participants = {"memorySpaceId": "home", "userId": "ada"}
    body = {"conversationId": "chat", "type": "user-agent", "participants": participants}
    assert api.post("/v1/conversations", body).status == 201


def say(api: Api, **more: Any) -> Any:
    return api.post(f"{CHAT}/messages", {"role": "user", "content": "I moved to Paris today.", **more})


@pytest.mark.parametrize("said", [SAID, "2025-06-15T08:00:00.123456789+09:00", "2025-06-14T12:00:00-11:30"])
def test_a_time_comes_back_as_it_was_said_and_in_utc(api: Api, said: str) -> None:
    new_chat(api)
    [stored] = say(api, timestamp=said).json["messages"]
    assert stored["localTime"] == said
    assert stored["timestamp"][:14] == "2025-06-14T23:"
    assert messages(api) == [stored]
    assert api.get(f"{CHAT}/messages?since=2025-06-14T22:00:00Z&until=2025-06-15T00:00:00Z").json["items"] == [stored]


@pytest.mark.parametrize("said", ["2025-06-15T08:00:00Z", "2025-06-15T08:00:00+00:00", 1_749_974_400_000])
def test_a_time_in_utc_is_said_once(api: Api, said: Any) -> None:
    new_chat(api)
    [stored] = say(api, timestamp=said).json["messages"]
    assert (stored["timestamp"], "localTime" in stored) == ("2025-06-15T08:00:00.000Z", False)


def test_a_local_time_is_that_of_the_timestamp_or_stands_alone(api: Api) -> None:
    new_chat(api)
    [stored] = say(api, localTime=SAID).json["messages"]
    assert (stored["timestamp"], stored["localTime"]) == (UTC, SAID)
    assert say(api, timestamp=UTC, localTime=SAID).json["messages"][0]["localTime"] == SAID
    assert say(api, timestamp="2025-06-15T00:00:00Z", localTime=SAID).problem == (422, "INVALID_FORMAT", "localTime")
    for wrong in ("2025-06-15", "08:00+09:00", True, "2025-06-15T08:00:00"):
        assert say(api, localTime=wrong).problem == (422, "INVALID_FORMAT", "localTime")


def test_a_time_with_no_end_of_digits_is_kept_in_a_bounded_form(api: Api) -> None:
    new_chat(api)
    [stored] = say(api, timestamp=f"2025-06-15T08:00:00.{'1' * 5000}+09:00").json["messages"]
    assert stored["localTime"] == "2025-06-15T08:00:00.111111+09:00"


@pytest.mark.parametrize("format_name", ["jsonl", "csv", "json", "ledger"])
def test_an_export_that_is_imported_has_the_times_as_they_were_said(api: Api, format_name: str) -> None:
    new_chat(api)
    say(api, timestamp=SAID)
    say(api)
    exported, stored = api.get(f"{CHAT}/export?format={format_name}").body, messages(api)
    other = Api.of(f"{api.caller.tenant}-imported")
    types = {"csv": "text/csv", "json": "application/json"}
    path = f"/v1/conversations/import?{OWNERS}" if format_name == "csv" else "/v1/conversations/import"
    for _ in range(2):
        answer = other.post(path, exported, content_type=types.get(format_name, "application/x-ndjson"))
        assert answer.status < 300, answer.body
    assert messages(other) == stored


def test_a_turn_is_recalled_with_the_day_on_which_it_was_said(api: Api, stream: Stream) -> None:
    remembered = api.post("/v1/memory/remember", {**TURN, "timestamp": SAID, "facts": [FACT]}).json
    assert [memory["localTime"] for memory in remembered["memories"]] == [SAID, SAID]
    assert remembered["facts"][0]["validFromLocalTime"] == SAID
    stream.deliver()
    stream.deliver_ledger()
    found = api.post("/v1/memory/recall", {"query": "Where does Ada live, in Paris?", **OWNED}).json
    assert "- [2025-06-15] Ada lives in Paris." in found["context"]
    assert "- [2025-06-15] user: I moved to Paris today." in found["context"]
    assert "2025-06-14" not in found["context"]
    assert {hit.get("localTime") for hit in found["items"]} == {SAID}
    assert found["facts"][0]["validFromLocalTime"] == SAID
    memory = api.get(f"/v1/memories/{remembered['memories'][0]['memoryId']}").json
    assert (memory["createdAt"], memory["localTime"]) == (UTC, SAID)


def test_a_facts_validity_is_kept_as_it_was_said(api: Api, stream: Stream) -> None:
    for object_, since in (("London", "2024-12-31T23:30:00-05:00"), ("Paris", SAID)):
        assert api.post("/v1/facts", {**OWNED, **FACT, "object": object_, "validFrom": since}).status == 201
    stream.deliver()
    paris, london = api.get("/v1/facts?memorySpaceId=home&includeSuperseded=true").json["items"]
    assert (paris["validFrom"], paris["validFromLocalTime"]) == (UTC, SAID)
    assert (london["validFrom"], london["validFromLocalTime"]) == (
        "2025-01-01T04:30:00.000Z",
        "2024-12-31T23:30:00-05:00",
    )
    assert (london["validTo"], london["validToLocalTime"]) == (UTC, SAID)
    assert api.get(f"/v1/facts/{london['factId']}").json["validToLocalTime"] == SAID


def test_facts_that_come_after_their_turn_have_its_time(api: Api) -> None:
    remembered = api.post("/v1/memory/remember", {**TURN, "timestamp": SAID}).json
    ids = remembered["conversation"]["messageIds"]
    body = {**OWNED, "conversationId": "chat", "messageIds": ids, "facts": [FACT]}
    assert api.post("/v1/memory/remember-facts", body).json["facts"][0]["validFromLocalTime"] == SAID


def test_turns_are_counted_on_the_day_on_which_they_were_said(api: Api) -> None:
    api.post("/v1/memory/remember", {**TURN, "timestamp": SAID})
    assert api.get(f"{CHAT}/analytics").json["turnsPerDay"] == {"2025-06-15": 1}


@pytest.mark.parametrize(
    ("question", "said", "is_close"),
    [
        ("What happened on 15 June 2025?", SAID, 1),
        ("What happened in July 2025?", "2025-07-01T05:00:00+09:00", 1),
        ("What happened in June 2025?", "2025-07-01T05:00:00+09:00", 0),
        ("What happened in December 2024?", "2024-12-31T23:30:00-05:00", 1),
        ("What happened in January?", "2024-12-31T23:30:00-05:00", 0),
    ],
)
def test_a_date_in_a_question_is_that_where_it_was_said(question: str, said: str, is_close: int) -> None:
    date, time = find_date(question), to_said(said)
    assert date
    document = Document(tenant="t", memory_id="m", memory_space_id="s", content="x", at=time.ms, local_time=time.local)
    assert date.closeness(document.moment) == is_close
    searched = date.date_range()
    if is_close and searched.start is not None and searched.end is not None:
        assert searched.start <= time.ms < searched.end


def test_a_search_for_a_month_finds_what_was_said_in_it_there(api: Api, stream: Stream) -> None:
    api.post("/v1/memory/remember", {**TURN, "timestamp": "2025-07-01T05:00:00+09:00"})
    stream.deliver_ledger()
    found = api.post(
        "/v1/memory/search", {"query": "Paris in July 2025", "explain": True, "memorySpaceId": "home"}
    ).json["items"]
    assert found[0]["explanation"]["date"] > 0


def test_a_document_without_a_local_time_is_as_it_was_before_there_were_any() -> None:
    document = Document(tenant="t", memory_id="m", memory_space_id="s", content="x", at=0)
    assert "local_time" not in document.source()
    assert from_source(document.source()) == document
    local = Document(tenant="t", memory_id="m", memory_space_id="s", content="x", at=0, local_time=SAID)
    assert from_source(json.loads(json.dumps(local.source()))) == local


@pytest.mark.parametrize("said", [SAID, "1999-12-31T00:00:00Z", UTC, "1960-01-01T00:00:00+01:00"])
def test_a_turn_that_is_kept_for_its_facts_has_the_time_as_it_was_said(said: str) -> None:
    turn = NewTurnFacts.model_validate({**OWNED, "timestamp": said, "facts": [{**FACT, "validFrom": said}]})
    again = NewTurnFacts.model_validate(json.loads(json.dumps(turn.model_dump(by_alias=True, exclude_none=True))))
    assert (again.timestamp, again.facts) == (to_said(said), turn.facts)


def test_a_memorys_line_has_the_day_of_its_own_time() -> None:
    memory: Any = {"content": "x", "contentType": "raw", "createdAt": UTC, "localTime": SAID, "role": "user"}
    assert memory_line(memory) == "[2025-06-15] user: x"


def test_a_time_says_itself_as_it_was_said() -> None:
    assert SaidTime(0).text == "1970-01-01T00:00:00.000Z"
    assert to_said(SAID).text == SAID
