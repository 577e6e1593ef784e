"""Exports as the AI SDK takes them: what its own functions made of some, and of any where the package is there."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annals.formats.lines import present_line
from tests.support.conversations_made_up import conversations, stored
from tests.support.node import node, packages

FIXTURES = Path(__file__).parents[2] / "support/fixtures/ai_sdk"
EXPORTED = json.loads((FIXTURES / "exported.json").read_text())
PACKAGES = ("ai@7.0.173", "zod@4.6.7")


def to_model_messages(conversations: list[list[dict[str, Any]]]) -> list[list[dict[str, Any]]]:
    """What the AI SDK makes of UI messages, once it has checked them."""
    command = [node(), str(FIXTURES / "validate.mjs"), str(packages(*PACKAGES))]
    done = subprocess.run(command, input=json.dumps(conversations), capture_output=True, text=True, timeout=60)  # noqa: S603
    assert done.returncode == 0, done.stderr
    converted: list[list[dict[str, Any]]] = json.loads(done.stdout)
    return converted


def parts_of(messages: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [
        part
        for message in messages
        if isinstance(message["content"], list)
        for part in message["content"]
        if part["type"] == kind
    ]


@pytest.mark.parametrize("example", EXPORTED, ids=lambda example: example["name"])
def test_what_the_ai_sdk_checked_and_converted_is_what_is_exported(example: dict[str, Any]) -> None:
    assert present_line("ai-sdk", stored(example["messages"])) == {"messages": example["exported"]}
    calls = parts_of(example["converted"], "tool-call")
    results = parts_of(example["converted"], "tool-result")
    assert [each["toolCallId"] for each in calls] == [each["toolCallId"] for each in results]
    assert len(calls) == example["calls"]


@settings(max_examples=8, deadline=None)
@given(st.lists(conversations, min_size=1, max_size=8))
def test_the_ai_sdk_takes_every_export(some: list[list[dict[str, Any]]]) -> None:
    lines = [present_line("ai-sdk", stored(messages))["messages"] for messages in some]
    for messages in to_model_messages([line for line in lines if line]):
        answered = {each["toolCallId"] for each in parts_of(messages, "tool-result")}
        calls = {each["toolCallId"] for each in parts_of(messages, "tool-call")}
        assert answered <= calls


def test_the_fixture_is_what_the_package_makes() -> None:
    converted = to_model_messages([example["exported"] for example in EXPORTED])
    assert converted == [example["converted"] for example in EXPORTED]
