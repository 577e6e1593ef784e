"""The tool calls in stored messages, and what tools answered, whichever provider's parts they are."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .messages import langchain_fields
from .text import text_of_result

LISTS = ("content", "parts", "tool_calls", "invalid_tool_calls", "toolInvocations")
"""The fields of a message that hold lists in which there may be calls and results."""

WRAPPERS = ("toolUse", "toolResult", "functionCall", "function_call", "functionResponse", "function_response")
OPENAI_WRAPPERS = ("function", "custom", "toolInvocation")
"""The names under which a part holds a call or a result, where it is not one itself."""

CALLS = frozenset(
    {"tool_use", "server_tool_use", "mcp_tool_use", "toolUse", "functionCall", "function_call", "function", "custom"}
    | {"tool_call", "invalid_tool_call", "server_tool_call", "tool-call", "toolInvocation", "program"}
    | {"mcp_approval_request"}
)
"""The kinds of parts that are calls, beside OpenAI's items, whose types end in ``_call``."""

RESULTS = frozenset(
    {"toolResult", "functionResponse", "function_response", "function_result", "tool-result", "tool-error"}
    | {"mcp_approval_response"}
)
"""The kinds of parts that are results, beside those whose types end in ``tool_result`` and ``_output``."""

LEAVE = "function_approval_response"
"""The kind of part in which a user allows a call: it repeats the call, and is none."""

ANSWERED = frozenset({"output-available", "output-error", "output-denied", "result"})
"""The states of a call in AI SDK messages in which it has its result."""

RUNNING = frozenset({"in_progress", "searching", "interpreting", "generating", "calling"})
"""The statuses of a tool that OpenAI runs itself, before it has answered."""

IDS = ("call_id", "toolCallId", "toolUseId", "tool_use_id", "tool_call_id", "approval_request_id", "id")
NAMES = ("name", "toolName", "tool_name")
ARGUMENTS = ("arguments", "args", "input", "action", "operation", "code", "queries")
ANSWERS = ("content", "output", "outputs", "result", "results", "response", "errorText", "error")
"""The names that providers have for the same thing, the more telling ones first."""


@dataclass(frozen=True)
class ToolCall:
    """A call of a tool. ``id`` is None where the provider gives calls none; then results follow in the calls' order.

    ``arguments`` are JSON: an object, or the text that the model wrote where that is no JSON object.
    """

    id: str | None
    name: str
    arguments: Any


@dataclass(frozen=True)
class ToolResult:
    """What a tool answered to the call ``call_id``, as text; ``name`` is the tool's, where the result says it."""

    call_id: str | None
    name: str | None
    text: str
    is_error: bool


def calls_of(message: Mapping[str, Any]) -> list[ToolCall]:
    """The calls in a stored message, in order; one that stands there in two shapes is there once."""
    calls: dict[Any, ToolCall] = {}
    for kind, piece in _pieces(message.get("parts")):
        if _is_call(kind, piece):
            call_id = _word(piece, *IDS)
            call = ToolCall(call_id, _name(kind, piece) or kind, _arguments(_first(piece, ARGUMENTS, {})))
            calls.setdefault(len(calls) if call_id is None else call_id, call)
    return list(calls.values())


def results_of(message: Mapping[str, Any]) -> list[ToolResult]:
    """The results in a stored message, in order."""
    if message.get("role") == "tool" and (whole := _find_whole_result(message)):
        return [whole]
    return [
        ToolResult(
            _word(piece, *IDS), _name(kind, piece), text_of_result(_first(piece, ANSWERS)), _is_failed(kind, piece)
        )
        for kind, piece in _pieces(message.get("parts"))
        if _is_result(kind, piece)
    ]


def _find_whole_result(message: Mapping[str, Any]) -> ToolResult | None:
    """The result that a tool's message is as a whole; None where its results are among its parts."""
    parts = message.get("parts")
    fields = langchain_fields(parts) if isinstance(parts, Mapping) else {}
    if "tool_call_id" not in fields and any(_is_result(kind, piece) for kind, piece in _pieces(parts)):
        return None
    name = message.get("name") or _word(fields, *NAMES)
    return ToolResult(_word(fields, "tool_call_id"), name, message.get("content", ""), _is_failed("", fields))


def _pieces(parts: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The objects in parts that may be calls or results, each with its kind: its type, or the name that it has."""
    if isinstance(parts, Mapping):
        fields = langchain_fields(parts)
        yield from _unwrapped(fields, WRAPPERS)
        parts = [part for name in LISTS if isinstance(fields.get(name), list) for part in fields[name]]
    if isinstance(parts, list):
        for part in parts:
            if isinstance(part, Mapping):
                yield from _unwrapped(part, WRAPPERS + OPENAI_WRAPPERS)


def _unwrapped(part: Mapping[str, Any], wrappers: tuple[str, ...]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if part.get("type") == LEAVE:
        return
    inner = [(name, part[name]) for name in wrappers if isinstance(part.get(name), Mapping)]
    for name, within in inner:
        yield name, {**({"id": part["id"]} if "id" in part else {}), **within}
    if not inner:
        yield _word(part, "type") or ("toolInvocation" if "toolCallId" in part else ""), part


def _is_call(kind: str, piece: Mapping[str, Any]) -> bool:
    return kind in CALLS or kind.endswith("_call") or _is_ui_tool(kind, piece) or _is_untyped_call(kind, piece)


def _is_untyped_call(kind: str, piece: Mapping[str, Any]) -> bool:
    """Whether this is a LangChain call that does not say its type."""
    return not kind and "name" in piece and "args" in piece


def _is_ui_tool(kind: str, piece: Mapping[str, Any]) -> bool:
    """Whether this is a part of an AI SDK message that holds a call and, later, its result."""
    return "state" in piece and (kind.startswith("tool-") or kind == "dynamic-tool")


def _is_result(kind: str, piece: Mapping[str, Any]) -> bool:
    if "state" in piece and (_is_ui_tool(kind, piece) or kind == "toolInvocation"):
        return _word(piece, "state") in ANSWERED
    if kind.endswith("_call"):  # a tool that OpenAI runs itself has its result in its call
        return kind not in CALLS and piece.get("call_id") is None and _word(piece, "status") not in RUNNING
    if kind.endswith("_output"):
        return piece.get("call_id") is not None or kind.endswith("_call_output")
    return kind in RESULTS or kind.endswith("tool_result")


def _is_failed(kind: str, piece: Mapping[str, Any]) -> bool:
    outcome = (piece.get("status"), piece.get("state"), kind)
    answer = _first(piece, ("output", "response"))
    said = answer if isinstance(answer, Mapping) else {}
    return (
        bool({"error", "failed", "output-error", "output-denied", "tool-error"}.intersection(map(str, outcome)))
        or any(piece.get(name) for name in ("is_error", "isError", "error", "exception"))
        or bool(said.get("error"))
        or str(said.get("type")).startswith("error-")
    )


def _name(kind: str, piece: Mapping[str, Any]) -> str | None:
    if name := _word(piece, *NAMES):
        return name
    return kind.removeprefix("tool-") if _is_ui_tool(kind, piece) else None


def _arguments(value: Any) -> Any:
    """Arguments as an object, where they are one or the JSON text of one."""
    if not isinstance(value, str):
        return value
    try:
        parsed = json.loads(value)
    except (ValueError, RecursionError):
        return value
    return parsed if isinstance(parsed, dict) else value


def _first(piece: Mapping[str, Any], names: tuple[str, ...], otherwise: Any = None) -> Any:
    return next((piece[name] for name in names if piece.get(name) is not None), otherwise)


def _word(piece: Mapping[str, Any], *names: str) -> str | None:
    return next((value for name in names if isinstance(value := piece.get(name), str)), None)
