"""What callers hand over as messages: Annals' fields, a provider's dict, or an object of a provider's SDK."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from pydantic import BaseModel

from annals_client import wire
from annals_client.formats.messages import from_provider
from annals_client.models import Model

OWN_NAMES = {
    wire.camel(name): name
    for name in (
        "original_role content_part user_id participant_id from_ to thread_id run_id external_id metadata timestamp "
        "local_time status importance tags finish_reason supersedes embedding"
    ).split()
}
"""The names that only Annals' messages have, as Python says them, by the API's. None means that one is not given."""

API_NAMES = {name: api_name for api_name, name in OWN_NAMES.items()}

WHERE = {
    "choices": "choices[0].message",
    "candidates": "candidates[0].content",
    "output": "output, whose items append_many takes; Bedrock's message is in output['message']",
}
"""Where in a provider's whole answer its message is."""


def message_body(message: object) -> dict[str, Any]:
    """A message as a request has it. Raises InvalidArgument for what is no message."""
    if isinstance(message, Mapping):
        _require_message(message)
        return {API_NAMES.get(name, name): _own_or_theirs(name, message[name]) for name in _given(message)}
    body = as_json_values(message)
    if not isinstance(body, dict):
        what = f"is a {type(message).__name__}, not a message: a dict, or a message of a provider's SDK"
        raise wire.invalid("message", what)
    body = wire.as_json(body, "message")
    _require_message(body)
    return body if isinstance(message, Model) else from_provider(body)


def fields_body(**fields: Any) -> dict[str, Any]:
    """The fields of a message as a request has them. None is not given, but for content, which may be null."""
    return message_body({name: value for name, value in fields.items() if value is not None or name == "content"})


def said_body(said: object) -> Any:
    """What one side of a turn said, as a request has it: a text, a list of content parts, or a message."""
    if isinstance(said, str) or said is None:
        return said
    parts = as_json_values(said)
    return parts if isinstance(parts, list) else message_body(said)


def as_json_values(value: object, depth: int = 0) -> Any:
    """A value as JSON has it: objects of SDKs as dicts, wherever they are in it, and bytes as base64.

    What nests deeper than JSON may is left as it is, to be refused where the request is written.
    """
    if isinstance(value, bytes | bytearray | memoryview):
        return b64encode(value).decode()
    if depth > wire.MAX_DEPTH:
        return value
    if isinstance(value, list | tuple):
        return [as_json_values(part, depth + 1) for part in value]
    fields_of = _dumped(value)
    if fields_of is None:
        return value
    return {name: as_json_values(part, depth + 1) for name, part in fields_of.items()}


def _dumped(value: Any) -> Mapping[Any, Any] | None:
    """The fields of an object of an SDK, or of a mapping; None for every other value."""
    if isinstance(value, Mapping):
        return value
    if isinstance(value, BaseModel):
        # The SDKs of OpenAI and Anthropic, and this one, know what an answer said and what it left out; google-genai's
        # says None for that. The others have no field that may be left out.
        knows_unset, knows_none = isinstance(value, Model) or hasattr(value, "to_dict"), hasattr(value, "to_json_dict")
        return value.model_dump(mode="json", by_alias=True, exclude_unset=knows_unset, exclude_none=knows_none)
    if callable(to_input_item := getattr(value, "to_input_item", None)):  # the Agents SDK's
        return _dumped(to_input_item())
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    return None


def _given(message: Mapping[str, Any]) -> list[str]:
    """The names of a message's fields; of those that are Annals', the ones that are not None."""
    return [name for name, value in message.items() if value is not None or not (name in API_NAMES or name == "parts")]


def _own_or_theirs(name: str, value: Any) -> Any:
    """The value of a field: Annals' own are written as everywhere, a provider's may be objects of its SDK."""
    return wire.plain(value, name) if name in API_NAMES else as_json_values(value)


def _require_message(body: Mapping[str, Any]) -> None:
    """Raise InvalidArgument for a provider's whole answer, saying where in it the message is."""
    for name, where in WHERE.items():
        if name in body and not body.keys() & {"role", "type"}:
            raise wire.invalid("message", f"is a provider's whole answer; its message is in {where}")
