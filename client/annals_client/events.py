"""The events of a streamed turn, and how they come over the wire."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from annals_client.formats.streams.sse import EventReader
from annals_client.models import Message, Model, Remembered, Usage


class Start(Model):
    """The user's message is in the ledger."""

    stream_id: str
    conversation_id: str
    message: Message


class Context(Model):
    """What the model was given beside the user's message: memories, messages of the conversation, their tokens.

    ``history_omitted`` is how many of the newest messages it was not given, as they are too large or half of an
    exchange; ``tool_tokens_saved`` is there where ``tool_calls`` was ``unfinished``.
    """

    memory_ids: list[str]
    history_count: int
    token_estimate: int
    history_omitted: int = 0
    tool_tokens_saved: int | None = None


class Delta(Model):
    """A piece of the reply; ``number`` counts them from 1."""

    text: str
    number: int


class Result(Remembered):
    """The turn is stored, both messages. ``full_response`` is the text of the ``reply``.

    ``embedding_problem`` is why a message has no vector, where the caller was to make one.
    """

    full_response: str
    reply: Message | None = None
    usage: Usage | None = None
    finish_reason: str | None = None
    embedding_problem: str | None = None


Event = Start | Context | Delta | Result
"""What happens in a streamed turn."""

KINDS: dict[str, type[Start | Context | Result]] = {"start": Start, "context": Context, "result": Result}


@dataclass(frozen=True)
class Frame:
    """A server-sent event, as it came."""

    name: str
    data: dict[str, Any]
    id: str = ""


class FrameReader:
    """Reads frames from bytes that are cut anywhere."""

    def __init__(self) -> None:
        self._events = EventReader()

    def read(self, chunk: bytes) -> Iterator[Frame]:
        """The frames that end in this chunk."""
        return (Frame(event.name, json.loads(event.data), event.id) for event in self._events.read(chunk))
