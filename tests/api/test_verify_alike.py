"""One verifier: whatever is changed of a stored conversation, the API and the command find it, and at the same seq."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from annals.conversations.genesis import get_genesis_entry
from annals.conversations.heads import project_head
from annals.database.dynamodb import client
from annals.database.state import delete_partition
from annals.ledger.keys import conversation_pk, entry_sk
from annals.ledger.offline import verify_lines
from annals.settings import settings as annals_settings
from tests.support.api import Api

pytestmark = pytest.mark.usefixtures("module_moto")

PATH = "/v1/conversations/conv-1"
LONG = "It is said again and again, and takes more room than a write unit. " * 40

Stored = dict[str, Any]
Mutation = tuple[str, tuple[Any, ...]]

OUTSIDE_THE_HASH = {"idem"}
"""What ``docs/ledger-format.md`` names as seen by nobody; it is not what was said, nor how it is found."""

OTHERS: list[Stored] = [
    {"S": "other"},
    {"N": "7"},
    {"B": b"other"},
    {"L": []},
    {"M": {}},
    {"NULL": True},
    {"BOOL": True},
    {"SS": ["other"]},
]
"""A value of each of DynamoDB's types."""


@pytest.fixture(scope="module")
def module_api(module_moto: None) -> Api:
    return Api.of("verified-alike")


@pytest.fixture(scope="module")
def stored(module_api: Api) -> list[Stored]:
    """The items of a conversation that has something of everything, as the table holds them."""
    api = module_api
    participants = {"userId": "ada", "agentId": "bot", "memorySpaceId": "work"}
    made = {"conversationId": "conv-1", "type": "user-agent", "participants": participants}
    messages = f"{PATH}/messages"
    assert api.post("/v1/conversations", made).status == 201
    assert api.post(messages, {"role": "user", "content": "hello"}, if_match='"0"', idempotency_key="k").status == 201
    threaded = [{"role": "user", "content": each, "threadId": "t"} for each in ("1", LONG, "3")]
    assert api.post(messages, {"messages": threaded}).status == 201
    assert api.post(f"{PATH}/preamble", {"content": "what came before"}).status == 201
    assert api.post(messages, {"role": "assistant", "content": LONG}).status == 201
    assert api.post(f"{messages}/msg-003/redact", {"reason": "asked for"}).status == 200
    assert api.post(f"{PATH}/archive", {"before": 2}).status == 200
    assert api.post(messages, {"role": "assistant", "content": "taken back"}).status == 201
    assert api.post(f"{PATH}/rewind", {"messages": 1}).status == 200
    assert api.post(f"{PATH}/seal").status == 200
    project_head(pk_of(api))
    return items_of(pk_of(api))


def pk_of(api: Api) -> str:
    return conversation_pk(api.caller.tenant, "conv-1")


def items_of(pk: str) -> list[Stored]:
    values: Any = {":pk": {"S": pk}}
    table = annals_settings().ledger_table
    result = client().query(TableName=table, KeyConditionExpression="pk = :pk", ExpressionAttributeValues=values)
    return list(result["Items"])


def restore(pk: str, items: list[Stored]) -> None:
    table = annals_settings().ledger_table
    remaining = {item["sk"]["S"] for item in items}
    for item in items_of(pk):
        if item["sk"]["S"] not in remaining:
            client().delete_item(TableName=table, Key={"pk": item["pk"], "sk": item["sk"]})
    for item in items:
        client().put_item(TableName=table, Item=item)
    get_genesis_entry.cache_clear()


def online(api: Api) -> tuple[bool, int | None]:
    answer = api.get(f"{PATH}/verify")
    assert answer.status == 200, answer.body
    assert answer.json["valid"] or answer.json["reason"]
    return answer.json["valid"], answer.json.get("firstBadSeq")


def offline(api: Api) -> tuple[bool, int | None]:
    answer = api.get(f"{PATH}/export?format=ledger")
    assert answer.status == 200, answer.body
    (checked,) = verify_lines(answer.body.splitlines())
    return checked.verification.valid, checked.verification.first_bad_seq


def test_what_was_appended_is_valid_for_both(module_api: Api, stored: list[Stored]) -> None:
    restore(pk_of(module_api), stored)
    assert online(module_api) == offline(module_api) == (True, None)


def test_a_body_that_is_gone_is_named_by_both(module_api: Api, stored: list[Stored]) -> None:
    changed = copy.deepcopy(stored)
    record = changed[2]["records"]["L"][2]["M"]
    del record["body"], record["salt"]
    restore(pk_of(module_api), changed)
    assert online(module_api) == offline(module_api) == (False, 4)


def test_a_redacted_body_that_is_there_again_is_named_by_both(module_api: Api, stored: list[Stored]) -> None:
    changed = copy.deepcopy(stored)
    redacted = changed[2]["records"]["L"][1]["M"]
    assert "body" not in redacted
    redacted |= {"body": {"S": "{}"}, "salt": {"B": bytes(16)}}
    restore(pk_of(module_api), changed)
    assert online(module_api) == offline(module_api) == (False, 3)


def paths_in(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where each attribute of an item is, at whatever depth."""
    parts = value.items() if isinstance(value, dict) else enumerate(value)
    for name, typed in parts:
        yield (*path, name)
        ((kind, inner),) = typed.items()
        if kind in ("M", "L"):
            yield from paths_in(inner, (*path, name, kind))


def holder(item: Stored, path: tuple[Any, ...]) -> Any:
    for part in path[:-1]:
        item = item[part]
    return item


def changed_value(typed: Stored, how: int) -> Stored:
    """Another value of the same type."""
    ((kind, value),) = typed.items()
    if kind == "N":
        return {"N": str(int(value) + 1 + how)}
    if kind == "S":
        return {"S": f"{value[: how % (len(value) + 1)]}x{value[how % (len(value) + 1) :]}"}
    if kind == "B":
        position = how % len(value)
        return {"B": value[:position] + bytes([value[position] ^ 1]) + value[position + 1 :]}
    if kind == "L":
        return {"L": [*value, *value[:1]]}
    return {"M": {**value, "other": {"S": "x"}}}


@st.composite
def mutations(draw: st.DrawFn, items: list[Stored]) -> list[Stored]:
    """The items of a conversation with one of them changed, removed, put in or moved."""
    changed = copy.deepcopy(items)
    position = draw(st.integers(0, len(changed) - 1))
    item = changed[position]
    paths = [path for path in paths_in(item) if path[0] not in {"pk", "sk"} | OUTSIDE_THE_HASH]
    path = draw(st.sampled_from(paths))
    inside = holder(item, path)
    how = draw(st.sampled_from(["remove", "retype", "change", "add", "drop", "copy", "put"]))
    if how == "remove":
        assume(path != ("said",))  # an entry of an earlier version has none: nobody can tell that it was taken away
        del inside[path[-1]]
    elif how == "retype":
        assume(path != ("records", "L", 0))  # moto looks for a name in whatever stands there, and falls over a text
        assume(path != ("thread",))  # no table takes an index key of another type
        ((kind, _),) = inside[path[-1]].items()
        inside[path[-1]] = draw(st.sampled_from([other for other in OTHERS if kind not in other]))
    elif how == "change":
        inside[path[-1]] = changed_value(inside[path[-1]], draw(st.integers(0, 300)))
    elif how == "add":
        target = draw(st.sampled_from([item, *(each["M"] for each in item["records"]["L"])]))
        target["other"] = draw(st.sampled_from(OTHERS))
    elif how == "drop":
        del changed[position]
    else:
        sk = draw(st.sampled_from([entry_sk(draw(st.integers(0, 50))), "E#7", "E#00000000000x", "A", "X#1", "HEAD"]))
        others = {each["sk"]["S"] for each in items}
        body = item if how == "copy" else {"pk": item["pk"]}
        if sk not in others:
            changed.append({**body, "sk": {"S": sk}})
        else:
            del changed[position]
    return changed


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_single_mutation_is_found_by_both_at_the_same_seq(
    module_api: Api, stored: list[Stored], data: st.DataObject
) -> None:
    changed = data.draw(mutations(stored))
    restore(pk_of(module_api), changed)
    result = online(module_api)
    assert result == offline(module_api)
    assert not result[0]
    assert result[1] is not None


def test_a_conversation_without_its_head_is_verified_alike(module_api: Api, stored: list[Stored]) -> None:
    restore(pk_of(module_api), stored)
    delete_partition(pk_of(module_api))
    assert online(module_api) == offline(module_api) == (True, None)
    project_head(pk_of(module_api))
