"""A message of Vision Agents as a message of the ledger, and back."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from annals_client import models
from annals_client.integrations.support import framework

with framework("vision-agents"):
    from vision_agents.core.agents.conversation import Message

ENVELOPE = "visionAgents"
"""The field of ``parts`` that holds what no field of Annals' messages does."""
SPEAKING_ROLES = ("user", "assistant", "system")
"""The roles that Vision Agents has, and that its models take."""
MAX_ID_CHARS = 128


def fields_of(message: Message) -> dict[str, Any]:
    """The fields of a message beside its text and its id.

    Of ``original``, which may be an object of any SDK, only JSON is kept.
    """
    role = message.role if message.role in SPEAKING_ROLES else "user"
    fields: dict[str, Any] = {"role": role, "timestamp": _aware(message.timestamp)}
    envelope: dict[str, Any] = {} if role == message.role else {"role": message.role}
    if _is_id(message.user_id):
        fields["user_id" if role == "user" else "participant_id"] = message.user_id
    elif message.user_id is not None:
        envelope["user_id"] = message.user_id
    if message.original is not None and _is_json(message.original):
        envelope["original"] = message.original
    if envelope or not message.content:  # what says nothing needs parts
        fields["parts"] = {ENVELOPE: envelope}
    return fields


def message_of(stored: models.Message | models.DraftMessage) -> Message | None:
    """The message that is stored, or that is being said; None for one that is no speech, or is redacted."""
    parts = stored.parts if isinstance(stored.parts, dict) else {}
    envelope = parts.get(ENVELOPE, {})
    role = envelope.get("role", stored.role)
    if stored.role not in SPEAKING_ROLES or stored.status == "redacted":
        return None
    own_id = stored.external_id or (stored.message_id if isinstance(stored, models.Message) else None)
    message = Message(
        content=stored.content or "",
        original=envelope.get("original"),
        role=role,
        user_id=envelope.get("user_id", stored.user_id or stored.participant_id),
        id=own_id,
    )
    message.timestamp = stored.timestamp.astimezone().replace(tzinfo=None)  # it is set anew whatever is passed
    return message


def _aware(timestamp: datetime | None) -> datetime:
    """When it was said; Vision Agents' times are this machine's, without a zone."""
    return (timestamp or datetime.now()).astimezone()


def _is_id(value: str | None) -> bool:
    """Whether a text can be a participant's id."""
    return bool(value and value.strip() and value.isprintable() and len(value) <= MAX_ID_CHARS and value.strip("."))


def _is_json(value: Any) -> bool:
    """Whether a value is JSON, so that it comes back equal."""
    try:
        return bool(json.loads(json.dumps(value, allow_nan=False)) == value)
    except (TypeError, ValueError, RecursionError):
        return False
