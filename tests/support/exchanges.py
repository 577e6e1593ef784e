"""Messages with calls of tools and their results, as each provider has them, for tests of what reads them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

from hypothesis import strategies as st

from annals.formats.messages import to_annals
from annals.formats.tools import calls_of, results_of
from annals.ledger.append import append
from annals.ledger.messages import new_message

Provided = Mapping[str, Any]


def openai_call(*ids: str, arguments: Any = None) -> Provided:
    function = {"name": "look", "arguments": json.dumps(arguments or {})}
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": each, "type": "function", "function": function} for each in ids],
    }


def openai_result(call_id: str, content: str = "seen") -> Provided:
    return {"role": "tool", "tool_call_id": call_id, "content": content}


def anthropic_call(*ids: str) -> Provided:
    blocks = [{"type": "tool_use", "id": each, "name": "look", "input": {}} for each in ids]
    return {"role": "assistant", "content": [{"type": "text", "text": "Let me look."}, *blocks]}


def anthropic_result(*ids: str) -> Provided:
    results = [{"type": "tool_result", "tool_use_id": each, "content": "seen"} for each in ids]
    return {"role": "user", "content": results}


def bedrock_call(*ids: str) -> Provided:
    uses = [{"toolUse": {"toolUseId": each, "name": "look", "input": {}}} for each in ids]
    return {"role": "assistant", "content": uses}


def bedrock_result(*ids: str) -> Provided:
    results = [{"toolResult": {"toolUseId": each, "content": [{"text": "seen"}]}} for each in ids]
    return {"role": "user", "content": results}


def gemini_call(*names: str) -> Provided:
    return {"role": "model", "parts": [{"functionCall": {"name": each, "args": {}}} for each in names]}


def gemini_result(*names: str) -> Provided:
    parts = [{"functionResponse": {"name": each, "response": {"result": "seen"}}} for each in names]
    return {"role": "user", "parts": parts}


def item_call(call_id: str) -> Provided:
    return {"type": "function_call", "call_id": call_id, "name": "look", "arguments": "{}"}


def item_result(call_id: str) -> Provided:
    return {"type": "function_call_output", "call_id": call_id, "output": "seen"}


def ui_tool(state: str, reply: str = "") -> Provided:
    part = {"type": "tool-look", "toolCallId": "c1", "state": state, "input": {"at": "the river"}}
    answered = {**part, "output": "seen"} if state == "output-available" else part
    reply_parts = [{"type": "text", "text": reply}] if reply else []
    return {"role": "assistant", "parts": [{"type": "text", "text": "I look."}, answered, *reply_parts]}


FUNCTION_CALL = {"role": "assistant", "content": None, "function_call": {"name": "look", "arguments": "{}"}}
FUNCTION_RESULT = {"role": "function", "name": "look", "content": "seen"}
ASKED = {"role": "user", "content": "What is there?"}
REPLIED = {"role": "assistant", "content": "A river."}
REDACTED = {"status": "redacted"}

_ids = st.sampled_from(["a", "b", "c"])
_some_ids = st.lists(_ids, min_size=1, max_size=3, unique=True)

said = st.one_of(
    st.sampled_from([ASKED, REPLIED, FUNCTION_CALL, FUNCTION_RESULT, ui_tool("output-available")]),
    _some_ids.map(lambda each: openai_call(*each)),
    _ids.map(openai_result),
    _some_ids.map(lambda each: anthropic_call(*each)),
    _some_ids.map(lambda each: anthropic_result(*each)),
    _some_ids.map(lambda each: gemini_call(*each)),
    _some_ids.map(lambda each: gemini_result(*each)),
)
"""A message of a conversation with tools, which may fit what is around it or not."""

turns = st.sampled_from(
    [
        [ASKED, REPLIED],
        [ASKED, openai_call("a", "b"), openai_result("a"), openai_result("b", "seen " * 40), REPLIED],
        [ASKED, anthropic_call("a"), anthropic_result("a"), anthropic_call("b"), anthropic_result("b"), REPLIED],
        [ASKED, gemini_call("look"), gemini_result("look"), REPLIED],
        [ASKED, ui_tool("output-available", "A river.")],
        [ASKED, openai_call("a"), openai_result("a")],
    ]
)

histories = st.lists(turns | said.map(lambda each: [each]), max_size=8).map(lambda each: [*chain(*each)])
"""Conversations with tools: turns as they should be, and single messages anywhere between them."""


def to_stored(messages: Sequence[Provided]) -> list[dict[str, Any]]:
    """The messages as they are stored; redacted ones stay as they are."""
    return [dict(each) if "status" in each else to_annals(each) for each in messages]


def say_all(tenant: str, messages: Sequence[Provided], conversation_id: str = "conv-1") -> None:
    """Append messages to a conversation, one entry each."""
    for body in to_stored(messages):
        append(tenant, conversation_id, [new_message(body)])


def unpaired(shown: Sequence[Provided]) -> list[str | None]:
    """The ids of calls without a result among some messages, and of results without a call before them.

    A result without an id answers the first open call of the newest message that has one, of its own name where it has
    a name, or an assistant's message that has words alone.
    """
    calls: dict[str | None, tuple[int, str | None, bool]] = {}
    orphans: list[str | None] = []
    for position, message in enumerate(shown):
        for call in calls_of(message):
            calls.pop(call.id, None)
            calls[call.id] = (position, call.name, False)
        for result in results_of(message):
            fitting = {each: at for each, (at, name, done) in calls.items() if not done and result.name in (None, name)}
            nearest = [each for each, at in fitting.items() if at == max(fitting.values())]
            call_id = nearest[0] if result.call_id is None and nearest else result.call_id
            if call_id in calls:
                calls[call_id] = (*calls[call_id][:2], True)
            elif call_id is not None or message["role"] != "tool":
                orphans.append(call_id)
    return [*orphans, *(each for each, (_, _, done) in calls.items() if not done)]
