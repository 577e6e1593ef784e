"""Runs of agno as Annals keeps them: messages in the ledger, all other fields beside it. Each comes back equal."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from agno.db.utils import CustomJSONEncoder

Json = dict[str, Any]
Path = tuple[str | int, ...]

REPEATED: tuple[Path, ...] = (("content",), ("reasoning_content",), ("input", "input_content"))
"""Where a run repeats the words of one of its messages; beside the results of its tools."""


def as_json(value: Any) -> Any:
    """A value as JSON has it, with what agno's other stores take, too: dates, UUIDs, metrics."""
    return json.loads(json.dumps(value, cls=CustomJSONEncoder))


@dataclass(frozen=True)
class RunParts:
    """A run in two: its messages, and its other fields without the words that its messages say already.

    ``messages`` is None where the run has no such field. ``words`` says of each field that was taken out where it was,
    and which message says it.
    """

    fields: Json
    messages: list[Json] | None
    words: list[tuple[Path, int]]


def split(run: Mapping[str, Any]) -> RunParts:
    """A run as two. What a message says is kept once, so that it goes everywhere when the message is redacted."""
    messages = run.get("messages")
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        return RunParts(deepcopy({**run}), None, [])
    fields = {name: deepcopy(value) for name, value in run.items() if name != "messages"}
    said = {text: place for place, text in reversed([*_texts(messages)])}
    words: list[tuple[Path, int]] = []
    for path in (*REPEATED, *_tool_results(fields)):
        text = _get(fields, path)
        if isinstance(text, str) and text in said:
            words.append((path, said[text]))
            _put(fields, path, None)
    return RunParts(fields, messages, words)


def join(fields: Mapping[str, Any], messages: Sequence[Json | None] | None, words: Sequence[Sequence[Any]]) -> Json:
    """The run that was split. A message that was redacted is None: it is left out, and what repeats it is ``""``."""
    run = deepcopy({**fields})
    if messages is None:
        return run
    for path, place in words:
        message = messages[place]
        _put(run, tuple(path), "" if message is None else message.get("content", ""))
    run["messages"] = [message for message in messages if message is not None]
    return run


def _texts(messages: Sequence[Json]) -> Iterator[tuple[int, str]]:
    for place, message in enumerate(messages):
        if isinstance(text := message.get("content"), str) and text:
            yield place, text


def _tool_results(fields: Mapping[str, Any]) -> Iterator[Path]:
    tools = fields.get("tools")
    for index in range(len(tools) if isinstance(tools, list) else 0):
        yield "tools", index, "result"


def _get(value: Any, path: Path) -> Any:
    """What stands at a path; None where there is nothing."""
    for step in path:
        if isinstance(step, int):
            value = value[step]
        elif isinstance(value, dict):
            value = value.get(step)
        else:
            return None
    return value


def _put(value: Any, path: Path, leaf: Any) -> None:
    for step in path[:-1]:
        value = value[step]
    value[path[-1]] = leaf
