"""What is remembered of users, over the functions' real events."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.support.api import Api
from tests.support.indexing import Stream, embedded_index

pytestmark = pytest.mark.usefixtures("moto")

ADA = "/v1/users/ada/memories"


@pytest.fixture
def stream(moto: None, tmp_path: Path) -> Iterator[Stream]:
    with embedded_index(tmp_path) as index:
        yield index


def remember(api: Api, memory: str, path: str = ADA, **more: Any) -> str:
    answer = api.post(path, {"memory": memory, **more})
    assert answer.status == 201, answer.body
    memory_id: str = answer.json["memoryId"]
    return memory_id


def path_of(memory_id: str) -> str:
    return f"{ADA}/{quote(memory_id, safe='')}"


def texts(answer: Any) -> list[str]:
    assert answer.status == 200, answer.body
    return [item["memory"] for item in answer.json["items"]]


def search(api: Api, **body: Any) -> list[str]:
    return texts(api.post(f"{ADA}/search", body))


def test_a_users_memory_comes_back_as_it_was_made(api: Api) -> None:
    body = {"topics": ["travel"], "input": "I like windows", "agentId": "a", "metadata": {"_x": [1.5, None]}}
    memory_id = remember(api, "Prefers window seats.", **body)

    (memory,) = api.get(ADA).json["items"]

    assert {name: memory[name] for name in body} == body
    assert (memory["memoryId"], memory["userId"], memory["version"]) == (memory_id, "ada", 1)


def test_a_list_is_consistent_and_newest_first_unless_said_otherwise(api: Api) -> None:
    for number in range(5):
        remember(api, f"Memory {number}.")
        assert texts(api.get(ADA))[0] == f"Memory {number}."

    assert texts(api.get(f"{ADA}?order=asc")) == [f"Memory {number}." for number in range(5)]


def test_a_cursor_walks_every_memory_once(api: Api) -> None:
    for number in range(5):
        remember(api, f"Memory {number}.")
    first = api.get(f"{ADA}?limit=2").json
    second = api.get(f"{ADA}?limit=2&cursor={first['nextCursor']}").json
    third = api.get(f"{ADA}?limit=2&cursor={second['nextCursor']}").json

    walked = [item["memory"] for page in (first, second, third) for item in page["items"]]
    assert walked == [f"Memory {number}." for number in (4, 3, 2, 1, 0)]
    assert "nextCursor" not in third
    assert api.get(f"/v1/users/bob/memories?cursor={first['nextCursor']}").problem[:2] == (422, "INVALID_CURSOR")


def test_a_list_can_be_of_one_agent_topic_or_space(api: Api) -> None:
    remember(api, "A.", agentId="a", topics=["t"])
    remember(api, "B.", agentId="b", memorySpaceId="home")

    assert texts(api.get(f"{ADA}?agentId=a")) == ["A."]
    assert texts(api.get(f"{ADA}?topic=t")) == ["A."]
    assert texts(api.get(f"{ADA}?memorySpaceId=home")) == ["B."]
    assert api.get(f"{ADA}?userId=bob").problem == (422, "UNKNOWN_FIELD", "userId")


def test_a_change_makes_a_version_and_keeps_the_one_before(api: Api) -> None:
    memory_id = remember(api, "Likes tea.", metadata={"keep": 1, "drop": 2})

    body = {"memory": "Likes coffee.", "topics": ["drinks"], "metadata": {"drop": None}}
    changed = api.patch(path_of(memory_id), body, if_match='"1"').json

    assert (changed["memory"], changed["topics"], changed["metadata"]) == ("Likes coffee.", ["drinks"], {"keep": 1})
    assert changed["version"] == 2
    versions = api.get(f"/v1/memories/{quote(memory_id, safe='')}/versions").json["items"]
    assert [version["content"] for version in versions] == ["Likes coffee.", "Likes tea."]
    assert api.patch(path_of(memory_id), {"memory": "x"}, if_match='"1"').problem[:2] == (412, "PRECONDITION_FAILED")


def test_a_change_that_says_nothing_is_refused(api: Api) -> None:
    assert api.patch(path_of(remember(api, "x")), {}).problem[:2] == (422, "MISSING_REQUIRED_FIELD")


@pytest.mark.parametrize("body", [{}, {"memory": " "}, {"memory": "x", "topics": [" "]}, {"memory": "x", "user": 1}])
def test_a_memory_that_says_nothing_or_too_much_is_refused(api: Api, body: dict[str, Any]) -> None:
    assert api.post(ADA, body).problem[0] == 422


def test_the_same_idempotency_key_stores_one_memory(api: Api) -> None:
    first = api.post(ADA, {"memory": "Once."}, idempotency_key="k")
    again = api.post(ADA, {"memory": "Once."}, idempotency_key="k")

    assert again.json == first.json
    assert again.headers["idempotent-replayed"] == "true"
    assert texts(api.get(ADA)) == ["Once."]


def test_a_memory_of_one_user_is_not_found_at_another(api: Api) -> None:
    memory_id = quote(remember(api, "Ada's."), safe="")

    for answer in (
        api.delete(f"/v1/users/bob/memories/{memory_id}"),
        api.patch(f"/v1/users/bob/memories/{memory_id}", {"memory": "x"}),
        api.delete(f"{ADA}/mem-1"),
    ):
        assert answer.problem[:2] == (404, "MEMORY_NOT_FOUND")
    assert texts(api.get(ADA)) == ["Ada's."]


def test_a_deleted_memory_is_gone(api: Api) -> None:
    memory_id = remember(api, "Gone.")

    assert api.delete(path_of(memory_id)).status == 204
    assert texts(api.get(ADA)) == []
    assert api.delete(path_of(memory_id)).problem[:2] == (404, "MEMORY_NOT_FOUND")


def test_clearing_deletes_the_memories_of_that_user_only(api: Api) -> None:
    for number in range(3):
        api.patch(path_of(remember(api, f"Memory {number}.")), {"memory": "Changed."})
    remember(api, "Bob's.", path="/v1/users/bob/memories")

    assert api.delete(ADA).json == {"count": 3}
    assert texts(api.get(ADA)) == []
    assert texts(api.get("/v1/users/bob/memories")) == ["Bob's."]


def test_the_last_and_the_first_come_in_the_order_of_time(api: Api) -> None:
    for number in range(5):
        remember(api, f"Memory {number}.")

    assert search(api, method="last_n", limit=2) == ["Memory 3.", "Memory 4."]
    assert search(api, method="first_n", limit=2) == ["Memory 0.", "Memory 1."]


def test_a_search_by_text_finds_all_words_in_whatever_case(api: Api) -> None:
    remember(api, "Ada loves GREEN tea.")
    remember(api, "Ada loves tea rooms.")
    remember(api, "Green teapots.")

    assert search(api, method="text", query="green TEA") == ["Ada loves GREEN tea."]
    assert search(api, method="text", query="tea ada") == ["Ada loves tea rooms.", "Ada loves GREEN tea."]


def test_a_search_by_meaning_finds_the_users_own_memories_and_no_deleted_one(api: Api, stream: Stream) -> None:
    deleted = remember(api, "Ada keeps bees at home.")
    remember(api, "Ada keeps bees in Porto.", topics=["bees"], agentId="a")
    remember(api, "Bob keeps bees.", path="/v1/users/bob/memories")
    api.post("/v1/memories", {"memorySpaceId": "home", "userId": "ada", "content": "An explicit memory of bees."})
    stream.deliver()
    api.delete(path_of(deleted))

    assert search(api, method="semantic", query="bees") == ["Ada keeps bees in Porto."]
    assert search(api, method="semantic", query="bees", topic="bees", agentId="a") == ["Ada keeps bees in Porto."]
    assert search(api, method="semantic", query="bees", agentId="b") == []
    stream.deliver()
    hits = api.post("/v1/memory/search", {"query": "bees", "filter": {"userId": "ada"}}).json["items"]
    assert {(hit["contentType"], hit["sourceType"]) for hit in hits} == {("custom", "user"), ("custom", "system")}
    assert deleted not in {hit["memoryId"] for hit in hits}


def test_a_search_by_words_or_meaning_needs_a_query(api: Api) -> None:
    for method in ("text", "semantic"):
        assert api.post(f"{ADA}/search", {"method": method}).problem == (422, "MISSING_REQUIRED_FIELD", "query")
    assert api.post(f"{ADA}/search", {"method": "best"}).problem[:2] == (422, "INVALID_FORMAT")
    assert api.post(f"{ADA}/search", {"limit": 0}).problem == (422, "INVALID_RANGE", "limit")


def test_topics_are_counted_the_most_frequent_first(api: Api) -> None:
    remember(api, "A.", topics=["tea", "home"])
    remember(api, "B.", topics=["tea"])

    topics = api.get(f"{ADA}/topics").json["items"]

    assert topics == [{"topic": "tea", "count": 2}, {"topic": "home", "count": 1}]


def test_a_key_of_some_spaces_sees_and_clears_only_what_is_in_them(api: Api) -> None:
    remember(api, "Without a space.")
    remember(api, "At home.", memorySpaceId="home")
    work = api.limited(spaces={"work"})
    assert work.post(ADA, {"memory": "x", "memorySpaceId": "home"}).problem[0] == 404
    assert work.post(ADA, {"memory": "x"}).problem[0] == 404
    remember(work, "At work.", memorySpaceId="work")

    assert texts(work.get(ADA)) == ["At work."]
    assert work.delete(ADA).json == {"count": 1}
    assert texts(api.get(ADA)) == ["At home.", "Without a space."]


@pytest.mark.parametrize("user", ["a:b", "x#UM#y", "a", "ü ñ", "50%"])
def test_odd_names_of_users_stay_apart(api: Api, user: str) -> None:
    path = f"/v1/users/{quote(user, safe='')}/memories"
    memory_id = remember(api, "Odd.", path=path)

    assert texts(api.get(path)) == ["Odd."]
    assert texts(api.get("/v1/users/y/memories")) == []
    assert api.delete(f"{path}/{quote(memory_id, safe='')}").status == 204


def test_another_tenants_user_of_the_same_name_is_another(api: Api) -> None:
    remember(api, "Ours.")

    assert texts(Api.of("another-tenant").get(ADA)) == []
