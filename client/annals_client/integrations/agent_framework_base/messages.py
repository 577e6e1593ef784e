"""Messages of Microsoft Agent Framework as they are stored: known again, and read by what is in them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from annals_client.formats.agent_framework import Fields, from_annals
from annals_client.models import Message


def from_ledger(message: Message) -> Fields:
    """The message of the framework that a stored one was. One that something else stored is its text."""
    return from_annals({name: getattr(message, name) for name in ("role", "content", "name", "parts")})


def identity_of(fields: Fields) -> tuple[str, ...]:
    """By what a message is known again, as the framework has it: its id, else its role and contents."""
    message_id = fields.get("message_id")
    if message_id is not None:
        return ("id", str(message_id))
    contents = [_with_properties(content) for content in fields["contents"]]
    return ("content", fields["role"], sha256(json.dumps(contents, sort_keys=True).encode()).hexdigest())


def is_of_role(identity: tuple[str, ...], role: str) -> bool:
    """Whether a message without an id is one of this role."""
    return identity[:2] == ("content", role)


def call_ids_of(fields: Fields) -> set[str]:
    """The ids of the calls of functions that a message has."""
    return {str(content.get("call_id")) for content in fields["contents"] if content.get("type") == "function_call"}


def result_ids_of(fields: Fields) -> set[str]:
    """The ids of the calls that a message has the results of."""
    return {str(content.get("call_id")) for content in fields["contents"] if content.get("type") == "function_result"}


def is_excluded(fields: Fields) -> bool:
    """Whether compaction left the message out."""
    return bool((fields.get("additional_properties") or {}).get("_excluded"))


def _with_properties(content: Mapping[str, Any]) -> dict[str, Any]:
    return {"additional_properties": {}, **content}
