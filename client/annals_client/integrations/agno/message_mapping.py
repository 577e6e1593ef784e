"""Messages of agno as messages of the ledger, and back: each comes back equal."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from annals_client.models import Message

Json = dict[str, Any]

ROLES = frozenset(("user", "assistant", "system", "tool", "human", "ai", "model", "agent", "developer", "function"))
"""The roles that Annals knows, under these words."""

OF_THE_RUN = ("from_history", "checkpoint_status", "checkpoint_created_at", "compressed_content")
"""Fields that a message has in one run and not in the next: they are kept with the run, beside the message's id."""

USUALLY = {"from_history": False}
"""What these fields are, where the run says nothing about them."""

SEARCHED = 65_536
"""How many characters of a longer text are the message's content; all of it is in its parts."""

MAX_CONTENT = 300_000
"""The longest text that is a message's content as a whole, in characters."""


@dataclass(frozen=True)
class SplitMessage:
    """A message of a run: what was said, and what is true of it in this run alone."""

    said: Json
    in_run: Json

    @staticmethod
    def of(message: Mapping[str, Any]) -> SplitMessage:
        """A message, as agno's ``to_dict`` gives it."""
        said = {name: value for name, value in message.items() if name not in OF_THE_RUN}
        return SplitMessage(said, {name: message[name] for name in OF_THE_RUN if name in message})

    @property
    def own_id(self) -> str | None:
        """Agno's id of it."""
        given = self.said.get("id")
        return given if isinstance(given, str) and given else None

    @property
    def digest(self) -> str:
        """What tells it from other messages."""
        text = json.dumps(self.said, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

    def reference(self, message_id: str) -> Json:
        """What the run keeps of it, where the ledger has it as ``message_id``."""
        return {"id": message_id} if self.in_run == USUALLY else {"id": message_id, "set": self.in_run}


def to_ledger(said: Mapping[str, Any]) -> Json:
    """What was said, as a message to be appended: its text as ``content``, all the rest in ``parts``."""
    parts = {name: value for name, value in said.items() if name not in ("role", "content")}
    role, text = said.get("role"), said.get("content")
    if role not in ROLES:
        parts["role"], role = role, "user"
    if "content" in said and (not isinstance(text, str) or not text or len(text) > MAX_CONTENT):
        parts["content"] = text
    message = {"role": role, "content": _words(text), "parts": parts}
    name, created_at = said.get("name"), said.get("created_at")
    if isinstance(name, str) and 0 < len(name) <= 256 and name.isprintable():
        message["name"] = name
    if _is_moment(created_at):
        message["timestamp"] = created_at
    return message


def from_ledger(message: Message, in_run: Mapping[str, Any] | None) -> Json:
    """A message of a run, as agno's ``from_dict`` takes it. ``in_run`` is the ``set`` of its reference."""
    said = {**message.parts}
    if "content" not in said and message.content:
        said["content"] = message.content
    said.setdefault("role", message.original_role or message.role)
    return {**said, **(USUALLY if in_run is None else in_run)}


def is_whole(message: Message) -> bool:
    """Whether a message still counts: not one that was redacted, or that a rewind took back."""
    return message.status != "rewound" and message.role is not None and isinstance(message.parts, dict)


def _words(content: Any) -> str:
    """The text of a message's content: that which is searched and recalled."""
    if isinstance(content, str):
        return content if len(content) <= MAX_CONTENT else content[:SEARCHED]
    blocks = content if isinstance(content, list) else []
    texts = [block["text"] for block in blocks if isinstance(block, dict) and isinstance(block.get("text"), str)]
    return "\n".join(texts)[:SEARCHED]


def _is_moment(value: Any) -> bool:
    """Whether a number is surely Unix time in seconds."""
    return isinstance(value, int) and not isinstance(value, bool) and len(str(value)) == 10 and value > 0
