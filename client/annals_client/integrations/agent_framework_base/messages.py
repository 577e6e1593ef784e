"""Messages of Microsoft Agent Framework in the ledger's shape, and back.

A message is read here as its ``to_dict()`` has it, with its role as a word. Its text is ``content``, so that searches,
recall and exports have it. A message that is a text and nothing else has no ``parts``; of every other one, ``parts``
has what it holds, with its contents under ``content``, where the readers of tool calls look for them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Any

from annals_client.formats.text import text_of_result
from annals_client.integrations.plain_json import is_plain, without_surrogates
from annals_client.models import Message

FRAMEWORK = "agent-framework"
ROLES = frozenset({"user", "assistant", "system", "tool"})
TEXT_CHARS = 64_000
"""How much of a text stands in ``content``; a longer one is whole in ``parts``."""
NAME_CHARS = 256
ANSWERS = ("result", "output", "outputs")
"""The fields in which the results of tools are."""

Fields = dict[str, Any]
"""A message of the framework as JSON: ``role``, ``contents`` and what else its ``to_dict()`` has."""


def to_ledger(fields: Fields) -> dict[str, Any]:
    """A message as an append takes it."""
    role, name = fields["role"], fields.get("author_name")
    body: dict[str, Any] = {
        "role": role if role in ROLES else "assistant",
        "content": without_surrogates(_text_of(fields)[:TEXT_CHARS]),
    }
    if isinstance(name, str) and name.isprintable() and name.strip() and len(name) <= NAME_CHARS:
        body["name"] = name
    parts = _parts(fields, body) if is_plain(fields) else {"json": json.dumps(fields)}
    return {**body, "parts": {"framework": FRAMEWORK, **parts}} if parts else body


def from_ledger(message: Message) -> Fields:
    """The message of the framework that a stored one was. One that something else stored is its text."""
    body = {"role": message.role, "content": message.content, "name": message.name}
    parts = message.parts
    if not isinstance(parts, Mapping) or parts.get("framework") != FRAMEWORK:
        return _said(body)
    if "json" in parts:
        exact: Fields = json.loads(parts["json"])
        return exact
    rest = {name: value for name, value in parts.items() if name not in ("framework", "content")}
    return {**_said(body), **rest, **({"contents": parts["content"]} if "content" in parts else {})}


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


def _essence(fields: Fields) -> Fields:
    """A message without what is the same for all: its type, and properties that are empty."""
    rest = {name: value for name, value in fields.items() if not _is_nothing(name, value)}
    contents = [
        {name: value for name, value in content.items() if name != "additional_properties" or value}
        for content in fields["contents"]
    ]
    return {**rest, "contents": contents}


def _is_nothing(name: str, value: Any) -> bool:
    return name == "type" or (name == "additional_properties" and not value)


def _with_properties(content: Mapping[str, Any]) -> dict[str, Any]:
    return {"additional_properties": {}, **content}


def _said(body: Mapping[str, Any]) -> Fields:
    """The message of the framework that a role, a text and perhaps a name say."""
    name, text = body.get("name"), body["content"]
    contents = [{"type": "text", "text": text}] if text else []
    return {"role": body["role"], "contents": contents, **({} if name is None else {"author_name": name})}


def _parts(fields: Fields, body: Mapping[str, Any]) -> dict[str, Any]:
    """What a message has that its role, its text and its name do not say; its contents, where it says nothing."""
    said, essence = _said(body), _essence(fields)
    parts = {name: value for name, value in essence.items() if name not in said or said[name] != value}
    contents = parts.pop("contents", None)
    if contents is None and body["content"].strip():
        return parts
    return {**parts, "content": essence["contents"]}


def _text_of(fields: Fields) -> str:
    """What a message says: its texts as the framework joins them, else what tools answered."""
    contents = fields["contents"]
    said = " ".join(str(content.get("text") or "") for content in contents if content.get("type") == "text")
    return said if said.strip() else "\n".join(filter(None, _answers_of(contents)))


def _answers_of(contents: list[Mapping[str, Any]]) -> Iterator[str]:
    for content in contents:
        if str(content.get("type")).endswith("_result"):
            yield text_of_result(next((content[name] for name in ANSWERS if content.get(name) is not None), None))
