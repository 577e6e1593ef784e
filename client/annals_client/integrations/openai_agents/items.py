"""Items as messages of the ledger, and messages as items."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from annals_client.client import AsyncAnnals
from annals_client.formats.messages import from_provider
from annals_client.models import Message

Item = dict[str, Any]

logger = logging.getLogger("annals_client.integrations")

BATCH_BYTES = 150_000
"""About how much one request appends, as one entry: all of it is stored, or nothing. A larger item comes alone."""

UPLOAD_BYTES = 3_000_000
"""An item that is larger, as JSON, is uploaded beside its message: no request would take it."""

CONTENT_CHARS = 50_000
"""How much of such an item's text is in its message, to be searched."""

EASY_ROLES = ("user", "assistant", "system", "developer")
"""The roles of messages that may be items without a type."""

TOOL = "tool"
"""The role of what a tool gave back."""


def batches(items: Iterable[Item]) -> Iterator[list[Item]]:
    """Items that go into one entry."""
    batch: list[Item] = []
    size = 0
    for item in items:
        weight = _size(item)
        if batch and size + weight > BATCH_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(item)
        size += weight
    if batch:
        yield batch


async def to_message(annals: AsyncAnnals, item: Item) -> dict[str, Any]:
    """The message of an item: its role, its text, and the item itself as parts, unless it is no more than those."""
    message = _said(item)
    if message["content"] and [*item.items()] == [*_plain_item(message).items()]:
        return message
    if _size(item) <= UPLOAD_BYTES:
        return {**message, "parts": item}
    text = json.dumps(item, ensure_ascii=False, separators=(",", ":")).encode()
    part = await annals.messages.upload(text, media_type="application/json", encoding="json")
    return {**message, "content": message["content"][:CONTENT_CHARS], "parts": part}


def _said(item: Item) -> dict[str, Any]:
    """The role and the text of an item; of kinds that are not known, the role of whoever made it."""
    fields: Mapping[str, Any] = from_provider(item)
    content, role = fields.get("content"), fields.get("role")
    if role not in (*EASY_ROLES, TOOL):
        role = TOOL if str(item.get("type")).endswith("_output") else "assistant"
    said_role = (
        {"originalRole": fields["originalRole"]} if role == fields.get("role") and "originalRole" in fields else {}
    )
    return {"role": role, **said_role, "content": content if isinstance(content, str) else ""}


async def to_item(annals: AsyncAnnals, conversation_id: str, message: Message) -> Item | None:
    """The item that a message is; None for one of which nothing is left, or that is no item."""
    if message.role is None:
        logger.warning("Message %s is left out: it is %s", message.message_id, message.status)
        return None
    whole = await annals.messages.restore(conversation_id, message)
    said = _plain_item({"role": message.role, "originalRole": message.original_role, "content": whole.content})
    if isinstance(whole.parts, dict):
        return {**said, **whole.parts} if _is_beside(whole) else whole.parts
    if said["role"] in EASY_ROLES:
        return said
    logger.warning("Message %s is left out: with role %s, it is no item", message.message_id, message.role)
    return None


def _is_beside(message: Message) -> bool:
    """Whether parts are what a message has beside its role, and perhaps its text: so others append an item."""
    kind, has_content = message.parts.get("type"), "content" in message.parts
    is_message = kind == "message" or (kind is None and bool(message.content) and not has_content)
    return is_message and "role" not in message.parts


def _plain_item(message: Mapping[str, Any]) -> Item:
    """The item that says no more than role and content, as the runner makes it of a user's input."""
    return {"content": message.get("content"), "role": message.get("originalRole") or message.get("role")}


def _size(item: Item) -> int:
    return len(json.dumps(item, ensure_ascii=False).encode(errors="replace"))
