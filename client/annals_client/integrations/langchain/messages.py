"""LangChain's messages as messages of the ledger, and back again: the same, of every class.

A message's text is ``content``. All of it is ``parts``, in the form of ``messages_to_dict``; what JSON has no word for
(bytes, tuples, infinite numbers, as artifacts of tools are) is an object there with one name that begins with ``$``.
"""

from __future__ import annotations

import json
import math
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
    message_to_dict,
    messages_from_dict,
)

from annals_client.calls import Steps
from annals_client.models import Message
from annals_client.parts import references_of
from annals_client.resources.messages import Messages

CONTENT_CHARS = 64_000
"""How much of a text stands in ``content``, which is searched; all of it stands in ``parts``."""

ENTRY_BYTES, ENTRY_MESSAGES = 300_000, 500
"""How much goes into one append, unless a message is larger by itself; its large parts are stored beside it."""

REQUEST_BYTES = 4_000_000
"""What is larger does not fit into a request, and is uploaded before."""

EXTERNAL_ID_CHARS = 256

MARKS = ("$bytes", "$tuple", "$float", "$plain")

ROLES: Mapping[type[BaseMessage], str] = {
    HumanMessage: "user",
    AIMessage: "assistant",
    SystemMessage: "system",
    ToolMessage: "tool",
    FunctionMessage: "tool",
}

WORDS = {
    **dict.fromkeys(("user", "human"), "user"),
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("tool", "function"), "tool"),
}
"""The roles of chat messages, whose role is any word; others are the assistant's."""

CLASSES: Mapping[str, type[BaseMessage]] = {"user": HumanMessage, "assistant": AIMessage, "system": SystemMessage}


def to_ledger(message: BaseMessage) -> dict[str, Any]:
    """A message as one of the ledger.

    Raises
    ------
    TypeError : it holds what cannot be stored, such as an object as an artifact; the message says where
    """
    fields = {
        "role": _role_of(message),
        "content": str(message.text)[:CONTENT_CHARS],
        "parts": _to_json(message_to_dict(message), "message"),
    }
    if message.name:
        fields["name"] = message.name[:256]
    return fields


def external_id_of(message: BaseMessage) -> str | None:
    """The message's own id, if it has one that the ledger takes."""
    own = message.id
    return own if own and len(own) <= EXTERNAL_ID_CHARS and own.isprintable() else None


def from_ledger(message: Message) -> BaseMessage:
    """A message of the ledger; one that others stored is made of its role and its text."""
    parts = message.parts
    if isinstance(parts, Mapping) and isinstance(parts.get("data"), Mapping) and isinstance(parts.get("type"), str):
        [made] = messages_from_dict([_from_json(parts)])
        return made
    more = {"id": message.external_id or message.message_id, "name": message.name}
    text = message.content or ""
    role = message.role or "assistant"
    return CLASSES[role](content=text, **more) if role in CLASSES else ChatMessage(role=role, content=text, **more)


def append_messages(conversation_id: str, messages: Sequence[dict[str, Any]], more: Mapping[str, Any]) -> Steps[None]:
    """Append messages as the ledger has them, each with these fields more: in one entry, or as few as it takes."""
    for entry in _entries(messages):
        ready = []
        for message in entry:
            if _size(message) > REQUEST_BYTES:
                content = json.dumps(message["parts"], ensure_ascii=False, separators=(",", ":")).encode()
                part = yield from Messages.upload.steps(None, content, media_type="application/json", encoding="json")
                message = {**message, "parts": part}
            ready.append({**message, **more})
        yield Messages.append_many.call(conversation_id, ready)


def restore(conversation_id: str, messages: Sequence[Message]) -> Steps[list[Message]]:
    """Messages with the parts that are stored beside them, each in its place."""
    restored = []
    for message in messages:
        if any(True for _ in references_of(message)):
            message = yield from Messages.restore.steps(None, conversation_id, message)
        restored.append(message)
    return restored


def _entries(messages: Sequence[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    entry: list[dict[str, Any]] = []
    size = 0
    for message in messages:
        more = _size(message)
        if entry and (size + more > ENTRY_BYTES or len(entry) == ENTRY_MESSAGES):
            yield entry
            entry, size = [], 0
        entry.append(message)
        size += more
    if entry:
        yield entry


def _size(message: Mapping[str, Any]) -> int:
    return len(json.dumps(message, ensure_ascii=False).encode())


def _role_of(message: BaseMessage) -> str:
    if isinstance(message, ChatMessage):
        return WORDS.get(message.role.lower(), "assistant")
    return next((role for kind, role in ROLES.items() if isinstance(message, kind)), "assistant")


def _to_json(value: Any, where: str) -> Any:
    """A value as JSON; raises TypeError for what has no such form."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"$float": str(value)}
    if isinstance(value, bytes):
        return {"$bytes": b64encode(value).decode()}
    if isinstance(value, tuple):
        return {"$tuple": [_to_json(part, f"{where}[{number}]") for number, part in enumerate(value)]}
    if isinstance(value, list):
        return [_to_json(part, f"{where}[{number}]") for number, part in enumerate(value)]
    if isinstance(value, Mapping) and all(isinstance(name, str) for name in value):
        made = {name: _to_json(part, f"{where}.{name}") for name, part in value.items()}
        return {"$plain": made} if len(made) == 1 and next(iter(made)) in MARKS else made
    raise TypeError(f"{where} is a {type(value).__name__}, which cannot be stored: give it as JSON, bytes or text")


def _from_json(value: Any) -> Any:
    """The value that JSON stands for."""
    if isinstance(value, list):
        return [_from_json(part) for part in value]
    if not isinstance(value, Mapping):
        return value
    if len(value) == 1:
        match next(iter(value.items())):
            case ("$float", text):
                return float(text)
            case ("$bytes", text):
                return b64decode(text)
            case ("$tuple", parts):
                return tuple(_from_json(part) for part in parts)
            case ("$plain", inner):
                return {name: _from_json(part) for name, part in inner.items()}
    return {name: _from_json(part) for name, part in value.items()}
