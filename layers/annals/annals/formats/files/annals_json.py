"""Annals' own export as one JSON document: conversations with their messages and runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .conversation import Line, Place, to_line
from .values import get_label, get_object

FIELDS = {"headHash", "messageCount", "version"}
"""The fields by which a conversation without messages is known."""


def is_conversation(value: Mapping[str, Any]) -> bool:
    """Whether this is a conversation of Annals' own."""
    messages = value.get("messages")
    if "conversationId" not in value or not isinstance(messages, list):
        return False
    return value.keys() >= FIELDS or any(isinstance(each, Mapping) and "messageId" in each for each in messages)


def lines(value: Mapping[str, Any], place: Place) -> Iterator[Line]:
    """The lines of a conversation."""
    title = get_label(get_object(value, "metadata"), "title") or get_label(value, "conversationId")
    place = place._replace(title=title)
    own = {name: each for name, each in value.items() if name not in ("messages", "runs", "type")}
    yield to_line(place, {"type": "conversation", "conversationType": value.get("type"), **own})
    for number, message in enumerate(value["messages"], start=1):
        fields = message if isinstance(message, Mapping) else {"content": message}
        line = {"type": "message", "conversationId": value["conversationId"], **fields}
        yield to_line(place._replace(message=number), line)
    runs = value.get("runs")
    for run in runs if isinstance(runs, list) else ():
        fields = run if isinstance(run, Mapping) else {"runId": run}
        yield to_line(place, {"type": "run", "conversationId": value["conversationId"], **fields})
