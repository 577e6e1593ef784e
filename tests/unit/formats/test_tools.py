"""Tool calls and results, whichever provider's parts they are."""

from __future__ import annotations

from typing import Any

import pytest

from annals.formats.messages import to_annals
from annals.formats.tools import ToolCall, ToolResult, calls_of, results_of

OSLO = {"city": "Oslo"}
TEXT = '{"city": "Oslo"}'

CALLS: dict[str, dict[str, Any]] = {
    "openai": {
        "role": "assistant", "content": None,
        "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "weather", "arguments": TEXT}}],
    },
    "openai calls as parts": {
        "role": "assistant", "content": "",
        "parts": [{"id": "c1", "type": "function", "function": {"name": "weather", "arguments": TEXT}}],
    },
    "responses": {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "weather", "arguments": TEXT},
    "anthropic": {
        "role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "weather", "input": OSLO}],
    },
    "bedrock": {"role": "assistant", "content": [{"toolUse": {"toolUseId": "c1", "name": "weather", "input": OSLO}}]},
    "gemini": {"role": "model", "parts": [{"functionCall": {"id": "c1", "name": "weather", "args": OSLO}}]},
    "gemini in Python": {"role": "model", "parts": [{"function_call": {"id": "c1", "name": "weather", "args": OSLO}}]},
    "ai sdk": {
        "id": "m", "role": "assistant",
        "parts": [{"type": "tool-weather", "toolCallId": "c1", "state": "input-available", "input": OSLO}],
    },
    "ai sdk dynamic": {
        "id": "m", "role": "assistant",
        "parts": [{"type": "dynamic-tool", "toolName": "weather", "toolCallId": "c1", "state": "input-available",
                   "input": OSLO}],
    },
    "ai sdk model message": {
        "role": "assistant",
        "content": [{"type": "tool-call", "toolCallId": "c1", "toolName": "weather", "input": OSLO}],
    },
    "ai sdk 4": {
        "id": "m", "role": "assistant", "content": "",
        "toolInvocations": [{"state": "call", "toolCallId": "c1", "toolName": "weather", "args": OSLO}],
    },
    "langchain": {
        "type": "ai", "content": [{"type": "tool_use", "id": "c1", "name": "weather", "input": OSLO}],
        "additional_kwargs": {}, "tool_calls": [{"name": "weather", "args": OSLO, "id": "c1", "type": "tool_call"}],
    },
    "agent framework": {
        "role": "assistant", "content": "",
        "parts": {"content": [{"type": "function_call", "call_id": "c1", "name": "weather", "arguments": TEXT}]},
    },
    "agent framework, to be allowed": {
        "role": "assistant", "content": "",
        "parts": {"content": [{"type": "function_approval_request", "id": "a1", "function_call":
                               {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": TEXT}}]},
    },
    "langchain envelope": {
        "type": "ai", "data": {"content": "", "tool_calls": [{"name": "weather", "args": OSLO, "id": "c1"}]},
    },
}  # fmt: skip

RESULTS: dict[str, dict[str, Any]] = {
    "openai": {"role": "tool", "tool_call_id": "c1", "content": "12"},
    "responses": {"type": "function_call_output", "call_id": "c1", "output": "12"},
    "anthropic": {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "12"}]},
    "bedrock": {"role": "user", "content": [{"toolResult": {"toolUseId": "c1", "content": [{"text": "12"}]}}]},
    "gemini": {"role": "user", "parts": [{"functionResponse": {"id": "c1", "response": {"result": "12"}}}]},
    "ai sdk": {
        "id": "m", "role": "assistant",
        "parts": [{"type": "tool-weather", "toolCallId": "c1", "state": "output-available", "output": "12"}],
    },
    "ai sdk model message": {
        "role": "tool",
        "content": [{"type": "tool-result", "toolCallId": "c1", "toolName": "weather",
                     "output": {"type": "text", "value": "12"}}],
    },
    "langchain": {"type": "tool", "content": "12", "tool_call_id": "c1", "status": "success", "name": "weather"},
    "agent framework": {
        "role": "tool", "content": "12",
        "parts": {"content": [{"type": "function_result", "call_id": "c1", "result": "12"}]},
    },
}  # fmt: skip


@pytest.mark.parametrize("message", CALLS.values(), ids=CALLS)
def test_a_call_is_found(message: dict[str, Any]) -> None:
    assert calls_of(to_annals(message)) == [ToolCall("c1", "weather", OSLO)]


@pytest.mark.parametrize("message", CALLS.values(), ids=CALLS)
def test_a_call_without_an_answer_is_no_result(message: dict[str, Any]) -> None:
    assert results_of(to_annals(message)) == []


@pytest.mark.parametrize("message", RESULTS.values(), ids=RESULTS)
def test_a_result_is_found(message: dict[str, Any]) -> None:
    (result,) = results_of(to_annals(message))
    assert (result.call_id, result.text, result.is_error) == ("c1", "12", False)
    assert result.name in (None, "weather")


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "is_error": True, "content": "no"}]},
        {"role": "user", "content": [{"toolResult": {"toolUseId": "c1", "status": "error", "content": "no"}}]},
        {"role": "user", "parts": [{"functionResponse": {"id": "c1", "response": {"error": "no"}}}]},
        {"type": "tool", "content": "no", "tool_call_id": "c1", "status": "error"},
        {"type": "mcp_call", "id": "c1", "name": "f", "output": None, "error": "no"},
        {
            "role": "assistant",
            "parts": [{"type": "tool-f", "toolCallId": "c1", "state": "output-error", "errorText": "no"}],
        },
        {
            "role": "tool",
            "content": "no",
            "parts": {
                "content": [{"type": "function_result", "call_id": "c1", "result": "no", "exception": "Failed."}]
            },
        },
    ],
)
def test_a_failure_is_an_error(message: dict[str, Any]) -> None:
    (result,) = results_of(to_annals(message))
    assert (result.call_id, result.text, result.is_error) == ("c1", "no", True)


def test_a_call_and_its_answer_may_be_one_part() -> None:
    part = {"type": "tool-f", "toolCallId": "c1", "state": "output-available", "input": OSLO, "output": "12"}
    stored = to_annals({"role": "assistant", "parts": [part]})
    assert calls_of(stored) == [ToolCall("c1", "f", OSLO)]
    assert results_of(stored) == [ToolResult("c1", "f", "12", False)]


def test_the_former_shape_of_openai_has_names_instead_of_ids() -> None:
    call = to_annals({"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}})
    assert calls_of(call) == [ToolCall(None, "f", {})]
    assert results_of(to_annals({"role": "function", "name": "f", "content": "12"})) == [
        ToolResult(None, "f", "12", False)
    ]


def test_arguments_that_are_no_json_stay_text() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"city": '}}
    assert calls_of(to_annals({"role": "assistant", "tool_calls": [call]})) == [ToolCall("c1", "f", '{"city": ')]


def test_words_are_no_calls() -> None:
    stored = to_annals({"role": "assistant", "content": [{"type": "text", "text": "hi"}]})
    assert calls_of(stored) == results_of(stored) == []


def test_leave_to_make_a_call_is_no_call() -> None:
    call = {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": TEXT}
    leave = {"type": "function_approval_response", "id": "a1", "approved": True, "function_call": call}
    stored = to_annals({"role": "user", "content": "", "parts": {"content": [leave]}})
    assert calls_of(stored) == results_of(stored) == []
