"""Strands' messages as messages of the ledger, and back again, equal."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, cast

from annals_client.client import Annals
from annals_client.integrations.support import framework
from annals_client.models import Message as StoredMessage

with framework("strands"):
    from strands.types.content import Message
    from strands.types.session import SessionMessage, decode_bytes_values, encode_bytes_values

OWN = "strands"
"""The field of a message's metadata that holds what the ledger has no field for."""

TEXT_BYTES = 64 * 1024
"""Up to here, a message of one text is stored as that. A longer one is a part, since parts may be stored beside it."""

REQUEST_BYTES = 4_000_000
"""What a request may hold of a message's parts as JSON; more is uploaded before."""


@dataclass(frozen=True)
class MessageId:
    """How a message is named in the ledger: by its agent and index, and how often it was replaced."""

    agent_id: str
    index: int
    replaced: int = 0

    @property
    def external_id(self) -> str:
        """The id in the ledger."""
        return f"{self.agent_id}/{self.index}" + (f".{self.replaced}" if self.replaced else "")

    def next(self) -> MessageId:
        """The one that replaces it."""
        return MessageId(self.agent_id, self.index, self.replaced + 1)

    @staticmethod
    def find(external_id: str | None) -> MessageId | None:
        """The name that an id of the ledger is; None for what no agent's message has."""
        agent_id, _, place = (external_id or "").rpartition("/")
        index, _, replaced = place.partition(".")
        if not (agent_id and index.isdecimal() and (replaced or "0").isdecimal()):
            return None
        return MessageId(agent_id, int(index), int(replaced or 0))


def to_fields(annals: Annals, message: SessionMessage) -> dict[str, Any]:
    """What the ledger stores of a message: its words as text, its blocks as parts, and what else it has.

    Blocks that no request has room for are uploaded.
    """
    shown = message.to_message()
    said: dict[str, Any] = encode_bytes_values({**shown})
    blocks: list[dict[str, Any]] = said.pop("content")
    own = {
        "created_at": message.created_at,
        "updated_at": message.updated_at,
        "message": {name: value for name, value in said.items() if name != "role"} or None,
        "redacted": message.redact_message is not None or None,
    }
    fields = {
        "role": shown["role"],
        "timestamp": _time(message.created_at),
        "metadata": {OWN: {name: value for name, value in own.items() if value is not None}},
    }
    return {**{name: value for name, value in fields.items() if value is not None}, **_content(annals, blocks)}


def _content(annals: Annals, blocks: list[dict[str, Any]]) -> dict[str, Any]:
    text = _only_text(blocks)
    if text is not None:
        return {"content": text}
    encoded = json.dumps(blocks, ensure_ascii=False).encode()
    if len(encoded) <= REQUEST_BYTES:
        return {"content": blocks} if blocks else {"parts": {"content": blocks}}
    uploaded = annals.messages.upload(encoded, media_type="application/json", encoding="json")
    return {"content": _beginning(blocks), "parts": uploaded}


def _only_text(blocks: Sequence[Mapping[str, Any]]) -> str | None:
    """The text of a message that is nothing else, and not a long one."""
    if len(blocks) != 1 or blocks[0].keys() != {"text"}:
        return None
    text = blocks[0]["text"]
    return text if isinstance(text, str) and text and len(text.encode()) <= TEXT_BYTES else None


def _beginning(blocks: Sequence[Mapping[str, Any]]) -> str:
    """The beginning of a message's words, for search and prompts, where the whole is uploaded."""
    words = "\n".join(block["text"] for block in blocks if isinstance(block.get("text"), str))
    return words.encode()[:TEXT_BYTES].decode(errors="ignore")


def from_stored(annals: Annals, conversation_id: str, stored: StoredMessage, index: int) -> SessionMessage:
    """The message as Strands knows it. Large parts are fetched."""
    stored = annals.messages.restore(conversation_id, stored)
    own = (stored.metadata or {}).get(OWN, {})
    said = {"role": stored.role, "content": _blocks(stored), **own.get("message", {})}
    message = cast("Message", decode_bytes_values(said))
    at = stored.timestamp.isoformat()
    return SessionMessage(
        message=message,
        message_id=index,
        redact_message=message if own.get("redacted") else None,
        created_at=own.get("created_at", at),
        updated_at=own.get("updated_at", at),
    )


def _blocks(stored: StoredMessage) -> Any:
    if stored.parts is None:
        return [{"text": stored.content}]
    return stored.parts["content"] if isinstance(stored.parts, dict) else stored.parts


def _time(text: str) -> datetime | None:
    """When a message was made, if that can be read; a time without a zone is UTC, as Strands writes it."""
    try:
        read = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None
    return read if read.tzinfo else read.replace(tzinfo=timezone.utc)
