"""Conversations as lines of other programs' files: what the programs' own SDKs take, and what comes back as it was."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import botocore.session
import pytest
from anthropic.types import MessageParam, TextBlockParam
from botocore.validate import ParamValidator
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionMessageParam
from pydantic import TypeAdapter

from annals.formats.lines import LINE_FORMATS, present_line, read_line, write_line
from tests.support.conversations_made_up import conversations, conversations_of, odd_conversations, stored

OPENAI = TypeAdapter[Any](list[ChatCompletionMessageParam])
ANTHROPIC = TypeAdapter[Any](list[MessageParam])
ANTHROPIC_SYSTEM = TypeAdapter[Any](str | list[TextBlockParam])
CONVERSE = botocore.session.get_session().get_service_model("bedrock-runtime").operation_model("Converse").input_shape

OWN = {"openai": "openai-chat", "anthropic": "anthropic", "bedrock": "bedrock", "ai-sdk": "ai-sdk"}
"""The format of each provider's own messages."""


def line_of(name: str, messages: Sequence[Mapping[str, Any]]) -> Any:
    text = "".join(write_line(name, messages))
    return json.loads(text) if text else None


def again(line: Mapping[str, Any]) -> list[dict[str, Any]]:
    return stored(read_line(line) or [])


@pytest.mark.parametrize("name", LINE_FORMATS)
@settings(max_examples=30)
@given(messages=conversations)
def test_a_line_that_is_read_is_written_again_as_it_was(name: str, messages: list[dict[str, Any]]) -> None:
    line = line_of(name, stored(messages))
    assert line is None or line_of(name, again(line)) == line


@pytest.mark.parametrize("name", LINE_FORMATS)
@settings(max_examples=40)
@given(odd=odd_conversations)
def test_parts_that_no_provider_would_write_break_no_file(name: str, odd: list[dict[str, Any]]) -> None:
    messages = [{"messageId": f"msg-{seq:03}", "seq": seq, **each} for seq, each in enumerate(odd, start=1)]
    line = line_of(name, messages)
    assert line is None or line_of(name, again(line)) == line
    if line and name in REQUIRE:
        REQUIRE[name](line)


@pytest.mark.parametrize("shape", ["openai", "anthropic", "bedrock", "ai-sdk"])
@settings(max_examples=40)
@given(st.data())
def test_messages_of_a_format_s_own_come_back_exactly(shape: str, data: st.DataObject) -> None:
    messages = data.draw(conversations_of(shape))
    assert line_of(OWN[shape], stored(messages))["messages"] == messages


@pytest.mark.parametrize("name", ["openai-chat", "anthropic", "bedrock"])
@settings(max_examples=40)
@given(messages=conversations)
def test_a_provider_takes_every_line(name: str, messages: list[dict[str, Any]]) -> None:
    if line := line_of(name, stored(messages)):
        REQUIRE[name](line)


@settings(max_examples=30)
@given(conversations)
def test_sharegpt_has_what_the_model_gets_at_odd_places_and_what_it_says_at_even_ones(
    messages: list[dict[str, Any]],
) -> None:
    if line := line_of("sharegpt", stored(messages)):
        entries = line["conversations"]
        if entries[0]["from"] == "system":
            del entries[0]
        said = [entry["from"] in ("gpt", "function_call") for entry in entries]
        asked_after_result = [
            (before["from"], after["from"]) == ("observation", "human") for before, after in pairwise(entries)
        ]
        assert said[0] is False
        assert all(a != b or is_asked for (a, b), is_asked in zip(pairwise(said), asked_after_result, strict=True))


@settings(max_examples=40)
@given(conversations)
def test_an_answer_has_the_same_messages_as_a_line(messages: list[dict[str, Any]]) -> None:
    for name in LINE_FORMATS:
        line = line_of(name, stored(messages)) or {"messages": []}
        answer = {"messages": line.get("messages", line.get("conversations"))}
        assert present_line(name, stored(messages)) == answer | ({"system": line["system"]} if "system" in line else {})


def require_openai_s(line: dict[str, Any]) -> None:
    OPENAI.validate_python(line["messages"])
    require_answers_right_after_calls(line["messages"])


def require_anthropic_s(line: dict[str, Any]) -> None:
    ANTHROPIC.validate_python(line["messages"])
    ANTHROPIC_SYSTEM.validate_python(line.get("system", ""))
    require_turns(line["messages"])
    require_results_first(line["messages"], "tool_use", "tool_result")


def require_bedrock_s(line: dict[str, Any]) -> None:
    request = {"modelId": "m", **{name: line[name] for name in ("messages", "system") if name in line}}
    report = ParamValidator().validate(request, CONVERSE)
    assert not report.has_errors(), report.generate_report()
    require_turns(line["messages"])
    require_results_first(line["messages"], "toolUse", "toolResult")


REQUIRE = {"openai-chat": require_openai_s, "anthropic": require_anthropic_s, "bedrock": require_bedrock_s}
"""What a provider demands of a line."""


def require_turns(messages: list[dict[str, Any]]) -> None:
    roles = [message["role"] for message in messages]
    assert roles == [("user", "assistant")[index % 2] for index in range(len(roles))]
    assert all(message["content"] for message in messages)


def require_results_first(messages: list[dict[str, Any]], call: str, result: str) -> None:
    """Each call is answered at the beginning of the next message, in an id that nothing else has."""
    seen: set[str] = set()
    for message, following in zip(messages, [*messages[1:], None], strict=True):
        calls = ids_in(message, call)
        assert len({*calls}) == len(calls)
        assert seen.isdisjoint(calls)
        seen |= {*calls}
        if following is not None and message["role"] == "assistant":
            assert sorted(ids_in(following, result)) == sorted(calls)
            kinds = [kind_of(block) == result for block in blocks_in(following)]
            assert kinds == sorted(kinds, reverse=True)


def blocks_in(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [] if isinstance(message["content"], str) else message["content"]


def kind_of(block: Mapping[str, Any]) -> str:
    return str(block.get("type") or next(iter(block)))


def ids_in(message: Mapping[str, Any], kind: str) -> list[str]:
    found = [block.get(kind, block) for block in blocks_in(message) if kind_of(block) == kind]
    names = ("toolUseId", "tool_use_id", "id")
    return [next(block[name] for name in names if name in block) for block in found]


def require_answers_right_after_calls(messages: list[dict[str, Any]]) -> None:
    waiting: list[str] = []
    for message in messages:
        if message["role"] == "tool":
            waiting.remove(message["tool_call_id"])
        else:
            assert not waiting
            waiting = [call["id"] for call in message.get("tool_calls", ())]
