"""ChatGPT's export: ``conversations.json``, a list of trees of messages.

What ChatGPT does not show in a conversation (its own instructions, the user's custom ones) is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .conversation import AppConversation, messages_along
from .tree import Node, shown_branch
from .values import file_part, get_label, get_list, get_object, get_objects, get_text, without_blanks

APP = "chatgpt"

THINKING = {"thoughts", "reasoning_recap"}
HIDDEN = {"user_editable_context", "model_editable_context"}
"""The types of content that hold what the model thought, and instructions beside the conversation."""

ROLES = {"user", "assistant", "system", "tool"}


def is_conversation(value: Mapping[str, Any]) -> bool:
    """Whether this is a conversation of ChatGPT's."""
    return isinstance(value.get("mapping"), Mapping)


def read(value: Mapping[str, Any]) -> AppConversation:
    """A conversation: the branch that ChatGPT shows; the other branches' words are kept beside it."""
    nodes = {
        node_id: Node(node.get("message"), node.get("parent") if isinstance(node.get("parent"), str) else None)
        for node_id, node in value["mapping"].items()
        if isinstance(node, Mapping)
    }
    branch = shown_branch(nodes, value.get("current_node"))

    def read_path(ids: Sequence[str]) -> list[dict[str, Any]]:
        return list(_messages((nodes[each].value, each) for each in ids))

    shown = {message["externalId"]: message for message in read_path(branch.ids)}
    metadata = {
        "model": get_label(value, "default_model_slug"),
        "gizmo": get_label(value, "gizmo_id", "conversation_template_id"),
        "archived": True if value.get("is_archived") is True else None,
    }
    return AppConversation(
        APP,
        get_text(value, "conversation_id", "id"),
        messages_along(branch, shown, read_path),
        get_label(value, "title"),
        value.get("create_time"),
        without_blanks(metadata),
    )


def _messages(path: Iterator[tuple[Any, str]]) -> Iterator[dict[str, Any]]:
    """The messages along a path that say something; thinking goes into the one after it."""
    thoughts: list[dict[str, Any]] = []
    calls: dict[str, str] = {}
    for value, node_id in path:
        if not isinstance(value, Mapping) or _is_hidden(value):
            continue
        content = get_object(value, "content")
        if get_text(content, "content_type") in THINKING:
            thoughts += _thoughts(content)
        elif message := _message(value, content, node_id, thoughts, calls):
            thoughts = []
            yield {**message, "externalId": node_id}


def _is_hidden(value: Mapping[str, Any]) -> bool:
    metadata, content = get_object(value, "metadata"), get_object(value, "content")
    return metadata.get("is_visually_hidden_from_conversation") is True or get_text(content, "content_type") in HIDDEN


def _message(
    value: Mapping[str, Any],
    content: Mapping[str, Any],
    node_id: str,
    thoughts: Sequence[dict[str, Any]],
    calls: dict[str, str],
) -> dict[str, Any] | None:
    """A message, or None for one that says nothing. ``calls`` are the last calls by the tool's name."""
    author, metadata = get_object(value, "author"), get_object(value, "metadata")
    said, name = get_text(author, "role"), get_label(author, "name")
    role = said if said in ROLES else "assistant"
    parts = [*_parts(content), *map(_attachment, get_objects(metadata, "attachments"))]
    text = "\n".join(_words(parts))
    recipient = get_label(value, "recipient")
    message: dict[str, Any] = {"role": role, "content": text, "timestamp": value.get("create_time")}
    if role == "assistant" and recipient not in ("", "all"):
        calls[recipient] = node_id
        function = {"name": recipient, "arguments": text}
        called = {"tool_calls": [{"id": node_id, "type": "function", "function": function}]}
        message |= {
            "content": "",
            "parts": {**called, **({"reasoning_content": _text_of(thoughts)} if thoughts else {})},
        }
    elif role == "tool" and name in calls:
        others = {} if _is_text_alone(parts) else {"content": parts}
        message |= {"parts": {"tool_call_id": calls[name], **others}, "name": name}
    elif thoughts and role == "assistant":
        message["parts"] = [*thoughts, *parts]
    elif not text and not parts:
        return None
    elif not _is_text_alone(parts):
        message["parts"] = parts
    if name and role != "assistant":
        message["name"] = name
    kept = {"model": get_label(metadata, "model_slug")} if role == "assistant" else {}
    if kept := without_blanks(kept):
        message["metadata"] = kept
    if value.get("status") == "in_progress":
        message["status"] = "incomplete"
    return message


def _parts(content: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The parts of a message's content, whichever of ChatGPT's types it has."""
    for part in get_list(content, "parts"):
        if isinstance(part, str):
            if part:
                yield {"type": "text", "text": part}
        elif isinstance(part, Mapping):
            yield {"type": get_label(part, "content_type") or "other", **_bounded(part)}
    for name in ("text", "result", "content"):
        if text := get_text(content, name):
            yield {"type": "text", "text": text}
    name = get_label(content, "title", "domain", "url")
    if name and content.get("content_type") == "tether_quote":
        yield file_part(name, get_label(content, "url"))


def _bounded(part: Mapping[str, Any]) -> dict[str, Any]:
    """A part without what is empty, such as the many fields of an image that say nothing."""
    kept = {name: _bounded(value) if isinstance(value, Mapping) else value for name, value in part.items()}
    return without_blanks(kept)


def _attachment(attachment: Mapping[str, Any]) -> dict[str, Any]:
    media_type = get_label(attachment, "mime_type", "mimeType")
    return file_part(get_label(attachment, "name"), get_label(attachment, "id"), media_type)


def _thoughts(content: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for thought in get_objects(content, "thoughts"):
        text = "\n".join(text for name in ("summary", "content") if (text := get_text(thought, name)))
        if text:
            yield {"type": "thinking", "thinking": text}


def _text_of(thoughts: Sequence[Mapping[str, Any]]) -> str:
    return "\n".join(thought["thinking"] for thought in thoughts)


def _is_text_alone(parts: Sequence[Mapping[str, Any]]) -> bool:
    return all(part["type"] == "text" for part in parts)


def _words(parts: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The words in parts: texts, transcripts, and the names of files."""
    for part in parts:
        if text := get_text(part, "text") or get_text(part.get("file"), "filename"):
            yield text
