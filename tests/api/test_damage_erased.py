"""Damage keeps no word from being erased: entries and items that cannot be read are scrubbed by their keys."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from annals.database.dynamodb import client
from annals.ledger.keys import conversation_pk
from annals.memory.erasure.expiry import expire
from annals.memory.erasure.user_tracing import trace_entries
from annals.memory.facts.fact_items import find_fact_key
from annals.memory.memories.memory_items import Address
from annals.memory.retention_timers import space_key
from annals.settings import settings
from annals.times import now_ms
from tests.api.test_damage import DAMAGES, PATH, damage, forget, pk
from tests.support.api import Api
from tests.support.crashes import items_of
from tests.support.indexing import Stream, embedded_index

__all__ = ["pk"]

pytestmark = pytest.mark.usefixtures("moto")


@pytest.fixture(autouse=True)
def index(moto: None, tmp_path: Path) -> Iterator[Stream]:
    with embedded_index(tmp_path) as index:
        yield index


STRANGE = {
    **DAMAGES,
    "words beside the chain": lambda item: item.update(note={"S": "walrus"}),
    "words beside a body": lambda item: item["records"]["L"][0]["M"].update(note={"S": "walrus"}),
    "words in place of a hash": lambda item: item.update(hash={"S": "walrus"}),
    "words in place of the state": lambda item: item.update(state={"S": "walrus"}),
    "words in place of the thread": lambda item: item.update(thread={"S": "walrus"}),
    "words in place of an id": lambda item: item.update(entryId={"L": [{"S": "walrus"}]}),
    "words among the records": lambda item: item["records"]["L"].append({"S": "walrus"}),
    "a message that calls itself an erasure": lambda item: item["records"]["L"][0]["M"].update(kind={"S": "erasure"}),
    "a kind of words": lambda item: item["records"]["L"][0]["M"].update(kind={"S": "walrus"}),
    "nothing but its key": lambda item: [item.pop(name) for name in list(item) if name not in ("pk", "sk")],
}


def talk(api: Api, pk: str) -> None:
    for text in ("a walrus", "another walrus"):
        assert api.post(f"{PATH}/messages", {"role": "user", "content": text}).status == 201


def left_of(api: Api, *words: str) -> list[str]:
    """What of some words is left in the tables."""
    tables = (settings().ledger_table, settings().state_table)
    stored = str([item for table in tables for item in items_of(api.caller.tenant, table)])
    return [word for word in words if word in stored]


COPIES = ("a preamble that is not there", "a preamble that is none")
"""What is wrong beside the other entries only: the entry itself can be read, and is as its hash says."""

AT_THE_ENDS = ("no records", "no hash", "no state", "a count that is text", "nothing but its key")


@pytest.mark.parametrize(
    ("name", "seq"), [*((name, 2) for name in STRANGE), *((name, seq) for name in AT_THE_ENDS for seq in (0, 5))]
)
def test_a_conversation_is_erased_whichever_of_its_entries_is_damaged(name: str, seq: int, api: Api, pk: str) -> None:
    talk(api, pk)
    damage(pk, seq, STRANGE[name])
    answer = api.delete(PATH)
    assert (answer.status, answer.json["status"]) == (200, "erased")
    assert answer.json.get("damaged") == (None if name in COPIES else 1)
    assert left_of(api, "walrus") == []
    forget(pk)
    assert api.get(PATH).problem[:2] == (410, "CONVERSATION_ERASED")
    assert api.get(f"{PATH}/messages").status == 410
    assert api.post(f"{PATH}/messages", {"role": "user", "content": "more"}).status == 410
    verified = api.get(f"{PATH}/verify").json
    assert (verified["valid"], verified["firstBadSeq"]) == (False, seq)
    assert api.delete(PATH).json == answer.json
    assert [item["conversationId"] for item in api.get("/v1/conversations").json["items"]] == ["neighbour"]


@pytest.mark.parametrize("sk", ["E#x", "E#00000000000x", "A", "Z"])
def test_what_lies_under_a_conversation_s_key_and_is_no_entry_goes_with_it(sk: str, api: Api, pk: str) -> None:
    item = {"pk": {"S": pk}, "sk": {"S": sk}, "records": {"S": "a walrus"}, "note": {"S": "a walrus"}}
    client().put_item(TableName=settings().ledger_table, Item=item)
    forget(pk)
    assert api.delete(PATH).json["damaged"] == 1
    assert left_of(api, "walrus") == []
    assert api.get(PATH).status == 410
    assert not api.get(f"{PATH}/verify").json["valid"]


@pytest.mark.parametrize("name", ["no hash", "a count that is text", "records that are text", "no records"])
@pytest.mark.parametrize("damaged", [4, 5])
def test_a_message_is_redacted_whichever_entry_is_damaged(name: str, damaged: int, api: Api, pk: str) -> None:
    for text in ("an otter", "the end"):
        assert api.post(f"{PATH}/messages", {"role": "user", "content": text}).status == 201
    damage(pk, damaged, STRANGE[name])
    answer = api.post(f"{PATH}/messages/msg-004/redact", {"reason": "why"})
    assert (answer.status, answer.json["status"]) == (200, "redacted")
    assert left_of(api, "otter") == []
    assert api.post(f"{PATH}/messages/msg-004/redact", {"reason": "why"}).status == 200
    assert not api.get(f"{PATH}/verify").json["valid"]
    assert api.post(f"{PATH}/messages/msg-077/redact", {"reason": "why"}).problem[:2] == (404, "MESSAGE_NOT_FOUND")


def test_a_redaction_in_a_damaged_entry_takes_the_message_alone(api: Api, pk: str) -> None:
    body = [{"role": "user", "content": "a walrus"}, {"role": "user", "content": "an otter"}]
    assert api.post(f"{PATH}/messages", {"messages": body}).status == 201
    damage(pk, 4, lambda item: item.pop("hash"))
    damage(pk, 4, lambda item: item.update(note={"S": "a walrus"}))
    assert api.post(f"{PATH}/messages/msg-004/redact", {"reason": "why"}).status == 200
    assert left_of(api, "walrus", "otter") == ["otter"]


def test_a_redaction_behind_a_damaged_end_opens_the_conversation_for_no_message(api: Api, pk: str) -> None:
    damage(pk, 3, lambda item: item.update(state={"S": "ajar"}))
    damage(pk, 3, lambda item: item.pop("hash"))
    assert api.post(f"{PATH}/messages/msg-001/redact", {"reason": "why"}).status == 200
    more = {"role": "user", "content": "more"}
    assert api.post(f"{PATH}/messages", more).problem[:2] == (409, "CONVERSATION_SEALED")
    assert api.post(f"{PATH}/messages/msg-077/redact", {"reason": "why"}).status == 404


def test_many_are_erased_with_the_damaged_ones_among_them(api: Api, pk: str) -> None:
    damage(pk, 3, STRANGE["no hash"])
    body = {"filter": {"participants": {"userId": "ada"}}}
    assert set(api.post("/v1/conversations/delete-many", body).json["conversationIds"]) == {"conv-1", "neighbour"}
    assert api.delete(PATH).json["damaged"] == 1


def stored(key: Any) -> Any:
    return client().get_item(TableName=settings().state_table, Key=key).get("Item")


def spoil(key: Any, **change: Any) -> None:
    client().put_item(TableName=settings().state_table, Item={**stored(key), **change})


MEMORIES = {
    "no JSON": {"memory": {"S": "{walrus"}},
    "an object of words": {"memory": {"S": '{"content": "a walrus"}'}},
    "words beside it": {"memory": {"L": [{"S": "walrus"}]}, "note": {"S": "a walrus"}},
    "words in place of a version": {"memory": {"S": "walrus"}, "version": {"S": "walrus"}},
}


@pytest.mark.parametrize("name", MEMORIES)
def test_a_damaged_memory_is_deleted_by_its_id(name: str, api: Api) -> None:
    made = api.post("/v1/memories", {"memorySpaceId": "home", "userId": "eve", "content": "a walrus"}).json
    path = f"/v1/memories/{made['memoryId']}"
    assert api.patch(path, {"content": "a walrus again"}).status == 200
    spoil(Address.of(api.caller.tenant, made["memoryId"]).current, **MEMORIES[name])
    assert api.get(path).problem[:2] == (409, "ITEM_DAMAGED")
    assert api.limited(spaces={"elsewhere"}).delete(path).status in (404, 409)
    assert api.delete(path).status == 204
    assert left_of(api, "walrus") == []
    assert api.delete(path).problem[:2] == (404, "MEMORY_NOT_FOUND")


@pytest.mark.parametrize("name", MEMORIES)
def test_a_damaged_memory_of_a_message_is_deleted_and_does_not_come_back_as_its_message(
    name: str, api: Api, pk: str
) -> None:
    path = "/v1/memories/mem:conv-1:2"
    assert api.patch(path, {"content": "a walrus"}).status == 200
    spoil(Address.of(api.caller.tenant, "mem:conv-1:2").current, **MEMORIES[name])
    assert api.get(path).problem[:2] == (409, "ITEM_DAMAGED")
    assert api.delete(path).status == 204
    assert left_of(api, "walrus") == []
    assert api.get(path).status == 404
    assert api.get(f"{PATH}/messages/msg-002").json["content"] == "two"


@pytest.mark.parametrize("seq", [2, 3])
def test_a_memory_is_deleted_whose_message_or_conversation_is_damaged(seq: int, api: Api, pk: str) -> None:
    damage(pk, seq, STRANGE["no hash"])
    assert api.delete("/v1/memories/mem:conv-1:2").status == 204
    assert api.delete("/v1/memories/mem:conv-1:9").status == 404


@pytest.mark.parametrize("name", MEMORIES)
def test_clearing_a_user_s_memories_takes_the_damaged_ones(name: str, api: Api) -> None:
    made = [api.post("/v1/users/ada/memories", {"memory": f"walrus {each}"}).json["memoryId"] for each in range(3)]
    for memory_id in made[:2]:
        spoil(Address.of(api.caller.tenant, memory_id).current, **MEMORIES[name])
    assert api.delete(f"/v1/users/ada/memories/{made[0]}").status == 204
    assert api.delete("/v1/users/ada/memories").json["count"] == 2
    assert left_of(api, "walrus") == []


FACT = {
    "fact": "A walrus is a walrus.", "factType": "knowledge", "confidence": 90, "subject": "walrus", "predicate": "is",
    "object": "walrus", "memorySpaceId": "home",
}  # fmt: skip

FACTS = {
    "no JSON": {"fact": {"S": "{walrus"}},
    "no object": {"fact": {"S": '["walrus"]'}},
    "no text": {"fact": {"N": "7"}, "note": {"S": "walrus"}},
    "other types": {"fact": {"S": '{"fact": 7, "tags": ["walrus"], "message_ids": []}'}},
}


@pytest.mark.parametrize("name", FACTS)
def test_a_damaged_fact_is_named_by_its_id_and_deleted(name: str, api: Api) -> None:
    first, second = (api.post("/v1/facts", {**FACT, "validFrom": f"202{each}-01-01T00:00:00Z"}).json for each in (1, 2))
    key = find_fact_key(api.caller.tenant, second["factId"])
    assert key
    spoil({"pk": {"S": key[0]}, "sk": {"S": key[1]}}, **FACTS[name])
    assert api.get(f"/v1/facts/{second['factId']}").problem[:2] == (409, "ITEM_DAMAGED")
    response = api.get(f"/v1/facts/{first['factId']}")
    assert (response.status, response.json["validTo"]) == (200, "2022-01-01T00:00:00.000Z")
    assert api.get("/v1/facts").status == 200
    for fact in (second, first):
        assert api.delete(f"/v1/facts/{fact['factId']}").status == 204
        assert api.get(f"/v1/facts/{fact['factId']}").status == 404
    assert left_of(api, "walrus") == []


@pytest.mark.parametrize("name", FACTS)
@pytest.mark.parametrize("how", ["erase", "redact"])
def test_damaged_facts_and_memories_go_with_the_words_that_they_were_made_of(
    name: str, how: str, api: Api, pk: str
) -> None:
    source = {"conversationId": "conv-1", "messageIds": ["msg-002"]}
    fact = api.post("/v1/facts", {**FACT, "sourceRef": source}).json["factId"]
    made = {"memorySpaceId": "home", "userId": "eve", "conversationRef": source, "content": "a walrus"}
    memory = api.post("/v1/memories", made).json["memoryId"]
    key = find_fact_key(api.caller.tenant, fact)
    assert key
    spoil({"pk": {"S": key[0]}, "sk": {"S": key[1]}}, **FACTS[name])
    spoil(Address.of(api.caller.tenant, memory).current, memory={"S": "{walrus"})
    assert api.get(f"{PATH}?include=messages,facts,summary").status == 200
    if how == "erase":
        assert api.delete(PATH).json["removed"]["facts"] == 1
    else:
        assert api.post(f"{PATH}/messages/msg-002/redact", {"reason": "why"}).status == 200
    assert left_of(api, "walrus") == []


def converse_of_two(api: Api) -> str:
    """A conversation of bo's in which ada spoke."""
    people = {"userId": "bo", "memorySpaceId": "home"}
    made = {"type": "user-agent", "conversationId": "of-bo", "participants": people}
    assert api.post("/v1/conversations", made).status == 201
    for user, text in (("ada", "a walrus"), ("bo", "an otter"), ("ada", "one more walrus")):
        body = {"role": "user", "content": text, "userId": user}
        assert api.post("/v1/conversations/of-bo/messages", body).status == 201
    of_bo = conversation_pk(api.caller.tenant, "of-bo")
    trace_entries(of_bo, [0, 1, 2, 3])
    return of_bo


@pytest.mark.parametrize("name", ["no hash", "records that are text", "no state", "a record that is text"])
@pytest.mark.parametrize("seq", [0, 1, 3])
def test_a_person_is_erased_and_exported_with_damaged_entries(name: str, seq: int, api: Api, pk: str) -> None:
    of_bo = converse_of_two(api)
    talk(api, pk)
    trace_entries(pk, [0])
    damage(pk, {0: 0, 1: 2, 3: 5}[seq], STRANGE[name])
    if seq:
        damage(of_bo, seq, STRANGE[name])
    file = [json.loads(line) for line in api.get("/v1/users/ada/export").body.splitlines()]
    damaged = [
        (each["type"], each["conversationId"]) for each in file if "damaged" in (each["type"], each.get("status"))
    ]
    assert {name for _, name in damaged} >= ({"conv-1", "of-bo"} if seq else set())
    words = [each.get("content") for each in file]
    assert {"one", "two", "three"} & set(words)
    answer = api.delete("/v1/users/ada")
    assert (answer.status, answer.json["status"]) == (200, "erased")
    assert answer.json["damaged"] == (2 if seq else 1)
    assert left_of(api, "walrus", "otter") == ["otter"]
    assert api.get(f"{PATH}").status == 410


def test_what_is_damaged_of_a_person_beside_conversations_goes_and_is_counted(api: Api, pk: str) -> None:
    um = [api.post("/v1/users/ada/memories", {"memory": "a walrus"}).json["memoryId"] for _ in range(2)]
    made = {"memorySpaceId": "home", "content": "a walrus", "userId": "ada"}
    memory = api.post("/v1/memories", made).json["memoryId"]
    fact = api.post("/v1/facts", {**FACT, "userId": "ada"}).json["factId"]
    people = [{"participantId": "ada", "name": "a walrus"}, {"participantId": "bo"}]
    assert api.put("/v1/spaces/home", {"participants": people}).status == 201
    key = find_fact_key(api.caller.tenant, fact)
    assert key
    spoil({"pk": {"S": key[0]}, "sk": {"S": key[1]}}, fact={"S": "{walrus"})
    for name in (um[0], memory):
        spoil(Address.of(api.caller.tenant, name).current, memory={"S": "{walrus"})
    spoil(space_key(api.caller.tenant, "home"), described={"S": '{"participants": "walrus"'})
    assert api.get("/v1/spaces/home").problem[:2] == (409, "ITEM_DAMAGED")
    file = [json.loads(line) for line in api.get("/v1/users/ada/export").body.splitlines()]
    damaged = [each for each in file if each["type"] == "damaged"]
    named = {each.get("memoryId") or each.get("memorySpaceId") for each in damaged}
    assert named == {um[0], memory, fact, "home"}
    assert [each["memoryId"] for each in file if each["type"] == "userMemory"] == [um[1]]
    answer = api.delete("/v1/users/ada")
    assert (answer.json["status"], answer.json["damaged"]) == ("erased", 4)
    assert answer.json["removed"]["spaces"] == 1
    assert left_of(api, "walrus") == []
    assert api.get("/v1/spaces/home").json["participants"] == []


def test_a_damaged_conversation_is_erased_when_its_time_is_up(
    api: Api, pk: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert api.put("/v1/spaces/home", {"retentionDays": 1}).status == 201
    damage(pk, 3, STRANGE["no hash"])
    expire(pk, 5.0)
    assert api.get(f"{PATH}/verify").json["messageCount"]
    monkeypatch.setattr("annals.memory.erasure.expiry.now_ms", lambda: now_ms() + 2 * 86_400_000)
    expire(pk, 5.0)
    assert api.get(PATH).status == 410
    assert api.delete(PATH).json["damaged"] == 1
