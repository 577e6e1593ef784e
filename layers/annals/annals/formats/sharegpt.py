"""Conversations as ShareGPT's files have them: a line is ``{"conversations": [{"from": "human", "value": …}, …]}``.

Speakers are ``system`` (first, if at all), ``human`` and ``gpt``; the calls of tools are ``function_call``, and what
they answered is ``observation``. Those at odd places are what the model gets, those at even ones what it says, as the
programs demand that train on such files: messages in a row by the same speaker are one, and calls made together are a
list, as are their results. What there is no place for is left out: all that is not text, ids of calls, the names of
speakers, what an assistant says before the user or beside calls, and what the system says later.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, count
from typing import Any

from .blocks import Call, Result, Text, dump
from .steps import Step, turns_of
from .whole_exchanges import Message

SPEAKERS = {
    **dict.fromkeys(("gpt", "chatgpt", "bing", "bard", "assistant", "model", "ai", "agent"), "assistant"),
    **dict.fromkeys(("human", "user"), "human"),
    "system": "system",
}
"""The role of each speaker, as Annals takes it."""

CALLS = ("function_call", "tool_call")
RESULTS = ("observation", "tool", "function", "function_response", "tool_response")


def to_fields(messages: Iterable[Message]) -> Iterator[tuple[str, Any]]:
    """The fields of a conversation's line, whose messages are read as they are asked for; none without any."""
    system: list[list[Any]] = []
    turns = turns_of(messages, _write, system)
    if (first := next(turns, None)) is not None:
        opening = "\n".join(text for blocks in system for text in blocks)
        said = [{"from": "system", "value": opening}] if opening else []
        yield "conversations", chain(said, _entries(*first), (entry for turn in turns for entry in _entries(*turn)))


def from_entries(entries: Iterable[Any]) -> Iterator[Any]:
    """The entries of a line as messages of OpenAI's shape; what is no entry stays, for the caller to refuse."""
    numbers, waiting = count(1), list[str]()
    for entry in entries:
        speaker, value = (entry.get("from"), entry.get("value")) if isinstance(entry, Mapping) else (None, None)
        calls = _read_calls(value) if speaker in CALLS else []
        if calls:
            waiting = [f"call-{next(numbers)}" for _ in calls]
            named = zip(waiting, calls, strict=True)
            functions = [{"id": each, "type": "function", "function": call} for each, call in named]
            yield {"role": "assistant", "content": None, "tool_calls": functions}
        elif speaker in RESULTS and isinstance(value, str):
            ids, waiting = waiting or [f"call-{next(numbers)}"], []
            for call_id, text in zip(ids, _read_results(value, len(ids)), strict=True):
                yield {"role": "tool", "content": text, "tool_call_id": call_id}
        elif isinstance(speaker, str) and isinstance(value, str):
            yield {"role": "assistant" if speaker in CALLS else SPEAKERS.get(speaker, speaker), "content": value}
        else:
            yield entry


def _write(step: Step) -> list[Any]:
    """The words, calls and results of a step."""
    kinds = (Text,) if step.role == "system" else (Text, Call, Result)
    blocks = [block for block in step.blocks if isinstance(block, kinds)]
    return [
        block.text if isinstance(block, Text) else block
        for block in blocks
        if not isinstance(block, Text) or block.text
    ]


def _entries(role: str, steps: Iterator[list[Any]]) -> Iterator[dict[str, str]]:
    """The entries of a turn: of an assistant's the calls or the words, of a user's the results and then the words."""
    blocks = [*chain.from_iterable(steps)]
    calls = [_call(block) for block in blocks if isinstance(block, Call)]
    results = [block.text for block in blocks if isinstance(block, Result)]
    texts = [block for block in blocks if isinstance(block, str)]
    if calls:
        yield {"from": CALLS[0], "value": dump(calls[0] if len(calls) == 1 else calls)}
    if results:
        yield {"from": RESULTS[0], "value": results[0] if len(results) == 1 else dump(results)}
    if texts and not calls:
        yield {"from": "gpt" if role == "assistant" else "human", "value": "\n".join(texts)}


def _call(call: Call) -> dict[str, Any]:
    return {"name": call.name, "arguments": call.arguments_text if call.arguments is None else call.arguments}


def _read_calls(value: Any) -> list[dict[str, str]]:
    """The calls in the text of an entry; none where it is another text."""
    try:
        calls = json.loads(value)
    except (TypeError, ValueError, RecursionError):
        return []
    calls = calls if isinstance(calls, list) else [calls]
    if not all(isinstance(call, dict) and isinstance(call.get("name"), str) for call in calls):
        return []
    given = [(call["name"], call.get("arguments", call.get("parameters", {}))) for call in calls]
    return [{"name": name, "arguments": each if isinstance(each, str) else dump(each)} for name, each in given]


def _read_results(value: str, number: int) -> list[str]:
    """The results of so many calls in the text of an entry, which for several is a list."""
    try:
        results = json.loads(value) if number > 1 else [value]
    except (ValueError, RecursionError):
        results = []
    if isinstance(results, list) and len(results) == number:
        return [each if isinstance(each, str) else dump(each) for each in results]
    return [value, *[""] * (number - 1)]
