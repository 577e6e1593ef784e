"""Calls of tools and their results over the functions' real events: together, or named as left out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.api import Api
from tests.support.exchanges import (
    ASKED,
    REPLIED,
    anthropic_call,
    anthropic_result,
    bedrock_call,
    bedrock_result,
    gemini_call,
    gemini_result,
    item_call,
    item_result,
    openai_call,
    openai_result,
    ui_tool,
)
from tests.support.indexing import embedded_index

pytestmark = pytest.mark.usefixtures("moto")

CHAT = "/v1/conversations/chat"
RECALLED = {"memorySpaceId": "home", "userId": "ada", "query": "river", "conversationId": "chat"}


@pytest.fixture
def chat(api: Api, tmp_path: Path) -> Iterator[Api]:
    participants = {"memorySpaceId": "home", "userId": "ada"}
    body = {"conversationId": "chat", "type": "user-agent", "participants": participants}
    assert api.post("/v1/conversations", body).status == 201
    with embedded_index(tmp_path):
        yield api


def say(api: Api, *messages: Any) -> None:
    answer = api.post(f"{CHAT}/messages", {"messages": list(messages)})
    assert answer.status == 201, answer.body


def seqs(messages: Any) -> list[int]:
    return [message["seq"] for message in messages]


@pytest.mark.parametrize(
    ("call", "result"),
    [
        (openai_call("a", "b"), openai_result("a")),
        (anthropic_call("a", "b"), anthropic_result("a")),
        (bedrock_call("a", "b"), bedrock_result("a")),
        (gemini_call("look", "listen"), gemini_result("look")),
        (item_call("a"), item_result("b")),
    ],
)
def test_half_an_exchange_is_in_no_reader_and_named(chat: Api, call: Any, result: Any) -> None:
    say(chat, ASKED, call, result, REPLIED)
    window = chat.get(f"{CHAT}/context?maxTokens=1000").json
    assert (seqs(window["messages"]), window["total"], window["included"]) == ([1, 4], 4, 2)
    assert window["omitted"] == {"count": 2, "tooLarge": [], "unpaired": window["omitted"]["unpaired"]}
    assert sorted(window["omitted"]["unpaired"]) == ["msg-002", "msg-003"]
    runs = chat.get(f"{CHAT}/messages?lastRuns=1").json
    assert (seqs(runs["items"]), runs["unpaired"]) == ([1, 4], ["msg-002", "msg-003"])
    recalled = chat.post("/v1/memory/recall", RECALLED).json
    assert (seqs(recalled["history"]), recalled["omitted"]) == ([1, 4], {"history": 2})
    assert seqs(chat.get(f"{CHAT}/messages").json["items"]) == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("call", "result"),
    [
        (openai_call("a"), openai_result("a")),
        (anthropic_call("a"), anthropic_result("a")),
        (item_call("a"), item_result("a")),
    ],
)
def test_a_run_has_its_exchanges_whatever_role_brings_the_results(chat: Api, call: Any, result: Any) -> None:
    say(chat, ASKED, REPLIED, ASKED, call, result, REPLIED)
    runs = chat.get(f"{CHAT}/messages?lastRuns=1").json
    assert (seqs(runs["items"]), "unpaired" in runs) == ([3, 4, 5, 6], False)


@pytest.mark.parametrize(("before", "archived"), [(3, 1), (4, 1), (5, 4), (2, 1)])
def test_archiving_stops_before_an_exchange_that_it_would_cut(chat: Api, before: int, archived: int) -> None:
    say(chat, ASKED, openai_call("a", "b"), openai_result("a"), openai_result("b"), REPLIED)
    assert chat.post(f"{CHAT}/archive", {"before": before}).status == 200
    assert seqs(chat.get(f"{CHAT}/messages").json["items"]) == list(range(archived + 1, 6))
    assert chat.get(f"{CHAT}/context?maxTokens=1000").json["omitted"].get("unpaired") is None


def test_a_call_whose_result_is_still_to_come_is_not_archived(chat: Api) -> None:
    say(chat, ASKED, openai_call("a"))
    assert chat.post(f"{CHAT}/archive", {"before": 3}).status == 200
    say(chat, openai_result("a"), REPLIED)
    assert seqs(chat.get(f"{CHAT}/context?maxTokens=1000").json["messages"]) == [2, 4, 5]


def test_finished_turns_are_shown_without_calls_on_request(chat: Api) -> None:
    say(chat, ASKED, openai_call("a"), openai_result("a", "seen " * 100), REPLIED)
    say(chat, ASKED, ui_tool("output-available", "A river."))
    say(chat, ASKED, openai_call("b"), openai_result("b"))
    window = chat.get(f"{CHAT}/context?maxTokens=1000&toolCalls=unfinished").json
    assert seqs(window["messages"]) == [1, 4, 5, 6, 7, 8, 9]
    whole = chat.get(f"{CHAT}/context?maxTokens=1000&toolCalls=all").json
    assert whole["tokens"] - window["tokens"] == window["toolTokensSaved"] > 100
    recalled = chat.post("/v1/memory/recall", {**RECALLED, "toolCalls": "unfinished"}).json
    assert (seqs(recalled["history"]), recalled["toolTokensSaved"]) == (
        [1, 4, 5, 6, 7, 8, 9],
        window["toolTokensSaved"],
    )
    assert "toolTokensSaved" not in chat.post("/v1/memory/recall", RECALLED).json
    shaped = chat.get(f"{CHAT}/context?maxTokens=1000&toolCalls=unfinished&format=openai-chat").json
    assert shaped["toolTokensSaved"] == window["toolTokensSaved"]


@pytest.mark.parametrize("wrong", ["none", "", "ALL", "all,unfinished"])
def test_another_choice_of_calls_is_refused(chat: Api, wrong: str) -> None:
    assert chat.get(f"{CHAT}/context?maxTokens=9&toolCalls={wrong}").problem[::2] == (422, "toolCalls")
    assert chat.post("/v1/memory/recall", {**RECALLED, "toolCalls": wrong}).problem[::2] == (422, "toolCalls")
    turn = {"memorySpaceId": "home", "userId": "ada", "userMessage": "hi", "toolCalls": wrong}
    assert chat.post("/v1/memory/remember-stream", turn).problem[::2] == (422, "toolCalls")


def test_a_message_that_is_completed_stays_in_its_place(chat: Api) -> None:
    say(chat, ASKED, {**REPLIED, "status": "incomplete"})
    say(chat, ASKED, REPLIED)
    say(chat, {"role": "assistant", "content": "A river and a bridge.", "supersedes": "msg-002"})
    for query in ("", "&toolCalls=unfinished"):
        window = chat.get(f"{CHAT}/context?maxTokens=1000{query}").json
        assert [each["content"] for each in window["messages"]] == [
            "What is there?", "A river and a bridge.", "What is there?", "A river.",
        ]  # fmt: skip


def test_messages_with_large_parts_count_what_they_are_in_a_window(chat: Api) -> None:
    calls = openai_call(*"abcde", arguments={"text": "Call the landlord. " * 430})
    say(chat, ASKED, calls, *map(openai_result, "abcde"), REPLIED)
    window = chat.get(f"{CHAT}/context?maxTokens=5000").json
    assert (seqs(window["messages"]), window["omitted"]["tooLarge"]) == ([1, 8], ["msg-002"])
    assert window["omitted"]["count"] == 6
    assert 10_000 < chat.get(f"{CHAT}/context?maxTokens=50000").json["tokens"] < 14_000
    assert chat.get(f"{CHAT}/analytics").json["tokens"]["assistant"] > 10_000
