"""The text in the parts of providers' messages."""

from __future__ import annotations

from typing import Any

import pytest

from annals.formats.text import text_of, text_of_result

DATA = "data:image/png;base64,iVBORw0KGgo="

TEXTS: dict[str, tuple[Any, str]] = {
    "openai": ([{"type": "text", "text": "zebra"}, {"type": "text", "text": "quokka"}], "zebra\nquokka"),
    "openai image": ([{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": DATA}}], "a"),
    "openai file": ([{"type": "file", "file": {"filename": "plan.pdf", "file_data": DATA}}], "plan.pdf"),
    "openai audio": ({"audio": {"id": "a", "data": "AAAA", "transcript": "hello"}}, "hello"),
    "openai refusal part": ([{"type": "refusal", "refusal": "no"}], "no"),
    "responses file": ([{"type": "input_file", "filename": "a.txt", "file_data": DATA}], "a.txt"),
    "responses output": ({"type": "function_call_output", "call_id": "c", "output": "12"}, "12"),
    "responses output parts": (
        {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "12"}]}, "12"),
    "responses screenshot": (
        {"type": "computer_call_output", "output": {"type": "computer_screenshot", "image_url": DATA}},
        '{"type": "computer_screenshot", "image_url": ""}'),
    "responses reasoning": ({"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]}, ""),
    "responses call": ({"type": "function_call", "name": "f", "arguments": '{"text": "x"}'}, ""),
    "anthropic thinking": ([{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "a"}], "a"),
    "anthropic redacted": ([{"type": "redacted_thinking", "data": "EmwK"}], ""),
    "anthropic call": ([{"type": "tool_use", "id": "t", "name": "f", "input": {"text": "x"}}], ""),
    "anthropic result": ([{"type": "tool_result", "tool_use_id": "t", "content": "12"}], "12"),
    "anthropic result parts": (
        [{"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "12"}]}], "12"),
    "anthropic document": (
        [{"type": "document", "title": "Plan", "source": {"type": "text", "data": "Dig a hole."}}],
        "Plan\nDig a hole."),
    "anthropic pdf": ([{"type": "document", "title": "Plan", "source": {"type": "base64", "data": "JVBE"}}], "Plan"),
    "anthropic search": (
        [{"type": "search_result", "title": "T", "source": "https://x", "content": [{"type": "text", "text": "a"}]}],
        "T\na"),
    "bedrock": ([{"text": "a"}, {"image": {"format": "png", "source": {"bytes": "iVBO"}}}], "a"),
    "bedrock document": (
        [{"document": {"name": "plan", "format": "pdf", "source": {"bytes": "JVBE"}}}], "plan"),
    "bedrock result": (
        [{"toolResult": {"toolUseId": "t", "content": [{"text": "12"}, {"json": {"c": 12}}]}}], '12\n{"c": 12}'),
    "bedrock thinking": ([{"reasoningContent": {"reasoningText": {"text": "hm", "signature": "s"}}}], ""),
    "gemini": ([{"text": "a"}, {"text": "hm", "thought": True}], "a"),
    "gemini result": ([{"functionResponse": {"name": "f", "response": {"output": "12"}}}], "12"),
    "gemini result in Python": ([{"function_response": {"name": "f", "response": {"c": 12, "d": 1}}}],
                                '{"c": 12, "d": 1}'),
    "gemini data": ([{"inlineData": {"mimeType": "image/png", "data": "iVBO", "displayName": "cat.png"}}], "cat.png"),
    "gemini code": ([{"executableCode": {"code": "1+1"}}, {"codeExecutionResult": {"output": "2"}}], "2"),
    "ai sdk": ([{"type": "step-start"}, {"type": "reasoning", "text": "hm"}, {"type": "text", "text": "a"}], "a"),
    "ai sdk tool": (
        [{"type": "tool-weather", "toolCallId": "c", "state": "output-available", "input": {}, "output": {"c": 12}}],
        '{"c": 12}'),
    "ai sdk error": (
        [{"type": "dynamic-tool", "toolName": "f", "toolCallId": "c", "state": "output-error", "errorText": "no"}],
        "no"),
    "ai sdk file": ([{"type": "file", "filename": "a.png", "mediaType": "image/png", "url": DATA}], "a.png"),
    "ai sdk source": ([{"type": "source-url", "sourceId": "s", "url": "https://x", "title": "T"}], "T"),
    "ai sdk model result": (
        [{"type": "tool-result", "toolCallId": "c", "toolName": "f", "output": {"type": "text", "value": "12"}}],
        "12"),
    "mistral": ([{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "a"}],
                "a"),
    "langchain": ({"type": "human", "data": {"content": ["a", {"type": "text", "text": "b"}]}}, "a\nb"),
    "cohere": ([{"type": "document", "document": {"id": "1", "data": {"a": "b"}}}], '{"a": "b"}'),
    "own": ({"anything": ["x"]}, ""),
    "no object": (17, ""),
}  # fmt: skip


@pytest.mark.parametrize(("parts", "text"), TEXTS.values(), ids=TEXTS)
def test_words_are_text_and_nothing_else_is(parts: Any, text: str) -> None:
    assert text_of(parts) == text


def test_bytes_in_a_result_are_no_text() -> None:
    assert text_of_result({"name": "cat", "data": "iVBO" * 100}) == '{"name": "cat", "data": ""}'
    assert text_of_result("iVBO" * 100) == ""


def test_a_list_that_a_tool_answered_is_json() -> None:
    assert text_of_result([{"id": 1, "title": "A"}]) == '[{"id": 1, "title": "A"}]'
