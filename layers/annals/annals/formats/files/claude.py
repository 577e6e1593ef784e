"""Claude's export: ``conversations.json``, a list of conversations with their ``chat_messages``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..messages import to_annals
from .conversation import AppConversation, messages_along
from .tree import Node, distinct_ids, shown_branch
from .values import file_part, get_label, get_object, get_objects, get_text, with_names, without_blanks

APP = "claude"


def is_conversation(value: Mapping[str, Any]) -> bool:
    """Whether this is a conversation of Claude's."""
    return isinstance(value.get("chat_messages"), list)


def read(value: Mapping[str, Any]) -> AppConversation:
    """A conversation: the branch that Claude shows, where the file says which; else the one of the last message."""
    found = get_objects(value, "chat_messages")
    ids = list(distinct_ids(get_text(message, "uuid") for message in found))
    parents: list[str | None] = [get_text(message, "parent_message_uuid") or None for message in found]
    if set(ids).isdisjoint(parents):
        parents = [None, *ids][: len(ids)]
    nodes = {id_: Node(message, parent) for id_, message, parent in zip(ids, found, parents, strict=True)}
    branch = shown_branch(nodes, value.get("current_leaf_message_uuid"))

    def read_nodes(ids: Iterable[str]) -> dict[str, dict[str, Any]]:
        return {id_: message for id_ in ids if (message := _read_message(nodes[id_].value))}

    messages = messages_along(branch, read_nodes(branch.ids), lambda ids: read_nodes(ids).values())
    metadata = {"project": get_label(get_object(value, "project"), "name"), "model": get_label(value, "model")}
    return AppConversation(
        APP,
        get_text(value, "uuid"),
        messages,
        get_label(value, "name"),
        value.get("created_at"),
        without_blanks(metadata),
    )


def _read_message(message: Mapping[str, Any]) -> dict[str, Any] | None:
    """A message; None for one that holds nothing."""
    role = "user" if get_text(message, "sender") in ("human", "user") else "assistant"
    blocks = [dict(without_blanks(block)) for block in get_objects(message, "content")]
    if not any(get_text(block, "text") for block in blocks) and (text := get_text(message, "text")):
        blocks.append({"type": "text", "text": text})
    blocks += [_document(each) for each in get_objects(message, "attachments")]
    blocks += [_file(each) for name in ("files", "files_v2") for each in get_objects(message, name)]
    blocks = [dict(block) for block in with_names(blocks)]
    if not blocks:
        return None
    content: Any = blocks[0]["text"] if _is_text(blocks) else blocks
    return {
        **to_annals({"role": role, "content": content}),
        "timestamp": message.get("created_at"),
        "externalId": message.get("uuid"),
    }


def _is_text(blocks: Sequence[Mapping[str, Any]]) -> bool:
    """Whether this is one text, with nothing beside it but times and formatting."""
    return len(blocks) == 1 and isinstance(blocks[0].get("text"), str) and not blocks[0].get("citations")


def _document(attachment: Mapping[str, Any]) -> dict[str, Any]:
    """An attachment, whose text is in the file."""
    name = get_label(attachment, "file_name")
    text = get_text(attachment, "extracted_content")
    if not text:
        return file_part(name, get_label(attachment, "id"), get_label(attachment, "file_type"))
    source = {"type": "text", "media_type": "text/plain", "data": text}
    return {"type": "document", **({"title": name} if name else {}), "source": source}


def _file(file: Mapping[str, Any]) -> dict[str, Any]:
    return file_part(get_label(file, "file_name"), get_label(file, "file_uuid", "uuid"), get_label(file, "file_kind"))
