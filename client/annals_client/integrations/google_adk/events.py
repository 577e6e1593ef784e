"""Events of the framework as messages of the ledger, and back.

What an event says is the message's ``content``, so that searches, recall and exports have it. ``parts`` has the event's
own JSON, with the parts of its content under ``content``, where the readers of tool calls look for them; an event whose
content is one text alone has it in the message's ``content`` only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from annals_client.client import AsyncAnnals
from annals_client.formats.plain_json import is_plain, without_surrogates
from annals_client.formats.text import text_of_result
from annals_client.integrations.support import framework
from annals_client.models import Message
from annals_client.parts import has_parts

with framework("google-adk"):
    from google.adk.events.event import Event

FRAMEWORK = "google-adk"
USER = "user"
HIDDEN = ("redacted", "damaged")

TEXT_CHARS = 64_000
"""How much of a text stands in ``content``; a longer one is whole in ``parts``."""
REQUEST_BYTES = 3_500_000
"""An event that is larger does not fit into a request; it is uploaded first."""
MAX_NAME_CHARS = 256

Json = dict[str, Any]


def to_json(event: Event) -> Json:
    """An event as JSON, without what every event has."""
    values: Json = event.model_dump(mode="json", by_alias=True, exclude_none=True)
    actions = {name: value for name, value in values.pop("actions", {}).items() if value != {}}
    if values.get("nodeInfo") == {"path": ""}:
        del values["nodeInfo"]
    return {**values, "actions": actions} if actions else values


async def to_fields(annals: AsyncAnnals, values: Json) -> Json:
    """An event's JSON as the fields of a message. One that no request could carry is uploaded."""
    text = _text_of(values)
    fields: Json = {"role": _role_of(values), "content": without_surrogates(text[:TEXT_CHARS])}
    author = values.get("author", "")
    if author != USER and author.strip() and author.isprintable() and len(author) <= MAX_NAME_CHARS:
        fields["name"] = author
    run_id = values.get("invocationId", "")
    if is_id(run_id):
        fields["run_id"] = run_id
    if (at := _time(values["timestamp"])) is not None:
        fields["timestamp"] = at
    return {**fields, "parts": await _parts(annals, values, fields["content"])}


async def to_event(annals: AsyncAnnals, conversation_id: str, message: Message) -> Event:
    """The event that a message was; one that something else stored is its text."""
    if has_parts(message):
        message = await annals.messages.restore(conversation_id, message)
    parts = message.parts
    if not isinstance(parts, Mapping) or parts.get("framework") != FRAMEWORK:
        return _said(message)
    if "whole" in parts:
        parts = parts["whole"]
    values = json.loads(parts["json"]) if "json" in parts else _joined(parts, message.content)
    return Event.model_validate(values)


def event_id_of(message: Message) -> str | None:
    """The id of the event that a message is, if that can be told without what is stored beside it."""
    if message.external_id is not None:
        return message.external_id
    parts = message.parts
    event = parts.get("event") if isinstance(parts, Mapping) and parts.get("framework") == FRAMEWORK else None
    return event.get("id") if isinstance(event, Mapping) else None


def delta_of(values: Mapping[str, Any]) -> Json:
    """What an event changes of the state."""
    delta: Json = values.get("actions", {}).get("stateDelta", {})
    return delta


def is_id(text: str) -> bool:
    """Whether this can be an external id: any text of 1 to 256 characters that are no control characters."""
    return 0 < len(text) <= MAX_NAME_CHARS and not any(ord(each) < 32 or 127 <= ord(each) < 160 for each in text)


async def _parts(annals: AsyncAnnals, values: Json, said: str) -> Json:
    parts = _split(values, said) if is_plain(values) else {"json": json.dumps(values)}
    encoded = json.dumps(parts, ensure_ascii=False).encode()
    if len(encoded) > REQUEST_BYTES:
        parts = {"whole": await annals.messages.upload(encoded, media_type="application/json", encoding="json")}
    return {"framework": FRAMEWORK, **parts}


def _split(values: Json, said: str) -> Json:
    """An event with the parts of its content beside it; without them, where they are the text that is said."""
    content = values.get("content", {})
    if "parts" not in content:
        return {"event": values}
    rest = {**values, "content": {name: value for name, value in content.items() if name != "parts"}}
    is_said = bool(said) and content["parts"] == [{"text": said}]
    return {"event": rest} if is_said else {"event": rest, "content": content["parts"]}


def _joined(parts: Mapping[str, Any], said: str) -> Json:
    event: Json = parts["event"]
    if "content" in parts:
        return {**event, "content": {**event["content"], "parts": parts["content"]}}
    if "content" in event and said:
        return {**event, "content": {**event["content"], "parts": [{"text": said}]}}
    return event


def _role_of(values: Json) -> str:
    if any("functionResponse" in part for part in _content_parts(values)):
        return "tool"
    return USER if values.get("author") == USER else "assistant"


def _text_of(values: Json) -> str:
    """What an event says: its texts, else what tools answered, else what was heard or spoken."""
    parts = _content_parts(values)
    said = "\n".join(part["text"] for part in parts if part.get("text") and not part.get("thought"))
    if said.strip():
        return said
    answers = [text_of_result(part["functionResponse"].get("response")) for part in parts if "functionResponse" in part]
    heard = [values.get(name, {}).get("text") for name in ("inputTranscription", "outputTranscription")]
    return "\n".join(filter(None, [*answers, *heard]))


def _content_parts(values: Json) -> list[Json]:
    parts: list[Json] = values.get("content", {}).get("parts") or []
    return parts


def _time(timestamp: float) -> datetime | None:
    """When an event was, if that is a time that the calendar knows."""
    try:
        return datetime.fromtimestamp(timestamp, timezone.utc)
    except (ValueError, OverflowError, OSError):
        return None


def _said(message: Message) -> Event:
    """An event of what somebody else stored."""
    role = USER if message.role == USER else "model"
    return Event.model_validate(
        {
            "id": message.message_id,
            "author": message.name or role,
            "timestamp": message.timestamp.timestamp(),
            "content": {"role": role, "parts": [{"text": message.content}]},
        }
    )
