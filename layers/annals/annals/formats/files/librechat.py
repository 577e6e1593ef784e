"""LibreChat's export as JSON: a conversation with its messages, flat or as a tree."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ..messages import to_annals
from .conversation import AppConversation, messages_along
from .tree import Node, distinct_ids, shown_branch
from .values import (
    call_block,
    file_part,
    get_label,
    get_list,
    get_object,
    get_objects,
    get_text,
    result_block,
    with_names,
)

APP = "librechat"

FIELDS = {"parentMessageId", "isCreatedByUser", "children"}
"""The fields by which its messages are known."""


def is_conversation(value: Mapping[str, Any]) -> bool:
    """Whether this is a conversation of LibreChat's."""
    if isinstance(value.get("messagesTree"), list):
        return True
    messages = get_objects(value, "messages")
    if "conversationId" not in value or not isinstance(value.get("messages"), list):
        return False
    return "exportAt" in value or any(FIELDS & message.keys() for message in messages)


def read(value: Mapping[str, Any]) -> AppConversation:
    """A conversation: the branch of its last message."""
    roots = get_list(value, "messagesTree") or get_list(value, "messages")
    found = list(_nodes(roots))
    ids = distinct_ids(id_ for id_, _ in found)
    nodes = {id_: node for id_, (_, node) in zip(ids, found, strict=True)}
    branch = shown_branch(nodes, None)

    def read_nodes(ids: Iterable[str]) -> dict[str, dict[str, Any]]:
        return {id_: message for id_ in ids if (message := _read_message(nodes[id_].value))}

    messages = messages_along(branch, read_nodes(branch.ids), lambda ids: read_nodes(ids).values())
    metadata = {"model": get_label(get_object(value, "options"), "model"), "endpoint": get_label(value, "endpoint")}
    return AppConversation(
        APP,
        get_text(value, "conversationId"),
        messages,
        get_label(value, "title"),
        value.get("createdAt"),
        {name: text for name, text in metadata.items() if text},
    )


def _nodes(roots: list[Any]) -> Iterator[tuple[str, Node]]:
    """The messages of a tree, which may be deep, or of a flat list; each after the one that it follows."""
    waiting: list[tuple[Any, str | None]] = [(each, None) for each in reversed(roots)]
    while waiting:
        message, above = waiting.pop()
        if not isinstance(message, Mapping):
            continue
        id_ = get_text(message, "messageId")
        yield id_, Node(message, above or get_text(message, "parentMessageId") or None)
        waiting += [(each, id_) for each in reversed(get_list(message, "children"))]


def _read_message(message: Mapping[str, Any]) -> dict[str, Any] | None:
    is_user = message.get("isCreatedByUser") is True or get_text(message, "sender").lower() == "user"
    parts = [part for each in get_objects(message, "content") for part in _parts(each)]
    text = get_text(message, "text")
    if not any(get_text(part, "text") for part in parts) and text:
        parts.append({"type": "text", "text": text})
    for name in ("files", "attachments"):
        parts += [dict(part) for part in with_names(map(_file, get_objects(message, name)))]
    if not parts:
        return None
    content: Any = parts[0]["text"] if len(parts) == 1 and parts[0]["type"] == "text" else parts
    read_message = {
        **to_annals({"role": "user" if is_user else "assistant", "content": content}),
        "timestamp": message.get("createdAt"),
        "externalId": message.get("messageId"),
    }
    if not is_user and (model := get_label(message, "model", "sender")):
        read_message["metadata"] = {"model": model}
    if message.get("unfinished") is True or message.get("error") is True:
        read_message["status"] = "incomplete"
    return read_message


def _parts(part: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """A content part in the shape that others have, too."""
    kind = part.get("type")
    if kind == "think":
        yield {"type": "thinking", "thinking": get_text(part, "think")}
    elif kind in ("text", "error"):
        if text := get_text(part, "text") or get_text(part.get("text"), "value"):
            yield {"type": "text", "text": text}
    elif kind == "tool_call":
        call = get_object(part, "tool_call")
        id_, name = get_label(call, "id"), get_label(call, "name") or get_label(call.get("function"), "name")
        yield call_block(id_, name, call.get("args", get_object(call, "function").get("arguments")))
        if output := get_text(call, "output") or get_text(call.get("function"), "output"):
            yield result_block(id_, output)
    elif kind == "image_file":
        yield _file(get_object(part, "image_file"))
    else:
        yield dict(part)


def _file(file: Mapping[str, Any]) -> dict[str, Any]:
    return file_part(get_label(file, "filename", "filepath"), get_label(file, "file_id"), get_label(file, "type"))
