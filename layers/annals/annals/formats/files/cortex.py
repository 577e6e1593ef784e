"""Cortex's export of conversations: with their own ids and participants, which they keep."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..messages import to_annals
from .conversation import Line, Place, to_line, with_own_ids, with_times
from .values import get_label, get_list, get_object, get_objects, get_text, to_time, without_blanks


def is_conversation(value: Mapping[str, Any]) -> bool:
    """Whether this is a conversation of Cortex's."""
    if not isinstance(value.get("conversationId"), str) or not isinstance(value.get("participants"), Mapping):
        return False
    messages = value.get("messages")
    return isinstance(messages, list) and not any("messageId" in each for each in messages if isinstance(each, Mapping))


def is_file(value: Mapping[str, Any]) -> bool:
    """Whether this is what its export function gives: the file as a text within JSON."""
    return value.get("format") == "json" and isinstance(value.get("data"), str)


def lines(value: Mapping[str, Any], place: Place) -> Iterator[Line]:
    """The lines of a conversation. Where it names no memory space, the import says it."""
    name = value["conversationId"]
    metadata = get_object(value, "metadata")
    place = place._replace(title=get_label(metadata, "title") or name)
    created_at = to_time(value.get("createdAt", value.get("_creationTime")))
    own = {
        "type": "conversation",
        "conversationType": _type(value),
        "conversationId": name,
        "participants": _participants(value),
        "createdAt": created_at,
        "metadata": metadata,
    }
    yield to_line(place, without_blanks(own))
    messages = map(_read_message, get_objects(value, "messages"))
    for number, message in enumerate(with_own_ids(with_times(list(messages), created_at)), start=1):
        yield to_line(place._replace(message=number), {"type": "message", "conversationId": name, **message})


def _type(value: Mapping[str, Any]) -> str:
    said = get_text(value, "type")
    return said or ("user-agent" if "userId" in value["participants"] else "agent-agent")


def _participants(value: Mapping[str, Any]) -> dict[str, Any]:
    """The participants: a user with an agent, or two agents, or the two memory spaces that talk to each other."""
    given = value["participants"]
    names = ("userId", "agentId", "participantId", "memorySpaceId", "agent1", "agent2")
    kept = {name: given[name] for name in names if given.get(name) is not None}
    if space := get_text(value, "memorySpaceId"):
        kept.setdefault("memorySpaceId", space)
    if _type(value) == "agent-agent" and "agent1" not in kept:
        pairs = (get_list(given, name) for name in ("agents", "agentIds", "memorySpaceIds"))
        if pair := next((each for each in pairs if each), None):
            kept["agents"] = pair
    return kept


def _read_message(message: Mapping[str, Any]) -> dict[str, Any]:
    given: dict[str, Any] = {
        "role": get_text(message, "role") or "assistant",
        "content": get_text(message, "content", "text"),
    }
    read_message = {**to_annals(given), "timestamp": message.get("timestamp"), "externalId": message.get("id")}
    ids = {
        "from": message.get("from"),
        "to": message.get("to"),
        "userId": message.get("userId"),
        "participantId": message.get("participantId") or message.get("agentId"),
        "threadId": message.get("threadId"),
        "metadata": get_object(message, "metadata"),
    }
    return {**read_message, **without_blanks(ids)}
