"""Redaction, preambles, archives, seals, context windows and figures of a conversation, over HTTP."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.e2e.asking import (
    at_once,
    contents,
    create,
    eventually,
    history,
    path_of,
    problem,
    say,
    say_each,
    verified,
)


def redact(api: httpx.Client, made: str, message_id: str, reason: str = "a mistake") -> httpx.Response:
    return api.post(path_of(made, "messages", message_id, "redact"), json={"reason": reason})


def found(api: httpx.Client, word: str) -> list[str]:
    hits = api.post("/v1/memory/search", json={"query": word, "memorySpaceId": "home"}).json()["items"]
    return [hit["conversationRef"]["messageIds"][0] for hit in hits]


def test_a_redacted_message_is_gone_from_history_search_and_export(own: httpx.Client) -> None:
    made = create(own)
    say_each(own, made, "my flower is tulip", "what else", "nothing", "a daisy", metadata={"kind": "tulip"})
    eventually(lambda: "msg-001" in found(own, "tulip"))
    digests = verified(own, made)
    answer = redact(own, made, "msg-001")
    assert answer.status_code == 200
    assert answer.json() == {"messageId": "msg-001", "seq": 1, "status": "redacted"} | {
        "timestamp": answer.json()["timestamp"]
    }
    assert history(own, made)[0] == answer.json()
    assert own.get(path_of(made, "messages/msg-001")).json() == answer.json()
    assert own.post(path_of(made, "messages/get-many"), json={"messageIds": ["msg-001"]}).json()["items"] == [
        answer.json()
    ]
    assert contents(own, made, roles="user") == ["what else", "nothing", "a daisy"]
    assert "tulip is" not in own.get(path_of(made, "export"), params={"format": "json"}).text
    assert "my flower" not in own.get(path_of(made, "export"), params={"format": "json"}).text
    eventually(lambda: "msg-001" not in found(own, "tulip"))
    eventually(lambda: "flower" not in str(own.post("/v1/memory/search", json={"query": "flower"}).json()))
    assert found(own, "daisy")[0] == "msg-004"
    after = verified(own, made)
    assert (after["valid"], after["messageCount"]) == (True, digests["messageCount"])


def test_a_redacted_message_is_counted_and_its_neighbours_stay(own: httpx.Client) -> None:
    made = create(own)
    say(own, made, "one", "two", "three")
    redact(own, made, "msg-002")
    assert [message.get("content") for message in history(own, made)] == ["one", None, "three"]
    assert own.get(path_of(made)).json()["messageCount"] == 3
    assert say(own, made, "four")["messages"][0]["seq"] == 5


def test_redacting_again_changes_nothing(own: httpx.Client) -> None:
    made = create(own)
    say(own, made, "one")
    first = redact(own, made, "msg-001")
    entries = verified(own, made)["entries"]
    assert redact(own, made, "msg-001", "another reason").json() == first.json()
    assert verified(own, made)["entries"] == entries


def test_redacting_at_once_leaves_one_record(own: httpx.Client) -> None:
    made = create(own)
    say(own, made, "one")
    assert {answer.status_code for answer in at_once(8, lambda _: redact(own, made, "msg-001"))} == {200}
    assert (verified(own, made)["entries"], verified(own, made)["valid"]) == (3, True)


@pytest.mark.parametrize("message_id", ["msg-002", "msg-000", "x", "msg-1"])
def test_there_is_no_redacting_what_is_no_message(own: httpx.Client, message_id: str) -> None:
    made = create(own)
    say(own, made, "one")
    assert problem(redact(own, made, message_id))[:2] == (404, "MESSAGE_NOT_FOUND")
    assert verified(own, made)["entries"] == 2


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({}, "MISSING_REQUIRED_FIELD", "reason"),
        ({"reason": " "}, "MISSING_REQUIRED_FIELD", "reason"),
        ({"reason": 5}, "INVALID_FORMAT", "reason"),
        ({"reason": "x", "by": "y"}, "UNKNOWN_FIELD", "by"),
    ],
)
def test_a_redaction_needs_a_reason(own: httpx.Client, body: Any, code: str, field: str) -> None:
    made = create(own)
    say(own, made, "one")
    assert problem(own.post(path_of(made, "messages/msg-001/redact"), json=body)) == (422, code, field)
    assert contents(own, made) == ["one"]


def test_a_sealed_conversations_message_can_be_redacted(own: httpx.Client) -> None:
    made = create(own)
    say(own, made, "one")
    own.post(path_of(made, "seal"))
    assert redact(own, made, "msg-001").json()["status"] == "redacted"
    assert own.get(path_of(made)).json()["status"] == "sealed"


def test_a_retried_append_does_not_bring_redacted_words_back(own: httpx.Client) -> None:
    made = create(own)
    said, key = {"role": "user", "content": "tulip"}, {"Idempotency-Key": "k"}
    own.post(path_of(made, "messages"), json=said, headers=key)
    redact(own, made, "msg-001")
    again = own.post(path_of(made, "messages"), json=said, headers=key)
    assert again.headers["idempotent-replayed"] == "true"
    assert "tulip" not in again.text
    assert "tulip" not in str(history(own, made))


def test_a_preamble_stands_before_the_first_message_and_is_not_counted(own: httpx.Client) -> None:
    made = create(own)
    say_each(own, made, "one", "two")
    answer = own.post(path_of(made, "preamble"), json={"content": "so far", "metadata": {"by": "me"}})
    assert answer.status_code == 201
    assert (answer.json()["role"], answer.json()["content"], answer.json()["metadata"]) == (
        "system",
        "so far",
        {"by": "me"},
    )
    assert contents(own, made) == ["so far", "one", "two"]
    assert contents(own, made, order="desc") == ["two", "one", "so far"]
    assert own.get(path_of(made)).json()["messageCount"] == 2
    assert own.get(path_of(made, "messages")).json()["total"] == 2
    assert verified(own, made)["messageCount"] == 2
    assert say(own, made, "three")["messageCount"] == 3


def test_a_later_preamble_takes_the_place_of_an_earlier_one(own: httpx.Client) -> None:
    made = create(own)
    say(own, made, "one")
    for content in ("first", "second"):
        own.post(path_of(made, "preamble"), json={"content": content})
    assert contents(own, made) == ["second", "one"]


def test_a_preamble_sent_again_is_stored_once(own: httpx.Client) -> None:
    made, key = create(own), {"Idempotency-Key": "k"}
    first, again = (own.post(path_of(made, "preamble"), json={"content": "x"}, headers=key) for _ in range(2))
    assert (again.status_code, again.json(), again.headers["idempotent-replayed"]) == (201, first.json(), "true")
    assert verified(own, made)["entries"] == 2


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({}, "MISSING_REQUIRED_FIELD", "content"),
        ({"content": ""}, "MISSING_REQUIRED_FIELD", "content"),
        ({"content": 1}, "INVALID_FORMAT", "content"),
        ({"content": "x", "metadata": []}, "INVALID_FORMAT", "metadata"),
        ({"content": "x", "role": "user"}, "UNKNOWN_FIELD", "role"),
    ],
)
def test_a_preamble_that_cannot_be_is_refused(own: httpx.Client, body: Any, code: str, field: str) -> None:
    assert problem(own.post(path_of(create(own), "preamble"), json=body)) == (422, code, field)


def test_archived_messages_are_left_out_unless_they_are_asked_for(own: httpx.Client) -> None:
    made = create(own)
    say_each(own, made, *"abcde")
    assert own.post(path_of(made, "archive"), json={"before": 4}).json()["status"] == "active"
    assert contents(own, made) == ["d", "e"]
    assert contents(own, made, order="asc") == ["d", "e"]
    assert contents(own, made, order="asc", offset=1) == ["e"]
    shown = history(own, made, includeArchived="true")
    assert [message["content"] for message in shown] == list("abcde")
    assert [message.get("status") for message in shown] == ["archived"] * 3 + [None] * 2
    assert own.get(path_of(made)).json()["messageCount"] == 5
    assert verified(own, made)["valid"]
    assert own.get(path_of(made, "context"), params={"maxTokens": 1000}).json()["messages"][0]["content"] == "d"


def test_messages_older_than_a_time_are_archived(own: httpx.Client) -> None:
    made = create(own)
    for n in range(5):
        say(own, made, f"{n}", timestamp=1_750_000_000_000 + n)
    own.post(path_of(made, "archive"), json={"before": "2025-06-15T15:06:40.003Z"})
    assert contents(own, made) == ["3", "4"]


def test_archiving_all_of_it_archives_the_conversation(own: httpx.Client) -> None:
    made = create(own)
    say_each(own, made, "one", "two")
    answer = own.post(path_of(made, "archive"), json={"before": 1000})
    assert answer.json()["status"] == "archived"
    assert history(own, made) == []
    say(own, made, "three")
    assert own.get(path_of(made)).json()["status"] == "active"
    assert contents(own, made) == ["three"]


@pytest.mark.parametrize("before", [2, 1000, "2100-01-01T00:00:00Z"])
def test_archiving_again_changes_nothing(own: httpx.Client, before: Any) -> None:
    made = create(own)
    say_each(own, made, "one", "two")
    first = own.post(path_of(made, "archive"), json={"before": before})
    entries = verified(own, made)["entries"]
    again = own.post(path_of(made, "archive"), json={"before": before})
    assert (again.json(), again.headers["etag"]) == (first.json(), first.headers["etag"])
    assert verified(own, made)["entries"] == entries


def test_archiving_nothing_writes_nothing(own: httpx.Client) -> None:
    made = create(own)
    for before in (0, 1, 1000):
        assert own.post(path_of(made, "archive"), json={"before": before}).status_code == 200
    assert verified(own, made)["entries"] == 1


@pytest.mark.parametrize("before", ["soon", True, 1.5, [], {}, 10**21, "1" * 5000])
def test_a_point_that_is_none_is_refused(own: httpx.Client, before: Any) -> None:
    answer = own.post(path_of(create(own), "archive"), json={"before": before})
    assert problem(answer) == (422, "INVALID_FORMAT", "before")


def test_sealing_again_changes_nothing(own: httpx.Client) -> None:
    made = create(own)
    first = own.post(path_of(made, "seal"))
    again = own.post(path_of(made, "seal"))
    assert (first.json()["status"], again.json()) == ("sealed", first.json())
    assert verified(own, made)["entries"] == 2


def window(api: httpx.Client, made: str, tokens: int, **query: Any) -> dict[str, Any]:
    answer = api.get(path_of(made, "context"), params={"maxTokens": tokens, **query})
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()
    assert shown["tokens"] <= tokens
    return shown


def test_a_context_window_holds_the_newest_messages_that_fit(own: httpx.Client) -> None:
    made = create(own)
    for n in range(10):
        say(own, made, f"{n}" * 40)  # ten tokens and four around them
    for budget in range(1, 160, 7):
        shown = window(own, made, budget)
        fitting = min(budget // 14, 10)
        assert [message["seq"] for message in shown["messages"]] == list(range(11 - fitting, 11))
        assert shown["tokens"] == 14 * fitting
        assert shown["omitted"]["count"] == 10 - fitting


def test_a_message_over_the_whole_budget_is_left_out_and_named(own: httpx.Client) -> None:
    made = create(own)
    say_each(own, made, "old", "x" * 1000, "new")
    shown = window(own, made, 100)
    assert [message["content"] for message in shown["messages"]] == ["old", "new"]
    assert shown["omitted"] == {"count": 1, "tooLarge": ["msg-002"]}


def test_a_context_window_begins_with_the_preamble_where_that_is_asked_for(own: httpx.Client) -> None:
    made = create(own)
    say_each(own, made, "one", "two")
    own.post(path_of(made, "preamble"), json={"content": "so far"})
    shown = window(own, made, 100, includeSummary="true")
    assert [message["content"] for message in shown["messages"]] == ["so far", "one", "two"]
    assert [message["content"] for message in window(own, made, 100)["messages"]] == ["one", "two"]
    assert [message["content"] for message in window(own, made, 11, includeSummary="true")["messages"]] == [
        "so far",
        "two",
    ]


def test_a_preamble_over_the_whole_budget_is_left_out_and_named(own: httpx.Client) -> None:
    made = create(own)
    say(own, made, "one")
    own.post(path_of(made, "preamble"), json={"content": "x" * 1000})
    shown = window(own, made, 50, includeSummary="true")
    assert [message["content"] for message in shown["messages"]] == ["one"]
    assert shown["omitted"] == {"count": 0, "tooLarge": ["msg-002"]}


def test_a_tools_result_is_never_shown_without_its_call(own: httpx.Client) -> None:
    made = create(own)
    for role, content in [("user", "go"), ("assistant", "x" * 1000), ("tool", "result"), ("assistant", "done")]:
        own.post(path_of(made, "messages"), json={"role": role, "content": content})
    shown = window(own, made, 100)
    assert [message["role"] for message in shown["messages"]] == ["user", "assistant"]
    assert shown["omitted"] == {"count": 2, "tooLarge": ["msg-002"]}
    assert shown["tokens"] == 10
    redact(own, made, "msg-002")
    assert [message["role"] for message in window(own, made, 100)["messages"]] == ["user", "assistant"]


@pytest.mark.parametrize(
    ("query", "code", "field"),
    [
        ("", "MISSING_REQUIRED_FIELD", "maxTokens"),
        ("maxTokens=0", "INVALID_RANGE", "maxTokens"),
        ("maxTokens=-5", "INVALID_RANGE", "maxTokens"),
        ("maxTokens=x", "INVALID_FORMAT", "maxTokens"),
        ("maxTokens=9&includeSummary=1", "INVALID_FORMAT", "includeSummary"),
        ("maxTokens=9&nope=1", "UNKNOWN_FIELD", "nope"),
    ],
)
def test_a_context_window_that_cannot_be_is_refused(own: httpx.Client, query: str, code: str, field: str) -> None:
    assert problem(own.get(f"{path_of(create(own), 'context')}?{query}")) == (422, code, field)


def test_the_figures_of_a_conversation_follow_what_is_said_and_withdrawn(own: httpx.Client) -> None:
    made = create(own)
    asked = {"role": "user", "content": "x" * 40, "timestamp": 1_750_000_000_000, "metadata": {"topics": ["tulips"]}}
    answered = {"role": "assistant", "content": "y" * 20, "timestamp": 1_750_000_001_000}
    own.post(path_of(made, "messages"), json={"messages": [asked, answered]})
    figures = own.get(path_of(made, "analytics")).json()
    assert (figures["messageCount"], figures["byRole"]) == (2, {"user": 1, "assistant": 1})
    assert figures["tokens"] == {"user": 14, "assistant": 9, "total": 23}
    assert (figures["topics"], figures["turnsPerDay"]) == (["tulips"], {"2025-06-15": 1})
    assert 1000 <= figures["responseTimeMs"]["p50"] <= 1100
    redact(own, made, "msg-001")
    withdrawn = own.get(path_of(made, "analytics")).json()
    assert (withdrawn["messageCount"], withdrawn["byRole"]) == (2, {"redacted": 1, "assistant": 1})
    assert (withdrawn["topics"], withdrawn["turnsPerDay"]) == ([], {})
    say(own, made, "more")
    assert own.get(path_of(made, "analytics")).json()["messageCount"] == 3
