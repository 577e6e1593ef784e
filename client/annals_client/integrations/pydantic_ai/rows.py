"""Messages of Pydantic AI as messages of the ledger, and back."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from annals_client.integrations.histories import Row, value_of
from annals_client.integrations.support import framework
from annals_client.models import Message

with framework("pydantic-ai"):
    from pydantic_ai.messages import (
        ModelMessage,
        ModelMessagesTypeAdapter,
        ModelRequest,
        ModelResponse,
        SystemPromptPart,
        TextPart,
        ToolReturnPart,
        UserPromptPart,
    )

KIND = "pydanticAi"
"""The field of ``parts`` that holds a message's JSON."""
ID_CHARS = 40


def rows_of(messages: Sequence[ModelMessage]) -> list[Row]:
    """Messages as they are stored, each under an id that is made of what it holds.

    They are stored as they are once they were read: then those that were loaded are known again.
    """
    times: Counter[str] = Counter()
    rows = []
    read = ModelMessagesTypeAdapter.validate_python(json_of([*messages]))
    for message, value in zip(read, json_of(read), strict=True):
        text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:ID_CHARS]
        times[digest] += 1
        external_id = digest if times[digest] == 1 else f"{digest}-{times[digest]}"
        rows.append(Row(external_id, KIND, value, fields_of(message)))
    return rows


def fields_of(message: ModelMessage) -> dict[str, Any]:
    """The fields of the ledger's message: its role, its words, its run, when it was said."""
    fields: dict[str, Any] = {"role": _role(message), "content": _text(message)}
    said = message.timestamp or _first_time(message)
    if said is not None:
        fields["timestamp"] = said if said.tzinfo else said.astimezone()
    if message.run_id:
        fields["run_id"] = message.run_id
    return fields


def _role(message: ModelMessage) -> str:
    if isinstance(message, ModelResponse):
        return "assistant"
    if any(isinstance(part, UserPromptPart) for part in message.parts):
        return "user"
    return "tool" if any(isinstance(part, ToolReturnPart) for part in message.parts) else "system"


def _first_time(message: ModelMessage) -> datetime | None:
    times = (getattr(part, "timestamp", None) for part in message.parts)
    return next((time for time in times if isinstance(time, datetime)), None)


def _text(message: ModelMessage) -> str:
    """The words of a message, by which it is found; thoughts and calls are not among them."""
    said: list[str] = []
    for part in message.parts:
        if isinstance(part, TextPart | SystemPromptPart):
            said.append(part.content)
        elif isinstance(part, ToolReturnPart):
            said.append(part.model_response_str())
        elif isinstance(part, UserPromptPart):
            contents = [part.content] if isinstance(part.content, str) else part.content
            said += [text for content in contents if isinstance(text := getattr(content, "content", content), str)]
    return "\n".join(said)


def messages_of(stored: Sequence[Message] | None) -> list[ModelMessage]:
    """The messages that are stored."""
    values = [value if (value := value_of(each, KIND)) is not None else _foreign(each) for each in stored or ()]
    return ModelMessagesTypeAdapter.validate_python(values)


def _foreign(stored: Message) -> dict[str, Any]:
    """A message that something else than Pydantic AI stored, by its words."""
    said = stored.timestamp
    message: ModelMessage
    if stored.role == "assistant":
        message = ModelResponse([TextPart(stored.content)], timestamp=said)
    elif stored.role == "system":
        message = ModelRequest([SystemPromptPart(stored.content, timestamp=said)], timestamp=said)
    else:
        message = ModelRequest([UserPromptPart(stored.content, timestamp=said)], timestamp=said)
    return json_of([message])[0]


def json_of(messages: list[ModelMessage]) -> list[dict[str, Any]]:
    """Messages as the framework writes them."""
    values: list[dict[str, Any]] = ModelMessagesTypeAdapter.dump_python(messages, mode="json")
    return values
