"""Facts, over the functions' real events."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from annals.database.dynamodb import client
from annals.database.item_size import MAX_ITEM_BYTES
from annals.settings import settings
from tests.support import faults
from tests.support.api import Api
from tests.support.indexing import Stream, embedded_index

pytestmark = pytest.mark.usefixtures("moto")

FACTS = "/v1/facts"
LIVES = {
    "memorySpaceId": "home",
    "userId": "ada",
    "fact": "Ada lives in London.",
    "factType": "place",
    "confidence": 90,
    "subject": "Ada",
    "predicate": "lives in",
    "object": "London",
    "validFrom": "2024-01-01T00:00:00.000Z",
}
MOVED = {**LIVES, "fact": "Ada lives in Paris.", "object": "Paris", "validFrom": "2025-01-01T00:00:00.000Z"}
BETWEEN = {**LIVES, "fact": "Ada lives in Rome.", "object": "Rome", "validFrom": "2024-07-01T00:00:00.000Z"}


@pytest.fixture
def stream(tmp_path: Path) -> Iterator[Stream]:
    with embedded_index(tmp_path) as index:
        yield index


def store(api: Api, body: dict[str, Any] = LIVES, **more: Any) -> dict[str, Any]:
    answer = api.post(FACTS, {**body, **more})
    assert answer.status == 201, answer.body
    fact: dict[str, Any] = answer.json
    return fact


def read(api: Api, fact: dict[str, Any]) -> dict[str, Any]:
    stored: dict[str, Any] = api.get(f"{FACTS}/{fact['factId']}").json
    return stored


def listed(api: Api, **query: str) -> list[str]:
    answer = api.get(FACTS + "?" + "&".join(f"{name}={value}" for name, value in query.items()))
    assert answer.status == 200, answer.body
    return [fact["object"] for fact in answer.json["items"]]


def converse(api: Api, **more: Any) -> str:
    turn = {"memorySpaceId": "home", "userId": "ada", "userMessage": "I live in London.", "agentResponse": "Noted."}
    answer = api.post("/v1/memory/remember", {**turn, **more}).json
    conversation_id: str = answer["conversation"]["conversationId"]
    return conversation_id


def source(conversation_id: str, *message_ids: str) -> dict[str, Any]:
    return {"sourceRef": {"conversationId": conversation_id, "messageIds": list(message_ids or ("msg-001",))}}


def items_of(tenant: str) -> list[str]:
    items = client().scan(TableName=settings().state_table)["Items"]
    return [item["sk"]["S"] for item in items if item["pk"]["S"].startswith(f"T#{tenant}#F")]


def test_a_fact_comes_back_as_it_was_stored(api: Api) -> None:
    more = {"tags": ["place"], "metadata": {"_a": None, "B": 1.5}, "participantId": "p", **source(converse(api))}

    fact = store(api, **more)

    assert {name: fact[name] for name in LIVES | more} == LIVES | more
    assert read(api, fact) == fact
    assert "validTo" not in fact
    assert "supersededBy" not in fact


def test_a_newer_fact_supersedes_the_older_which_keeps_its_interval(api: Api) -> None:
    older, newer = store(api), store(api, MOVED)

    assert read(api, older) == {**older, "validTo": newer["validFrom"], "supersededBy": newer["factId"]}
    assert read(api, newer) == newer


def test_an_older_fact_that_arrives_late_does_not_win(api: Api) -> None:
    newer = store(api, MOVED)
    older = store(api)

    assert (older["validTo"], older["supersededBy"]) == (newer["validFrom"], newer["factId"])
    assert read(api, newer) == newer


def test_a_fact_that_arrives_between_two_divides_the_interval_of_the_first(api: Api) -> None:
    first, last = store(api), store(api, MOVED)
    middle = store(api, BETWEEN)

    assert read(api, first)["supersededBy"] == middle["factId"]
    assert read(api, middle)["supersededBy"] == last["factId"]


def test_of_facts_from_the_same_moment_the_later_stored_one_holds(api: Api) -> None:
    first = store(api)
    last = store(api, fact="Ada lives in Leeds.", object="Leeds")

    assert read(api, first)["supersededBy"] == last["factId"]


def test_subject_and_predicate_are_the_same_whatever_their_case_and_spaces(api: Api) -> None:
    older = store(api)
    newer = store(api, MOVED, subject=" ADA", predicate="Lives \n in")

    assert read(api, older)["supersededBy"] == newer["factId"]
    assert newer["subject"] == " ADA"


@pytest.mark.parametrize("other", [{"userId": "bob"}, {"memorySpaceId": "work"}, {"predicate": "works in"}])
def test_facts_of_another_user_space_or_predicate_supersede_nothing(api: Api, other: dict[str, str]) -> None:
    fact = store(api)
    store(api, MOVED, **other)

    assert read(api, fact) == fact


def test_a_deleted_fact_is_gone_and_the_one_before_it_holds_again(api: Api, tenant: str) -> None:
    older, newer = store(api), store(api, MOVED)

    assert api.delete(f"{FACTS}/{newer['factId']}").status == 204

    assert api.get(f"{FACTS}/{newer['factId']}").problem[:2] == (404, "FACT_NOT_FOUND")
    assert api.delete(f"{FACTS}/{newer['factId']}").problem[:2] == (404, "FACT_NOT_FOUND")
    assert read(api, older) == older
    assert len(items_of(tenant)) == 2


@pytest.mark.parametrize(
    ("more", "code", "field"),
    [
        ({"confidence": -1}, "INVALID_CONFIDENCE", "confidence"),
        ({"confidence": 101}, "INVALID_CONFIDENCE", "confidence"),
        ({"confidence": 0.5}, "INVALID_CONFIDENCE", "confidence"),
        ({"confidence": True}, "INVALID_CONFIDENCE", "confidence"),
        ({"fact": " "}, "MISSING_REQUIRED_FIELD", "fact"),
        ({"factType": ""}, "MISSING_REQUIRED_FIELD", "factType"),
        ({"subject": ""}, "MISSING_REQUIRED_FIELD", "subject"),
        ({"predicate": "\n"}, "MISSING_REQUIRED_FIELD", "predicate"),
        ({"object": ""}, "MISSING_REQUIRED_FIELD", "object"),
        ({"memorySpaceId": ""}, "MISSING_REQUIRED_FIELD", "memorySpaceId"),
        ({"tags": [" "]}, "INVALID_FORMAT", "tags[0]"),
        ({"validFrom": "yesterday"}, "INVALID_FORMAT", "validFrom"),
        ({"validTo": "2025-01-01T00:00:00Z"}, "UNKNOWN_FIELD", "validTo"),
    ],
)
def test_a_fact_that_cannot_be_is_refused_by_field(api: Api, more: dict[str, Any], code: str, field: str) -> None:
    assert api.post(FACTS, {**LIVES, **more}).problem == (422, code, field)


@pytest.mark.parametrize("field", ["memorySpaceId", "fact", "subject", "predicate", "object"])
def test_a_fact_without_a_field_that_it_needs_is_refused(api: Api, field: str) -> None:
    body = {name: value for name, value in LIVES.items() if name != field}
    assert api.post(FACTS, body).problem == (422, "MISSING_REQUIRED_FIELD", field)


def test_a_confidence_of_0_stays_0(api: Api) -> None:
    assert store(api, confidence=0)["confidence"] == 0


def test_a_fact_that_is_too_large_is_refused(api: Api) -> None:
    answer = api.post(FACTS, {**LIVES, "metadata": {"x": "y" * MAX_ITEM_BYTES}})
    assert answer.problem == (413, "REQUEST_TOO_LARGE", "metadata")


def test_another_space_s_fact_is_not_there(api: Api) -> None:
    fact = store(api)
    work = api.limited(spaces={"work"})

    assert work.get(f"{FACTS}/{fact['factId']}").problem[:2] == (404, "FACT_NOT_FOUND")
    assert work.delete(f"{FACTS}/{fact['factId']}").problem[:2] == (404, "FACT_NOT_FOUND")
    assert work.post(FACTS, LIVES).problem == (404, "NOT_FOUND", "memorySpaceId")
    assert Api.of("somebody-else").get(f"{FACTS}/{fact['factId']}").problem[:2] == (404, "FACT_NOT_FOUND")


def test_what_a_key_may_do_with_facts_is_what_its_scopes_say(api: Api) -> None:
    fact = store(api)
    reader, writer = api.limited(scopes={"read"}), api.limited(scopes={"write"})

    assert reader.post(FACTS, LIVES).problem[:2] == (403, "FORBIDDEN")
    assert writer.get(f"{FACTS}/{fact['factId']}").problem[:2] == (403, "FORBIDDEN")
    assert writer.delete(f"{FACTS}/{fact['factId']}").problem[:2] == (403, "FORBIDDEN")


def test_a_source_that_is_not_there_is_refused(api: Api) -> None:
    conversation_id = converse(api)

    assert api.post(FACTS, LIVES | source("nowhere")).problem[:2] == (404, "CONVERSATION_NOT_FOUND")
    assert api.post(FACTS, LIVES | source(conversation_id, "msg-009")).problem[:2] == (404, "MESSAGE_NOT_FOUND")
    elsewhere = LIVES | source(conversation_id) | {"memorySpaceId": "work"}
    assert api.post(FACTS, elsewhere).problem[:2] == (409, "MEMORY_SPACE_MISMATCH")
    assert api.limited(spaces={"work"}).post(FACTS, elsewhere).problem[:2] == (404, "CONVERSATION_NOT_FOUND")


def test_a_retried_fact_is_stored_once(api: Api, tenant: str) -> None:
    first = api.post(FACTS, LIVES, idempotency_key="once")
    again = api.post(FACTS, LIVES, idempotency_key="once")

    assert (again.status, again.json) == (201, first.json)
    assert again.headers["idempotent-replayed"] == "true"
    assert len(items_of(tenant)) == 2
    assert api.post(FACTS, MOVED, idempotency_key="once").problem[:2] == (409, "IDEMPOTENCY_KEY_REUSED")


@pytest.mark.parametrize("fault", [faults.lose_request, faults.cancel("None", "TransactionConflict")])
def test_a_fact_is_stored_once_whatever_happens_on_the_way(api: Api, tenant: str, fault: faults.Fault) -> None:
    with faults.on("TransactWriteItems", fault) as unused:
        store(api)

    assert not unused
    assert len(items_of(tenant)) == 2


def test_erasing_a_conversation_takes_its_facts_and_counts_them(api: Api, tenant: str) -> None:
    conversation_id = converse(api)
    other = store(api, BETWEEN)
    removed = [store(api, **source(conversation_id)), store(api, MOVED, **source(conversation_id, "msg-002"))]

    receipt = api.delete(f"/v1/conversations/{conversation_id}").json

    assert receipt["removed"] == {"messages": 2, "memories": 2, "facts": 2}
    for fact in removed:
        assert api.get(f"{FACTS}/{fact['factId']}").problem[:2] == (404, "FACT_NOT_FOUND")
    assert read(api, other) == other
    assert len(items_of(tenant)) == 2
    assert api.delete(f"/v1/conversations/{conversation_id}").json == receipt


def test_an_erasure_that_breaks_off_among_the_facts_counts_all_of_them(api: Api) -> None:
    conversation_id = converse(api)
    for body in (LIVES, MOVED):
        store(api, body, **source(conversation_id))
    cancelled = faults.cancel("ValidationError", "None", "None")
    with faults.on("TransactWriteItems", faults.go_through, faults.go_through, cancelled):
        assert api.delete(f"/v1/conversations/{conversation_id}").status == 503

    receipt = api.delete(f"/v1/conversations/{conversation_id}").json

    assert receipt["removed"]["facts"] == 2


def test_an_erased_conversation_gets_no_facts_any_more(api: Api) -> None:
    conversation_id = converse(api)
    api.delete(f"/v1/conversations/{conversation_id}")

    assert api.post(FACTS, LIVES | source(conversation_id)).problem[:2] == (410, "CONVERSATION_ERASED")


def test_redacting_a_message_takes_the_facts_that_come_from_it(api: Api) -> None:
    conversation_id = converse(api)
    removed = store(api, **source(conversation_id))
    other = store(api, MOVED, **source(conversation_id, "msg-002"))

    api.post(f"/v1/conversations/{conversation_id}/messages/msg-001/redact", {"reason": "asked for"})

    assert api.get(f"{FACTS}/{removed['factId']}").problem[:2] == (404, "FACT_NOT_FOUND")
    assert read(api, other) == other


def test_a_list_shows_what_nothing_has_superseded(api: Api, stream: Stream) -> None:
    facts = [store(api), store(api, MOVED)]
    stream.deliver()

    assert api.get(FACTS).json == {"items": [read(api, facts[1])]}
    assert api.get(f"{FACTS}?includeSuperseded=true").json["items"] == [read(api, fact) for fact in facts[::-1]]


@pytest.mark.parametrize(
    ("at", "held"),
    [("2023-12-31", []), ("2024-01-01", ["London"]), ("2024-08-01", ["Rome"]), ("2025-01-01", ["Paris"])],
)
def test_a_list_at_a_time_shows_what_held_then(api: Api, stream: Stream, at: str, held: list[str]) -> None:
    for body in (MOVED, LIVES, BETWEEN):
        store(api, body)
    stream.deliver()

    assert listed(api, at=f"{at}T00:00:00Z") == held


def test_a_list_is_filtered_by_every_name(api: Api, stream: Stream) -> None:
    store(api)
    store(api, subject="Bob", userId="bob", predicate="works in", object="Leeds", factType="job")
    stream.deliver()

    assert set(listed(api)) == {"London", "Leeds"}
    for name, value in {"subject": "BOB", "predicate": "works%20%20in", "object": "leeds", "factType": "job"}.items():
        assert listed(api, **{name: value}) == ["Leeds"]
    assert listed(api, userId="ada", memorySpaceId="home") == ["London"]
    assert listed(api, memorySpaceId="work") == []
    assert listed(api.limited(spaces={"work"})) == []
    assert api.get(f"{FACTS}?colour=red").problem == (422, "UNKNOWN_FIELD", "colour")


def test_a_cursor_walks_every_fact_once(api: Api, stream: Stream) -> None:
    for number in range(5):
        store(api, subject=f"S{number}", object=str(number))
    stream.deliver()
    objects, cursor = [], ""
    for _ in range(5):
        page = api.get(f"{FACTS}?limit=2&cursor={cursor}").json
        objects += [fact["object"] for fact in page["items"]]
        cursor = page.get("nextCursor", "")
        if not cursor:
            break

    assert sorted(objects) == list("01234")
    assert api.get(f"{FACTS}?cursor=x").problem == (422, "INVALID_CURSOR", "cursor")


def test_the_search_finds_the_fact_that_holds(api: Api, stream: Stream) -> None:
    older, newer = store(api, metadata={"a": 1}), store(api, MOVED)
    search = {"query": "Where does Ada live?", "filter": {"contentType": "fact"}}
    stream.deliver()

    (hit,) = api.post("/v1/memory/search", search).json["items"]
    assert (hit["memoryId"], hit["content"], hit["fact"]) == (newer["factId"], newer["fact"], newer)

    api.delete(f"{FACTS}/{newer['factId']}")
    stream.deliver()

    (hit,) = api.post("/v1/memory/search", search).json["items"]
    assert (hit["memoryId"], hit["metadata"], hit["fact"]) == (older["factId"], {"a": 1}, older)


def test_deleting_memories_by_a_filter_takes_facts_too(api: Api, stream: Stream) -> None:
    fact = store(api)
    stream.deliver()

    answer = api.post("/v1/memories/delete-many", {"filter": {"contentType": "fact"}}).json

    assert answer["memoryIds"] == [fact["factId"]]
    assert api.get(f"{FACTS}/{fact['factId']}").status == 404


def test_a_conversation_is_shown_with_its_facts_in_the_order_in_which_they_began(api: Api) -> None:
    conversation_id = converse(api)
    store(api, BETWEEN)
    newer, older = (store(api, body, **source(conversation_id)) for body in (MOVED, LIVES))

    conversation = api.get(f"/v1/conversations/{conversation_id}?include=facts").json

    assert conversation["facts"] == [read(api, older), newer]
