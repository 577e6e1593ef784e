"""Lists of conversations over HTTP: every filter alone and with every other, every order, cursors, counts.

What a list should hold is worked out here from plain dictionaries.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from itertools import combinations
from typing import Any

import httpx
import pytest

from tests.e2e.asking import create, eventually, key_of, listed, pages, path_of, problem, say, unique
from tests.e2e.servers import Server

Known = dict[str, Any]

LABELS: list[dict[str, Any]] = [
    {},
    {"tier": "gold", "size": 1, "tags": ["new", "large"], "nested": {"a": {"b": 5}}, "on": True},
    {"tier": "silver", "size": 2.5, "tags": ["large"], "nested": {"a": {"b": "5"}}, "on": False},
    {"tier": "gold", "size": "1", "tags": "new and large", "nested": {"a": 5}, "dotted.key": "x", "none": None},
]
PEOPLE = [
    {"userId": "ada", "memorySpaceId": "home"},
    {"userId": "ada", "agentId": "bot", "memorySpaceId": "work"},
    {"agentId": "bot", "memorySpaceId": "home"},
    {"userId": "bob", "agentId": "ada", "memorySpaceId": "work"},
    {"userId": "bot", "agentId": "bot", "memorySpaceId": "home"},
    {"agent1": "bot", "agent2": "ada", "memorySpaceId": "work"},
    {"agent1": "ada", "agent2": "eve"},
]


@pytest.fixture(scope="module")
def world(server: Server) -> Iterator[tuple[httpx.Client, list[Known]]]:
    """A tenant with 28 conversations of all kinds, and what is known of each."""
    with server.client() as root, server.client(key_of(root, unique("tenant"))) as client:
        ids = [create(client, people, metadata=labels) for people in PEOPLE for labels in LABELS]
        for place, made in enumerate(ids):
            for _ in range(place % 4):
                say(client, made, "hello")
            if place % 5 == 4:
                client.post(path_of(made, "seal"))
            if place % 7 == 5:
                client.post(path_of(made, "archive"), json={"before": 100})
            if place % 3 == 0:
                client.patch(path_of(made), json={"metadata": {"patched": place}})
        known = [client.get(path_of(made)).json() for made in ids]
        eventually(lambda: _by_id(client) == {each["conversationId"]: each for each in known})
        yield client, known


def _by_id(client: httpx.Client) -> dict[str, Known]:
    found = pages(client, "/v1/conversations", limit=1000)
    return {item["conversationId"]: item for page in found for item in page}


def has(*names: str, value: str) -> Callable[[Known], bool]:
    return lambda known: any(known["participants"].get(name) == value for name in names)


def at(known: Known, *path: str) -> Any:
    found: Any = known["metadata"]
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    return found


FILTERS: dict[str, tuple[dict[str, Any], Callable[[Known, list[Known]], bool]]] = {
    "type": ({"type": "agent-agent"}, lambda each, _: each["type"] == "agent-agent"),
    "user": ({"participants.userId": "ada"}, lambda each, _: has("userId", value="ada")(each)),
    "agent": ({"participants.agentId": "bot"}, lambda each, _: has("agentId", value="bot")(each)),
    "space": ({"participants.memorySpaceId": "work"}, lambda each, _: has("memorySpaceId", value="work")(each)),
    "agent1": ({"participants.agent1": "ada"}, lambda each, _: has("agent1", "agent2", value="ada")(each)),
    "agent2": ({"participants.agent2": "eve"}, lambda each, _: has("agent1", "agent2", value="eve")(each)),
    "contains": (
        {"participants.contains": "bot"},
        lambda each, _: has("userId", "agentId", "agent1", "agent2", value="bot")(each),
    ),
    "created after": ({"createdAfter": "createdAt"}, lambda each, all_: each["createdAt"] > middle(all_, "createdAt")),
    "created before": (
        {"createdBefore": "createdAt"},
        lambda each, all_: each["createdAt"] < middle(all_, "createdAt"),
    ),
    "said after": (
        {"lastMessageAfter": "lastMessageAt"},
        lambda each, all_: (each["lastMessageAt"] or "") > middle(all_, "lastMessageAt"),
    ),
    "said before": (
        {"lastMessageBefore": "lastMessageAt"},
        lambda each, all_: "" < (each["lastMessageAt"] or "") < middle(all_, "lastMessageAt"),
    ),
    "count": ({"messageCount": 2}, lambda each, _: each["messageCount"] == 2),
    "none said": ({"messageCount": 0}, lambda each, _: each["messageCount"] == 0),
    "at least": ({"messageCountMin": 2}, lambda each, _: each["messageCount"] >= 2),
    "at most": ({"messageCountMax": 1}, lambda each, _: each["messageCount"] <= 1),
    "word": ({"metadata.tier": "gold"}, lambda each, _: at(each, "tier") == "gold"),
    "number": ({"metadata.size": "1"}, lambda each, _: at(each, "size") in (1, "1")),
    "truth": ({"metadata.on": "true"}, lambda each, _: at(each, "on") is True),
    "nested": ({"metadata.nested.a.b": "5"}, lambda each, _: at(each, "nested", "a", "b") in (5, "5")),
    "dotted": ({"metadata.dotted.key": "x"}, lambda each, _: at(each, "dotted.key") == "x"),
    "unknown": ({"metadata.nowhere": "x"}, lambda each, _: False),
    "nobody": ({"participants.userId": "nobody"}, lambda each, _: False),
    "sealed": ({"status": "sealed"}, lambda each, _: each["status"] == "sealed"),
    "archived": ({"status": "archived"}, lambda each, _: each["status"] == "archived"),
    "active": ({"status": "active"}, lambda each, _: each["status"] == "active"),
}
MOMENTS = {"createdAt", "lastMessageAt"}


def middle(known: list[Known], name: str) -> str:
    """The middle one of some moments; it is one of them, so that "after" and "before" are seen to leave it out."""
    found = sorted(each[name] for each in known if each[name])
    return str(found[len(found) // 2])


def query_of(name: str, known: list[Known]) -> dict[str, Any]:
    query, _ = FILTERS[name]
    return {key: middle(known, value) if value in MOMENTS else value for key, value in query.items()}


def expected(known: list[Known], *names: str) -> set[str]:
    return {each["conversationId"] for each in known if all(FILTERS[name][1](each, known) for name in names)}


@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_leaves_what_it_says(world: tuple[httpx.Client, list[Known]], name: str) -> None:
    api, known = world
    found = listed(api, **query_of(name, known))
    assert (set(found), len(found)) == (expected(known, name), len(set(found)))


@pytest.mark.parametrize("name", FILTERS)
def test_a_count_is_the_length_of_the_list(world: tuple[httpx.Client, list[Known]], name: str) -> None:
    api, known = world
    counted = api.get("/v1/conversations/count", params=query_of(name, known))
    assert counted.json() == {"count": len(expected(known, name))}


PAIRS = [
    (first, second)
    for first, second in combinations(FILTERS, 2)
    if not FILTERS[first][0].keys() & FILTERS[second][0].keys()
    and {first, second} not in ({"created after", "created before"}, {"said after", "said before"})
]


@pytest.mark.parametrize("first", {one: None for one, _ in PAIRS})
def test_two_filters_leave_what_both_say_and_count_alike(world: tuple[httpx.Client, list[Known]], first: str) -> None:
    api, known = world
    for other in [other for one, other in PAIRS if one == first]:
        query = {**query_of(first, known), **query_of(other, known)}
        assert set(listed(api, **query)) == expected(known, first, other), other
        counted = api.get("/v1/conversations/count", params=query).json()
        assert counted == {"count": len(expected(known, first, other))}, other


def test_a_range_of_time_leaves_what_lies_between(world: tuple[httpx.Client, list[Known]]) -> None:
    api, known = world
    moments = sorted(each["createdAt"] for each in known)
    between = {"createdAfter": moments[5], "createdBefore": moments[15]}
    inside = {each["conversationId"] for each in known if moments[5] < each["createdAt"] < moments[15]}
    assert set(listed(api, **between)) == inside
    assert set(listed(api, **between, sortBy="createdAt", sortOrder="asc", limit=2)) == inside


@pytest.mark.parametrize("sort_by", ["lastMessageAt", "createdAt", "updatedAt", "messageCount"])
@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("query", [{}, {"participants.contains": "bot"}, {"participants.memorySpaceId": "home"}])
def test_a_list_is_sorted_by_any_key_both_ways(
    world: tuple[httpx.Client, list[Known]], sort_by: str, order: str, query: dict[str, str]
) -> None:
    api, known = world
    items = [
        item
        for page in pages(api, "/v1/conversations", limit=4, sortBy=sort_by, sortOrder=order, **query)
        for item in page
    ]
    keys = [item["createdAt"] if item[sort_by] is None else item[sort_by] for item in items]
    assert keys == sorted(keys, reverse=order == "desc")
    wanted = {each["conversationId"] for each in known} & set(listed(api, **query))
    assert (len(items), {item["conversationId"] for item in items}) == (len(wanted), wanted)


def test_a_lists_pages_hold_no_more_than_its_limit(world: tuple[httpx.Client, list[Known]]) -> None:
    api, known = world
    for limit in (1, 5, 27, 28, 1000):
        sizes = [len(page) for page in pages(api, "/v1/conversations", limit=limit)]
        assert max(sizes) <= limit
        assert sum(sizes) == len(known)


JSON_FILTERS: list[tuple[Any, Callable[[Known], bool]]] = [
    ({"type": "agent-agent"}, lambda each: each["type"] == "agent-agent"),
    ({"type": {"$in": ["agent-agent", "user-agent"]}}, lambda each: True),
    ({"participants": {"userId": "ada"}}, has("userId", value="ada")),
    ({"participants": {"userId": {"$eq": "ada"}}}, has("userId", value="ada")),
    (
        {"participants": {"userId": {"$in": ["ada", "bob"]}}},
        lambda each: each["participants"].get("userId") in ("ada", "bob"),
    ),
    ({"participants": {"$contains": "bot"}}, has("userId", "agentId", "agent1", "agent2", value="bot")),
    ({"participants": {"contains": "bot"}}, has("userId", "agentId", "agent1", "agent2", value="bot")),
    ({"participants.userId": "ada"}, has("userId", value="ada")),
    ({"participants": {"memorySpaceId": {"$in": ["work"]}}}, has("memorySpaceId", value="work")),
    ({"participants": {"agent1": "eve", "agent2": "ada"}}, has("agent1", "agent2", value="eve")),
    ({"messageCount": 3}, lambda each: each["messageCount"] == 3),
    ({"messageCount": {"$gte": 1, "$lte": 2}}, lambda each: 1 <= each["messageCount"] <= 2),
    ({"messageCount": {"$in": [0, 3]}}, lambda each: each["messageCount"] in (0, 3)),
    ({"messageCountMin": 3}, lambda each: each["messageCount"] >= 3),
    ({"metadata": {"tier": "gold", "size": 1}}, lambda each: at(each, "tier") == "gold" and at(each, "size") == 1),
    ({"metadata": {"tier": {"$in": ["silver", "x"]}}}, lambda each: at(each, "tier") == "silver"),
    ({"metadata": {"tags": {"$contains": "new"}}}, lambda each: "new" in (at(each, "tags") or "")),
    ({"metadata": {"size": {"$gte": 2}}}, lambda each: at(each, "size") == 2.5),
    ({"metadata": {"size": {"$lte": 2}}}, lambda each: at(each, "size") == 1),
    ({"metadata": {"nested": {"a": {"b": 5}}}}, lambda each: at(each, "nested", "a", "b") == 5),
    ({"metadata": {"on": False}}, lambda each: at(each, "on") is False),
    ({"metadata": {"on": 0}}, lambda each: False),
    ({"metadata": {"patched": {"$gte": 0}}}, lambda each: at(each, "patched") is not None),
    ({"status": {"$in": ["sealed", "archived"]}}, lambda each: each["status"] != "active"),
    (
        {"participants": {"contains": "ada"}, "messageCount": {"$gte": 1}, "metadata": {"tier": "gold"}},
        lambda each: (
            has("userId", "agentId", "agent1", "agent2", value="ada")(each)
            and each["messageCount"] >= 1
            and at(each, "tier") == "gold"
        ),
    ),
]


@pytest.mark.parametrize(("said", "keeps"), JSON_FILTERS, ids=[str(said) for said, _ in JSON_FILTERS])
def test_a_nested_filter_leaves_what_it_says(
    world: tuple[httpx.Client, list[Known]], said: Any, keeps: Callable[[Known], bool]
) -> None:
    api, known = world
    answer = api.post("/v1/conversations/delete-many", json={"filter": said, "dryRun": True})
    assert answer.status_code == 200, answer.text
    wanted = {each["conversationId"] for each in known if keeps(each)}
    assert set(answer.json()["conversationIds"]) == wanted
    assert answer.json()["count"] == len(wanted)


@pytest.mark.parametrize(("said", "keeps"), JSON_FILTERS[::3], ids=[str(said) for said, _ in JSON_FILTERS[::3]])
def test_a_search_of_conversations_finds_within_its_filter(
    world: tuple[httpx.Client, list[Known]], said: Any, keeps: Callable[[Known], bool]
) -> None:
    api, known = world
    wanted = {each["conversationId"] for each in known if keeps(each) and each["messageCount"]}
    asked = {"query": "hello", "filter": said, "consistent": True}
    found = api.post("/v1/conversations/search", json=asked).json()["items"]
    assert {hit["conversation"]["conversationId"] for hit in found} == wanted


@pytest.mark.parametrize(
    ("said", "code", "field"),
    [
        ({"nope": 1}, "INVALID_FILTER", "filter.nope"),
        ({"participants": {"name": "x"}}, "INVALID_FILTER", "filter.participants.name"),
        ({"participants": {"userId": 5}}, "INVALID_FILTER", "filter.participants.userId"),
        ({"participants": {"userId": None}}, "INVALID_FILTER", "filter.participants.userId"),
        ({"participants": {"userId": ["ada"]}}, "INVALID_FILTER", "filter.participants.userId"),
        ({"participants": {"userId": {"$in": [5]}}}, "INVALID_FILTER", "filter.participants.userId"),
        ({"participants": {"userId": "x" * 3000}}, "INVALID_FILTER", "filter.participants.userId"),
        ({"participants": {"memorySpaceId": True}}, "INVALID_FILTER", "filter.participants.memorySpaceId"),
        ({"participants": {"$contains": 7}}, "INVALID_FILTER", "filter.participants"),
        ({"participants": "ada"}, "INVALID_FILTER", "filter.participants"),
        ({"messageCount": "x"}, "INVALID_RANGE", "filter.messageCount"),
        ({"messageCount": True}, "INVALID_RANGE", "filter.messageCount"),
        ({"messageCount": {"$gte": None}}, "INVALID_FILTER", "filter.messageCount"),
        ({"messageCount": {"$between": 1}}, "INVALID_FILTER", "filter.messageCount"),
        ({"messageCount": {"$in": 1}}, "INVALID_FILTER", "filter.messageCount"),
        ({"metadata": {"x": {"$regex": "."}}}, "INVALID_FILTER", "filter.metadata.x"),
        ({"metadata": {"x": {"$in": "x"}}}, "INVALID_FILTER", "filter.metadata.x"),
        ({"participants": {}}, "INVALID_FILTER", "filter.participants"),
        ({"metadata": {"x": {}}}, "INVALID_FILTER", "filter.metadata.x"),
        ({"$eq": 1}, "INVALID_FILTER", "filter"),
        ({"type": "bad"}, "INVALID_TYPE", "filter.type"),
        ({"type": ["user-agent"]}, "INVALID_TYPE", "filter.type"),
        ({"status": {"$in": ["x"]}}, "INVALID_FILTER", "filter.status"),
        ({"createdAfter": {}}, "INVALID_FILTER", "filter.createdAfter"),
        ({"createdAfter": "x"}, "INVALID_FORMAT", "filter.createdAfter"),
        ({"createdAfter": 1714557601, "createdBefore": 1714557600}, "INVALID_DATE_RANGE", "filter.createdAfter"),
    ],
)
def test_a_nested_filter_that_cannot_be_is_refused(own: httpx.Client, said: Any, code: str, field: str) -> None:
    for path, more in (("delete-many", {"confirm": True}), ("search", {"query": "x"})):
        answer = own.post(f"/v1/conversations/{path}", json={"filter": said, **more})
        assert problem(answer) == (422, code, field), path


def test_a_participant_with_too_long_a_name_is_refused(own: httpx.Client) -> None:
    for name in ("userId", "contains", "memorySpaceId"):
        for path in ("", "/count"):
            answer = own.get(f"/v1/conversations{path}", params={f"participants.{name}": "x" * 3000})
            assert problem(answer)[:2] == (422, "INVALID_FILTER")


def test_a_conversation_without_messages_is_neither_before_nor_after_a_message(own: httpx.Client) -> None:
    create(own)
    eventually(lambda: len(listed(own)) == 1)
    for name in ("lastMessageAfter", "lastMessageBefore"):
        assert listed(own, **{name: "2000-01-01T00:00:00Z" if name.endswith("After") else "2100-01-01T00:00:00Z"}) == []


@pytest.mark.parametrize("sort_by", ["lastMessageAt", "createdAt", "messageCount"])
def test_a_walk_shows_each_once_while_others_arrive(own: httpx.Client, sort_by: str) -> None:
    before = [create(own) for _ in range(30)]
    eventually(lambda: len(listed(own)) == 30)
    done = threading.Event()
    writer = threading.Thread(target=lambda: [done.is_set() or create(own) for _ in range(60)])
    writer.start()
    try:
        walked = listed(own, limit=3, sortBy=sort_by)
    finally:
        done.set()
        writer.join()
    assert len(walked) == len(set(walked))
    assert set(before) <= set(walked)


def test_an_erased_conversation_leaves_a_walk_whole(own: httpx.Client) -> None:
    made = [create(own) for _ in range(9)]
    eventually(lambda: len(listed(own)) == 9)
    first = own.get("/v1/conversations", params={"limit": 4}).json()
    last = first["items"][-1]["conversationId"]
    own.delete(path_of(last))
    rest = listed(own, limit=4, cursor=first["nextCursor"])
    assert {item["conversationId"] for item in first["items"]} | set(rest) == set(made)
