"""Lists of conversations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annals.conversations.heads import project_head
from annals.ledger.keys import conversation_pk
from annals.settings import settings as annals_settings
from tests.support.api import Api
from tests.support.ledgers import say

pytestmark = pytest.mark.usefixtures("module_moto")

TENANT = "lists"
LIST = "/v1/conversations"


@pytest.fixture(scope="module")
def more_shards() -> Iterator[Callable[[], None]]:
    """Spreads the lists over more shards from then on, until the module's end."""
    with pytest.MonkeyPatch.context() as patch:

        def spread() -> None:
            patch.setenv("TENANT_SHARDS", "10")
            patch.setenv("LIST_SHARDS", "3")
            annals_settings.cache_clear()

        yield spread
    annals_settings.cache_clear()


@pytest.fixture(scope="module", autouse=True)
def made(module_moto: None, more_shards: Callable[[], None]) -> list[dict[str, Any]]:
    """Conversations of several members, the newest activity first; some share their millisecond.

    The lists are given more shards when half of them are made.
    """
    api, now = Api.of(TENANT), 1_750_000_000_000
    with pytest.MonkeyPatch.context() as patch:
        for number in range(14):
            if number == 7:
                more_shards()
            patch.setattr("time.time_ns", lambda number=number: (now + number // 3) * 1_000_000)
            participants = {
                "userId": f"user-{number % 3}",
                "agentId": f"user-{number % 2}",
                "memorySpaceId": f"s{number % 2}",
            }
            name = f"conv-{number}"
            api.post(LIST, {"type": "user-agent", "participants": participants, "conversationId": name})
        for number in (3, 7, 7):
            patch.setattr("time.time_ns", lambda number=number: (now + 100 + number) * 1_000_000)
            say(TENANT, "word", conversation_id=f"conv-{number}")
            project_head(conversation_pk(TENANT, f"conv-{number}"))
    return [api.get(f"{LIST}/conv-{number}").json for number in range(14)]


def _activity(conversation: dict[str, Any]) -> str:
    return str(conversation["lastMessageAt"] or conversation["createdAt"])


def _follow(api: Api, query: dict[str, Any]) -> list[dict[str, Any]]:
    """All items of a list, over all of its pages."""
    items: list[dict[str, Any]] = []
    pages = 0
    while True:
        answer = api.get(f"{LIST}?{urlencode(query)}")
        assert answer.status == 200, answer.body
        assert len(answer.json["items"]) <= int(query.get("limit", 50))
        items += answer.json["items"]
        if "nextCursor" not in answer.json:
            return items
        query = {**query, "cursor": answer.json["nextCursor"]}
        pages += 1
        assert pages < 50


FILTERS: list[dict[str, str]] = [
    {},
    {"participants.userId": "user-1"},
    {"participants.agentId": "user-1"},
    {"participants.contains": "user-0"},
    {"participants.memorySpaceId": "s1"},
    {"participants.userId": "user-1", "participants.memorySpaceId": "s1"},
    {"type": "user-agent"},
    {"type": "agent-agent"},
    {"messageCount": "0"},
    {"messageCountMin": "1"},
    {"messageCountMax": "1", "messageCountMin": "1"},
    {"participants.userId": "nobody"},
]


def _matches(conversation: dict[str, Any], filters: dict[str, str]) -> bool:
    participants, count = conversation["participants"], conversation["messageCount"]
    checks = {
        "participants.userId": lambda expected: participants.get("userId") == expected,
        "participants.agentId": lambda expected: participants.get("agentId") == expected,
        "participants.contains": lambda expected: expected in (participants.get("userId"), participants.get("agentId")),
        "participants.memorySpaceId": lambda expected: participants.get("memorySpaceId") == expected,
        "type": lambda expected: conversation["type"] == expected,
        "messageCount": lambda expected: count == int(expected),
        "messageCountMin": lambda expected: count >= int(expected),
        "messageCountMax": lambda expected: count <= int(expected),
    }
    return all(checks[name](expected) for name, expected in filters.items())


@settings(max_examples=12)
@given(filters=st.sampled_from(FILTERS), limit=st.integers(1, 16))
def test_pages_walk_what_matches_once_the_newest_activity_first(
    made: list[dict[str, Any]], filters: dict[str, str], limit: int
) -> None:
    items = _follow(Api.of(TENANT), {**filters, "limit": limit})
    expected = [conversation for conversation in made if _matches(conversation, filters)]
    assert sorted(item["conversationId"] for item in items) == sorted(item["conversationId"] for item in expected)
    activity = [_activity(item) for item in items]
    assert activity == sorted(activity, reverse=True)


@settings(max_examples=10)
@given(
    filters=st.sampled_from(FILTERS),
    limit=st.integers(1, 16),
    sort_by=st.sampled_from(["createdAt", "updatedAt", "lastMessageAt", "messageCount"]),
    order=st.sampled_from(["asc", "desc"]),
)
def test_pages_walk_what_matches_once_in_any_order(
    made: list[dict[str, Any]], filters: dict[str, str], limit: int, sort_by: str, order: str
) -> None:
    items = _follow(Api.of(TENANT), {**filters, "limit": limit, "sortBy": sort_by, "sortOrder": order})
    expected = [conversation["conversationId"] for conversation in made if _matches(conversation, filters)]
    assert sorted(item["conversationId"] for item in items) == sorted(expected)
    values = [_activity(item) if sort_by == "lastMessageAt" else item[sort_by] for item in items]
    assert values == sorted(values, reverse=order == "desc")


def test_a_list_shows_what_get_shows(made: list[dict[str, Any]]) -> None:
    items = _follow(Api.of(TENANT), {})
    assert sorted(items, key=lambda item: item["conversationId"]) == sorted(
        made, key=lambda item: str(item["conversationId"])
    )


@pytest.mark.parametrize("filters", FILTERS)
def test_a_count_is_the_length_of_the_whole_list(filters: dict[str, str]) -> None:
    api = Api.of(TENANT)
    counted = api.get(f"{LIST}/count?{urlencode(filters)}")
    assert counted.json == {"count": len(_follow(api, filters))}


def test_a_caller_sees_the_conversations_of_its_spaces_only() -> None:
    for spaces, number in [({"s0"}, 7), ({"s0", "s1"}, 14), ({"none"}, 0), (set(), 0)]:
        assert len(_follow(Api.of(TENANT).limited(spaces=spaces), {"limit": 3})) == number
    limited = Api.of(TENANT).limited(spaces={"s0"})
    assert _follow(limited, {"participants.memorySpaceId": "s1"}) == []


def test_another_tenant_sees_none_of_them() -> None:
    assert _follow(Api.of("another"), {}) == []
    assert _follow(Api.of("lists#"), {"participants.userId": "user-1"}) == []


@pytest.mark.parametrize(
    ("query", "code", "field"),
    [
        ("limit=0", "INVALID_RANGE", "limit"),
        ("limit=-1", "INVALID_RANGE", "limit"),
        ("limit=1001", "INVALID_RANGE", "limit"),
        ("limit=x", "INVALID_FORMAT", "limit"),
        ("cursor=abc", "INVALID_CURSOR", "cursor"),
        ("cursor=bnVsbG51bGw", "INVALID_CURSOR", "cursor"),
        ("colour=red", "INVALID_FILTER", "colour"),
        ("type=bad", "INVALID_TYPE", "type"),
        ("status=bad", "INVALID_FILTER", "status"),
        ("messageCount=-1", "INVALID_RANGE", "messageCount"),
        ("createdAfter=yesterday", "INVALID_FORMAT", "createdAfter"),
        (
            "createdAfter=2025-01-02T00:00:00Z&createdBefore=2025-01-01T00:00:00Z",
            "INVALID_DATE_RANGE",
            "createdAfter",
        ),
    ],
)
def test_a_list_that_cannot_be_is_refused_by_name(query: str, code: str, field: str) -> None:
    assert Api.of(TENANT).get(f"{LIST}?{query}").problem == (422, code, field)


def test_a_cursor_of_a_history_is_none_of_a_list() -> None:
    api = Api.of(TENANT)
    cursor = api.get(f"{LIST}/conv-7/messages?limit=1").json["nextCursor"]
    assert api.get(f"{LIST}?cursor={cursor}").problem == (422, "INVALID_CURSOR", "cursor")


def test_listing_needs_the_scope_read() -> None:
    assert Api.of(TENANT).limited(scopes={"write"}).get(LIST).problem == (403, "FORBIDDEN", None)
