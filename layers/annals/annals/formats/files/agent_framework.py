"""Microsoft Agent Framework's sessions, and the threads that it had before, as they are written down in JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..agent_framework import is_message, to_annals
from .conversation import AppConversation
from .values import get_label, get_object, get_objects

APP = "agent-framework"
STORE = "chat_message_store_state"
IN_MEMORY = "in_memory"
"""The provider that keeps the messages of a session in its state."""


def is_conversation(value: Mapping[str, Any]) -> bool:
    """Whether this is a session with a state, or a thread with the state of its messages."""
    is_session = value.get("type") == "session" and "session_id" in value and isinstance(value.get("state"), Mapping)
    return is_session or isinstance(value.get(STORE), Mapping)


def read(value: Mapping[str, Any]) -> AppConversation:
    """A session, by its id, or a thread, which has none: with the messages that are in its state."""
    session_id = get_label(value, "session_id")
    return AppConversation(APP, session_id, _messages_of(value), session_id=session_id or None)


def _messages_of(value: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The messages of a thread, or those of the first provider of a session that keeps any."""
    state = get_object(value, "state")
    providers = [get_object(value, STORE), get_object(state, IN_MEMORY), *(get_object(state, name) for name in state)]
    lists = (get_objects(provider, "messages") for provider in providers)
    messages = next((found for found in lists if found), [])
    return [to_annals(message) for message in messages if is_message(message)]
