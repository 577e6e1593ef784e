"""Messages as OpenAI's chat completions and fine-tuning files have them: a line is ``{"messages": […]}``.

What was stored from such messages comes back as it was, with the thinking that other models of this shape give
(``reasoning_content``); other fields of theirs are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from .attachments import SHORT_NAMES, Media
from .blocks import Block, Call, Result, Text
from .messages import from_annals
from .references import has_reference
from .steps import Step, steps_of
from .text import text_of
from .whole_exchanges import Message

FIELDS = {
    **dict.fromkeys(("developer", "system", "user", "function"), frozenset({"weight"})),
    "tool": frozenset({"tool_call_id", "weight"}),
    "assistant": frozenset(
        {"tool_calls", "function_call", "refusal", "audio", "annotations", "weight"}
        | {"reasoning_content", "reasoning", "reasoning_details"}
    ),
}
"""The fields of a role's messages beside role, content and name."""

FIRST_FIELDS = ("content", "name")

TEXTS = ("name", "tool_call_id", "refusal")

ROLES = {
    "developer": frozenset({"text"}),
    "system": frozenset({"text"}),
    "user": frozenset({"text", "image_url", "input_audio", "file"}),
    "assistant": frozenset({"text", "refusal"}),
    "tool": frozenset({"text"}),
    "function": frozenset[str](),
}
"""The roles, and the types of content parts that a message of each may have."""

SOUNDS = ("mp3", "wav")


def to_fields(messages: Iterable[Message]) -> Iterator[tuple[str, Any]]:
    """The fields of a conversation's line, of which ``messages`` are read as they are asked for; none without any."""
    written = _written(steps_of(messages))
    if (first := next(written, None)) is not None:
        yield "messages", chain([first], written)


def _written(steps: Iterable[Step]) -> Iterator[dict[str, Any]]:
    """The messages of steps; what answers a ``function_call``, which has no id, is a message of the role function."""
    is_function_call = False
    for step in steps:
        message = _answer(step, is_function=is_function_call) if step.role == "tool" else _write(step)
        if message is not None:
            is_function_call = is_function_call if step.role == "tool" else bool(message.get("function_call"))
            yield message


def _answer(step: Step, *, is_function: bool) -> dict[str, Any] | None:
    result = next((block for block in step.blocks if isinstance(block, Result)), None)
    original = _original(step.message) if step.message else None
    if original and (original["role"] == "function") is is_function:
        return original
    if result is None:
        return None
    named = {"name": result.name} if is_function else {"tool_call_id": result.call_id}
    return {"role": "function" if is_function else "tool", "content": result.text, **named}


def _write(step: Step) -> dict[str, Any] | None:
    if step.message is not None and (original := _original(step.message)) is not None:
        number = len(original.get("tool_calls", [])) + bool(original.get("function_call"))
        if number == sum(isinstance(block, Call) for block in step.blocks):
            return original
    content = [part for block in step.blocks if (part := _part(block, step.role)) is not None]
    calls = [_call(block) for block in step.blocks if isinstance(block, Call)] if step.role == "assistant" else []
    if not content and not calls:
        return None
    said = step.message or {}
    role = "developer" if said.get("originalRole") == "developer" else step.role
    name = {"name": said["name"]} if "name" in said else {}
    return {"role": role, "content": _content(content), **name, **({"tool_calls": calls} if calls else {})}


def _original(message: Message) -> dict[str, Any] | None:
    """The message as OpenAI's, where it is stored as one of its own; else None."""
    said, parts = message.get("originalRole"), message.get("parts")
    role = said if said in ROLES else message["role"]
    stored = from_annals(message)
    has_words_apart = isinstance(parts, list) and message.get("content") and not text_of(parts)
    if "parts" in stored or has_words_apart or has_reference(parts):
        return None
    names = [*FIRST_FIELDS, *(name for name in stored if name in FIELDS[role])]
    fields = {name: stored[name] for name in names if name in stored and (stored[name] or name != "tool_calls")}
    if not all(_is_field(name, value, role) for name, value in fields.items()):
        return None
    return {"role": role, **fields} if _is_whole(fields, role) else None


def _is_field(name: str, value: Any, role: str) -> bool:
    """Whether a field of a message has a value that it may have."""
    if name == "content":
        return _is_content(value, role)
    if name == "tool_calls":
        return isinstance(value, list) and all(map(_is_call, value))
    if name == "function_call":
        return value is None or _has_texts(value, "name", "arguments")
    if name == "audio":
        return value is None or _has_texts(value, "id")
    return name not in TEXTS or isinstance(value, str) or (name == "refusal" and value is None)


def _is_whole(fields: Mapping[str, Any], role: str) -> bool:
    """Whether fields are a message of a role: it has what it must have, and says something in one way or another."""
    if required := {"tool": "tool_call_id", "function": "name"}.get(role):
        return required in fields and (role == "function" or fields.get("content") is not None)
    if fields.get("content") is not None:
        return True
    return role == "assistant" and bool(fields.keys() & {"content", "tool_calls", "function_call", "audio"})


def _has_texts(value: Any, *names: str) -> bool:
    return isinstance(value, Mapping) and all(isinstance(value.get(name), str) for name in names)


def _is_content(content: Any, role: str) -> bool:
    """Whether this is content that a message of a role may have."""
    if not isinstance(content, list):
        return content is None or isinstance(content, str)
    return all(_is_part(part, ROLES[role]) for part in content)


def _is_part(part: Any, types: frozenset[str]) -> bool:
    """Whether this is a content part of one of these types, whose value is in the field of the same name."""
    kind = part.get("type") if isinstance(part, Mapping) else None
    if not isinstance(kind, str) or kind not in types:
        return False
    is_text = kind in ("text", "refusal")
    return part.keys() == {"type", kind} and isinstance(part[kind], str if is_text else Mapping)


def _is_call(call: Any) -> bool:
    if not _has_texts(call, "id", "type"):
        return False
    if call["type"] == "custom":
        return _has_texts(call.get("custom"), "name", "input")
    return call["type"] == "function" and _has_texts(call.get("function"), "name", "arguments")


def _part(block: Block, role: str) -> dict[str, Any] | None:
    """A content part; None of what a message of this role cannot have."""
    types = ROLES[role]
    if isinstance(block, Text | Media) and _is_part(block.part, types):
        return dict(block.part)
    if isinstance(block, Text):
        return {"type": "text", "text": block.text}
    part = _media(block) if isinstance(block, Media) else None
    return part if part and part["type"] in types else None


def _media(media: Media) -> dict[str, Any] | None:
    """An image by its address or with its bytes, a sound or a file with them."""
    place, short = media.data_url or "", SHORT_NAMES.get(media.media_type)
    if media.kind == "image" and place.startswith(("http://", "https://", "data:")):
        return {"type": "image_url", "image_url": {"url": place}}
    if media.data is None:
        return None
    if media.kind == "audio":
        sound = {"data": media.data, "format": short}
        return {"type": "input_audio", "input_audio": sound} if short in SOUNDS else None
    return {"type": "file", "file": {"file_data": place, **({"filename": media.name} if media.name else {})}}


def _content(parts: Sequence[dict[str, Any]]) -> Any:
    """Content as text where it is a single one, None where there is none."""
    if not parts:
        return None
    return parts[0]["text"] if len(parts) == 1 and parts[0]["type"] == "text" else list(parts)


def _call(call: Call) -> dict[str, Any]:
    if _is_call(call.part):
        return dict(call.part)
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments_text}}
