"""Rewinds: messages that are taken back by a later record, and all that reads what is left."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.api import Api, Reply
from tests.support.ledgers import new_conversation

pytestmark = pytest.mark.usefixtures("moto")

CHAT = "/v1/conversations/conv-1"
MESSAGES = f"{CHAT}/messages"


@pytest.fixture(autouse=True)
def conversation(tenant: str) -> str:
    return new_conversation(tenant)


def append(api: Api, *contents: str, **fields: Any) -> None:
    messages = [{"role": "user", "content": content, **fields} for content in contents]
    answer = api.post(MESSAGES, {"messages": messages})
    assert answer.status == 201, answer.json


def rewind(api: Api, **target: Any) -> Reply:
    answer = api.post(f"{CHAT}/rewind", target)
    assert answer.status == 200, answer.json
    return answer


def pop(api: Api) -> str | None:
    removed = rewind(api, messages=1).json["removed"]
    return removed[0]["content"] if removed else None


def shown(api: Api, query: str = "") -> list[str]:
    answer = api.get(f"{MESSAGES}?{query}" if query else MESSAGES)
    assert answer.status == 200, answer.json
    return [message["content"] for message in answer.json["items"]]


def test_a_pop_takes_back_the_newest_message_and_returns_it(api: Api) -> None:
    append(api, "one", "two")
    assert pop(api) == "two"
    assert shown(api) == ["one"]


def test_pops_take_back_one_message_after_another_and_then_nothing(api: Api) -> None:
    append(api, "one", "two")
    append(api, "three")
    assert [pop(api) for _ in range(4)] == ["three", "two", "one", None]
    assert shown(api) == []
    assert api.get(f"{CHAT}/verify").json["valid"]


def test_what_is_said_after_a_rewind_follows_what_is_left(api: Api) -> None:
    append(api, "one", "two", "three")
    rewind(api, toSeq=1)
    append(api, "other")
    assert shown(api) == ["one", "other"]
    rewind(api, messages=1)
    append(api, "another")
    assert shown(api) == ["one", "another"]


def test_a_cleared_conversation_goes_on_empty(api: Api) -> None:
    append(api, "one", "two")
    answer = rewind(api, toSeq=0)
    assert [message["content"] for message in answer.json["removed"]] == ["one", "two"]
    assert answer.json["total"] == 0
    assert answer.json["messageCount"] == 2
    assert shown(api) == []
    append(api, "again")
    assert shown(api) == ["again"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", "0 1 4 7 8"),
        ("order=asc", "0 1 4 7 8"),
        ("order=desc", "8 7 4 1 0"),
        ("limit=2", "7 8"),
        ("limit=3", "4 7 8"),
        ("order=asc&limit=3", "0 1 4"),
        ("order=desc&limit=4", "8 7 4 1"),
        ("offset=1", "0 1 4 7"),
        ("offset=2", "0 1 4"),
        ("order=asc&offset=2", "4 7 8"),
        ("order=asc&offset=5", ""),
        ("roles=user", "0 1 4 7 8"),
        ("lastRuns=2", "7 8"),
        ("lastRuns=3", "4 7 8"),
        ("includeRewound=true", "0 1 2 3 4 5 6 7 8"),
        ("includeRewound=true&limit=4", "5 6 7 8"),
        ("includeRewound=true&lastRuns=3", "6 7 8"),
    ],
)
def test_histories_leave_out_what_is_rewound(api: Api, query: str, expected: str) -> None:
    append(api, "0", "1", "2", "3")
    rewind(api, messages=2)
    append(api, "4")
    append(api, "5")
    append(api, "6")
    rewind(api, messages=1)
    rewind(api, messages=1)
    append(api, "7", "8")
    assert " ".join(shown(api, query)) == expected


def test_pages_of_a_history_hold_each_message_that_is_left_once(api: Api) -> None:
    said = []
    for number in range(30):
        append(api, *(f"{number}.{part}" for part in range(3)))
        rewind(api, messages=1 + number % 2)
        said += [f"{number}.{part}" for part in range(2 - number % 2)]
    for order in ("asc", "desc"):
        for limit in (1, 7, 50):
            read: list[str] = []
            query = f"order={order}&limit={limit}"
            for _ in range(100):
                answer = api.get(f"{MESSAGES}?{query}").json
                read += [message["content"] for message in answer["items"]]
                if "nextCursor" not in answer:
                    break
                query = f"order={order}&limit={limit}&cursor={answer['nextCursor']}"
            assert read == (said if order == "asc" else said[::-1])
            assert answer["total"] == len(said)


def test_messages_that_are_rewound_are_shown_on_demand_with_their_status(api: Api) -> None:
    append(api, "one", "two")
    rewind(api, messages=1)
    items = api.get(f"{MESSAGES}?includeRewound=true").json["items"]
    assert [message.get("status") for message in items] == [None, "rewound"]
    assert api.get(f"{MESSAGES}/msg-002").json["status"] == "rewound"
    assert "status" not in api.get(f"{MESSAGES}/msg-001").json


def test_a_rewind_leads_to_a_message_which_stays(api: Api) -> None:
    append(api, "one", "two", "three")
    rewind(api, messageId="msg-002")
    assert shown(api) == ["one", "two"]


def test_a_rewind_to_a_message_that_is_not_there_is_refused(api: Api) -> None:
    append(api, "one", "two")
    rewind(api, messages=1)
    for name in ("msg-002", "msg-009", "msg-003", "nonsense"):
        answer = api.post(f"{CHAT}/rewind", {"messageId": name})
        assert (answer.status, answer.json["code"]) == (404, "MESSAGE_NOT_FOUND"), name


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({}, "MISSING_REQUIRED_FIELD", "toSeq"),
        ({"toSeq": None}, "MISSING_REQUIRED_FIELD", "toSeq"),
        ({"toSeq": 1, "messages": 1}, "INVALID_FORMAT", "toSeq"),
        ({"toSeq": 99}, "INVALID_RANGE", "toSeq"),
        ({"toSeq": -1}, "INVALID_RANGE", "toSeq"),
        ({"messages": 0}, "INVALID_RANGE", "messages"),
        ({"messages": 1001}, "INVALID_RANGE", "messages"),
        ({"messages": 1, "more": 1}, "UNKNOWN_FIELD", "more"),
    ],
)
def test_a_rewind_to_nowhere_is_refused_and_takes_nothing_back(
    api: Api, body: dict[str, Any], code: str, field: str
) -> None:
    append(api, "one")
    answer = api.post(f"{CHAT}/rewind", body)
    assert answer.problem == (422, code, field)
    assert shown(api) == ["one"]


def test_a_rewind_beyond_the_first_message_takes_back_what_there_is(api: Api) -> None:
    append(api, "one", "two")
    assert len(rewind(api, messages=10).json["removed"]) == 2
    assert rewind(api, messages=10).json["removed"] == []


def test_nothing_to_take_back_stores_nothing(api: Api) -> None:
    append(api, "one")
    before = api.get(MESSAGES).headers["etag"]
    rewind(api, toSeq=1)
    assert api.get(MESSAGES).headers["etag"] == before


def test_a_pop_that_is_sent_again_with_its_key_pops_once(api: Api) -> None:
    append(api, "one", "two", "three")
    key = {"idempotency_key": "pop-1"}
    first = api.post(f"{CHAT}/rewind", {"messages": 1}, **key)
    again = api.post(f"{CHAT}/rewind", {"messages": 1}, **key)
    assert first.json == again.json
    assert again.headers["idempotent-replayed"] == "true"
    assert shown(api) == ["one", "two"]


def test_a_pop_with_an_old_if_match_is_refused(api: Api) -> None:
    append(api, "one", "two")
    answer = api.post(f"{CHAT}/rewind", {"messages": 1}, if_match='"1"')
    assert answer.status == 412
    assert api.post(f"{CHAT}/rewind", {"messages": 1}, if_match='"2"').status == 200


def test_a_sealed_conversation_takes_no_rewind(api: Api) -> None:
    append(api, "one")
    api.post(f"{CHAT}/seal")
    answer = api.post(f"{CHAT}/rewind", {"messages": 1})
    assert (answer.status, answer.json["code"]) == (409, "CONVERSATION_SEALED")


def test_the_external_id_of_a_rewound_message_is_free(api: Api) -> None:
    append(api, "one", externalId="a")
    rewind(api, messages=1)
    assert api.get(f"{MESSAGES}?externalId=a").json["items"] == []
    append(api, "one", externalId="a")
    append(api, "one", externalId="a")
    assert shown(api) == ["one"]
    assert api.get(f"{MESSAGES}?externalId=a").json["items"][0]["messageId"] == "msg-003"


def test_another_message_may_have_the_external_id_of_a_rewound_one(api: Api) -> None:
    append(api, "one", externalId="a")
    rewind(api, messages=1)
    append(api, "two", externalId="a")
    assert shown(api) == ["two"]


def test_an_append_that_is_sent_again_after_a_pop_is_not_stored_again(api: Api) -> None:
    message = {"role": "user", "content": "one", "externalId": "a"}
    key = {"idempotency_key": "append-1"}
    assert api.post(MESSAGES, message, **key).status == 201
    rewind(api, messages=1)
    assert api.post(MESSAGES, message, **key).headers["idempotent-replayed"] == "true"
    assert shown(api) == []
