"""Reading over HTTP: pages of a history in any direction, filters, runs, threads, messages by their ids."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.e2e.asking import contents, create, history, pages, path_of, problem, say, say_each, seqs


@pytest.fixture(scope="module")
def ten(server: Any) -> Any:
    """A client and a conversation with ten messages: five entries of one, then one of five."""
    with server.client() as client:
        made = create(client)
        say_each(client, made, *(f"{n}" for n in range(1, 6)))
        say(client, made, *(f"{n}" for n in range(6, 11)))
        yield client, made


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", list(range(1, 11))),
        ("limit=3", [8, 9, 10]),
        ("limit=3&order=desc", [10, 9, 8]),
        ("limit=3&order=asc", [1, 2, 3]),
        ("limit=3&offset=3&order=asc", [4, 5, 6]),
        ("limit=3&offset=3&order=desc", [7, 6, 5]),
        ("limit=3&offset=3", [5, 6, 7]),
        ("limit=3&offset=9", [1]),
        ("offset=100", []),
        ("offset=100&order=asc", []),
        ("offset=100&order=desc", []),
        ("offset=10", []),
        ("after=7", [8, 9, 10]),
        ("after=2&limit=3", [3, 4, 5]),
        ("after=0&limit=2", [1, 2]),
        ("after=10", []),
        ("after=999999999999", []),
        ("after=7&order=desc", [10, 9, 8]),
        ("after=2&offset=2&limit=2", [5, 6]),
        ("before=4", [1, 2, 3]),
        ("before=4&limit=2", [2, 3]),
        ("before=8&limit=2", [6, 7]),
        ("before=4&order=asc&limit=2", [1, 2]),
        ("before=4&order=desc&limit=2", [3, 2]),
        ("before=0", []),
        ("before=1", []),
        ("after=3&before=6", [4, 5]),
        ("after=6&before=9", [7, 8]),
        ("after=3&before=6&order=desc", [5, 4]),
        ("limit=1", [10]),
        ("limit=1000", list(range(1, 11))),
        ("order=asc&offset=7&limit=2", [8, 9]),
        ("roles=user&limit=2", [9, 10]),
        ("roles=assistant", []),
        ("roles=user,assistant&order=asc&limit=1", [1]),
        ("roles=user&offset=2&limit=2", [7, 8]),
    ],
)
def test_a_page_holds_what_its_query_says(ten: Any, query: str, expected: list[int]) -> None:
    api, made = ten
    answer = api.get(f"{path_of(made, 'messages')}?{query}")
    assert answer.status_code == 200, answer.text
    assert [message["seq"] for message in answer.json()["items"]] == expected
    assert answer.json()["total"] == 10
    assert answer.headers["etag"] == '"10"'


@pytest.mark.parametrize(
    ("query", "walked"),
    [
        ("", [[8, 9, 10], [5, 6, 7], [2, 3, 4], [1]]),
        ("order=desc", [[10, 9, 8], [7, 6, 5], [4, 3, 2], [1]]),
        ("order=asc", [[1, 2, 3], [4, 5, 6], [7, 8, 9], [10]]),
        ("after=4", [[5, 6, 7], [8, 9, 10]]),
        ("before=6", [[3, 4, 5], [1, 2]]),
        ("after=2&before=9&order=desc", [[8, 7, 6], [5, 4, 3]]),
        ("offset=2&order=asc", [[3, 4, 5], [6, 7, 8], [9, 10]]),
        ("offset=2", [[6, 7, 8], [3, 4, 5], [1, 2]]),
        ("roles=user&order=asc", [[1, 2, 3], [4, 5, 6], [7, 8, 9], [10]]),
        ("roles=user&offset=8", [[1, 2]]),
    ],
)
def test_a_cursor_goes_on_where_the_page_ended(ten: Any, query: str, walked: list[list[int]]) -> None:
    api, made = ten
    parameters = dict(pair.split("=") for pair in query.split("&") if pair)
    found = [[each["seq"] for each in page] for page in pages(api, path_of(made, "messages"), limit=3, **parameters)]
    assert [page for page in found if page] == walked


def test_a_cursor_does_not_move_when_messages_arrive(own: httpx.Client) -> None:
    made = create(own)
    say_each(own, made, *"abcdef")
    first = own.get(path_of(made, "messages"), params={"limit": 2}).json()
    say_each(own, made, *"xyz")
    assert contents(own, made, limit=2, cursor=first["nextCursor"]) == ["c", "d"]


@pytest.mark.parametrize(
    ("query", "code", "field"),
    [
        ("limit=0", "INVALID_RANGE", "limit"),
        ("limit=-1", "INVALID_RANGE", "limit"),
        ("limit=1001", "INVALID_RANGE", "limit"),
        ("limit=x", "INVALID_FORMAT", "limit"),
        ("offset=-1", "INVALID_RANGE", "offset"),
        ("offset=1e3", "INVALID_FORMAT", "offset"),
        ("after=-1", "INVALID_RANGE", "after"),
        ("before=-1", "INVALID_RANGE", "before"),
        ("before=9999999999999", "INVALID_RANGE", "before"),
        ("order=up", "INVALID_FORMAT", "order"),
        ("roles=bot", "INVALID_ROLE", "roles"),
        ("roles=user,bot", "INVALID_ROLE", "roles"),
        ("lastRuns=0", "INVALID_RANGE", "lastRuns"),
        ("lastRuns=101", "INVALID_RANGE", "lastRuns"),
        ("since=yesterday", "INVALID_FORMAT", "since"),
        ("until=2025-01-01T00:00:00", "INVALID_FORMAT", "until"),
        ("since=1714557601&until=1714557600", "INVALID_DATE_RANGE", "since"),
        ("since=1714557600&until=1714557600000", "INVALID_DATE_RANGE", "since"),
        ("includeArchived=yes", "INVALID_FORMAT", "includeArchived"),
        ("cursor=x", "INVALID_CURSOR", "cursor"),
        ("cursor=%00", "INVALID_CURSOR", "cursor"),
        ("cursor=" + "W10" * 1000, "INVALID_CURSOR", "cursor"),
        ("tenant=local", "UNKNOWN_FIELD", "tenant"),
        ("thread=x", "UNKNOWN_FIELD", "thread"),
        ("threadid=x", "UNKNOWN_FIELD", "threadid"),
    ],
)
def test_a_query_that_cannot_be_is_refused_by_name(ten: Any, query: str, code: str, field: str) -> None:
    api, made = ten
    assert problem(api.get(f"{path_of(made, 'messages')}?{query}")) == (422, code, field)


def test_a_list_of_conversations_gives_no_cursor_for_a_history(ten: Any) -> None:
    api, made = ten
    create(api)
    cursor = api.get(path_of(made, "messages"), params={"limit": 1}).json()["nextCursor"]
    assert problem(api.get("/v1/conversations", params={"cursor": cursor}))[1] == "INVALID_CURSOR"


@pytest.fixture
def mixed(own: httpx.Client) -> tuple[httpx.Client, str]:
    """A conversation whose messages differ in role, thread, run and time."""
    made = create(own)
    for n, (role, thread, run) in enumerate(
        [
            ("user", "a", None),
            ("assistant", "a", "r1"),
            ("user", "b", None),
            ("tool", "b", "r2"),
            ("system", None, "r2"),
        ],
        start=1,
    ):
        said = {"role": role, "content": f"{n}", "threadId": thread, "runId": run, "timestamp": 1_750_000_000_000 + n}
        body = {name: value for name, value in said.items() if value is not None}
        assert own.post(path_of(made, "messages"), json=body).status_code == 201
    return own, made


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"roles": "user"}, [1, 3]),
        ({"roles": "agent"}, [2]),
        ({"roles": "user,tool"}, [1, 3, 4]),
        ({"roles": "user, tool"}, [1, 3, 4]),
        ({"threadId": "a"}, [1, 2]),
        ({"threadId": "nowhere"}, []),
        ({"runId": "r2"}, [4, 5]),
        ({"runId": "nowhere"}, []),
        ({"since": 1_750_000_000_003}, [3, 4, 5]),
        ({"until": 1_750_000_000_003}, [1, 2, 3]),
        ({"since": "2025-06-15T15:06:40.002Z", "until": "2025-06-15T15:06:40.004Z"}, [2, 3, 4]),
        ({"since": "2025-06-15T17:06:40.002+02:00", "until": 1_750_000_000_003}, [2, 3]),
        ({"threadId": "b", "roles": "tool"}, [4]),
        ({"threadId": "b", "runId": "r2", "roles": "tool", "since": 1_750_000_000_004}, [4]),
        ({"threadId": "a", "order": "desc"}, [2, 1]),
        ({"threadId": "b", "limit": 1}, [4]),
        ({"roles": "user", "order": "asc", "limit": 1, "offset": 1}, [3]),
    ],
)
def test_a_history_is_filtered(mixed: tuple[httpx.Client, str], query: dict[str, Any], expected: list[int]) -> None:
    api, made = mixed
    assert seqs(api, made, **query) == expected


def test_a_filtered_history_is_walked_to_its_end(mixed: tuple[httpx.Client, str]) -> None:
    api, made = mixed
    walked = [each["seq"] for page in pages(api, path_of(made, "messages"), roles="user", limit=1) for each in page]
    assert walked == [3, 1]


def test_a_thread_with_hard_characters_is_found(own: httpx.Client) -> None:
    made = create(own)
    for thread in ("a#b%", "é +&="):
        say(own, made, thread, threadId=thread)
        assert contents(own, made, threadId=thread) == [thread]


def run(api: httpx.Client, made: str, *messages: tuple[str, str | None]) -> None:
    """Append messages, each with its role and run."""
    for role, name in messages:
        body = {"role": role, "content": role, **({"runId": name} if name else {})}
        assert api.post(path_of(made, "messages"), json=body).status_code == 201


def test_the_last_runs_are_whole(own: httpx.Client) -> None:
    made = create(own)
    for name in ("r1", "r2", "r3", "r4"):
        run(own, made, ("user", name), ("assistant", name), ("tool", name), ("assistant", name))
    assert seqs(own, made, lastRuns=3) == list(range(5, 17))
    assert seqs(own, made, lastRuns=1) == [13, 14, 15, 16]
    assert seqs(own, made, lastRuns=100) == list(range(1, 17))
    assert seqs(own, made, lastRuns=2, roles="tool") == [11, 15]


def test_a_turn_without_a_run_counts_as_one(own: httpx.Client) -> None:
    made = create(own)
    for _ in range(3):
        run(own, made, ("user", None), ("assistant", None), ("tool", None), ("assistant", None))
    assert seqs(own, made, lastRuns=1) == [9, 10, 11, 12]
    assert seqs(own, made, lastRuns=2) == list(range(5, 13))


def test_a_tools_result_stays_with_its_call_where_only_the_call_names_its_run(own: httpx.Client) -> None:
    made = create(own)
    run(own, made, ("user", None), ("assistant", "r1"), ("tool", None), ("tool", None))
    assert seqs(own, made, lastRuns=1) == [2, 3, 4]


def test_the_last_runs_begin_behind_what_is_archived_in_the_middle_of_an_entry(own: httpx.Client) -> None:
    made = create(own)
    say(own, made, *"abcdef")
    own.post(path_of(made, "archive"), json={"before": 4})
    assert seqs(own, made, lastRuns=100) == [4, 5, 6]
    assert seqs(own, made, lastRuns=100, includeArchived="true") == [1, 2, 3, 4, 5, 6]


def test_one_message_is_found_by_its_id(ten: Any) -> None:
    api, made = ten
    answer = api.get(path_of(made, "messages", "msg-007"))
    assert (answer.status_code, answer.json()["content"]) == (200, "7")


@pytest.mark.parametrize("name", ["msg-011", "msg-000", "msg-7", "msg-0007", "7", "nope", "msg-%20", "MSG-007"])
def test_a_message_that_there_is_not_is_not_found(ten: Any, name: str) -> None:
    api, made = ten
    assert problem(api.get(path_of(made, "messages") + f"/{name}"))[:2] == (404, "MESSAGE_NOT_FOUND")


def test_a_message_of_no_conversation_is_not_found(own: httpx.Client) -> None:
    assert problem(own.get(path_of("nowhere", "messages", "msg-001")))[:2] == (404, "CONVERSATION_NOT_FOUND")


def test_many_messages_come_in_stored_order_without_the_unknown(ten: Any) -> None:
    api, made = ten
    asked = {"messageIds": ["msg-009", "msg-777", "msg-002", "x", "msg-007"]}
    answer = api.post(path_of(made, "messages", "get-many"), json=asked)
    assert [message["seq"] for message in answer.json()["items"]] == [2, 7, 9]


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({"messageIds": []}, "EMPTY_ARRAY", "messageIds"),
        ({"messageIds": ["msg-001", "msg-001"]}, "DUPLICATE_VALUES", "messageIds"),
        ({"messageIds": "msg-001"}, "INVALID_FORMAT", "messageIds"),
        ({"messageIds": None}, "INVALID_FORMAT", "messageIds"),
        ({"messageIds": [1]}, "INVALID_FORMAT", "messageIds[0]"),
        ({"messageIds": [f"msg-{n:03d}" for n in range(1001)]}, "INVALID_RANGE", "messageIds"),
        ({}, "MISSING_REQUIRED_FIELD", "messageIds"),
        ({"messageIds": ["msg-001"], "limit": 1}, "UNKNOWN_FIELD", "limit"),
    ],
)
def test_a_list_of_ids_that_cannot_be_is_refused(ten: Any, body: Any, code: str, field: str) -> None:
    api, made = ten
    assert problem(api.post(path_of(made, "messages", "get-many"), json=body)) == (422, code, field)


def test_an_empty_history_is_a_list(own: httpx.Client) -> None:
    answer = own.get(path_of(create(own), "messages"))
    assert (answer.json(), answer.headers["etag"]) == ({"items": [], "total": 0}, '"0"')


def test_a_page_of_large_messages_ends_early_and_goes_on(own: httpx.Client) -> None:
    made = create(own)
    for n in range(15):
        say(own, made, f"{n} " + "x" * 380_000)
    sizes = [[each["seq"] for each in page] for page in pages(own, path_of(made, "messages"), limit=1000)]
    assert len(sizes) > 1
    assert [seq for page in reversed(sizes) for seq in page] == list(range(1, 16))
    assert history(own, made, limit=1)[0]["content"].startswith("14 ")
