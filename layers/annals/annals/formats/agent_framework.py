"""Messages of Microsoft Agent Framework in Annals' shape: as their ``to_dict()`` has them, with their ``contents``.

A message's text is ``content``. One that is a text and nothing else has no ``parts``; of every other one, ``parts`` has
what it holds, with its contents under ``content``, where calls of tools and their results are looked for.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from .plain_json import is_plain, without_surrogates
from .text import text_of_result

FRAMEWORK = "agent-framework"
ROLES = frozenset({"user", "assistant", "system", "tool"})
TEXT_CHARS = 64_000
"""How much of a text stands in ``content``; a longer one is whole in ``parts``."""
NAME_CHARS = 256
ANSWERS = ("result", "output", "outputs")
"""The fields in which the results of tools are."""

Fields = dict[str, Any]
"""A message of the framework as JSON: ``role``, ``contents`` and what else its ``to_dict()`` has."""


def is_message(value: Mapping[str, Any]) -> bool:
    """Whether this is a message of the framework: of version 1, or of the previews, whose roles are objects."""
    contents = value.get("contents")
    is_listed = isinstance(contents, list) and all(isinstance(content, Mapping) for content in contents)
    return is_listed and isinstance(_role_of(value), str) and not value.keys() & {"content", "parts"}


def to_annals(value: Mapping[str, Any]) -> dict[str, Any]:
    """A message of the framework as Annals'."""
    fields: Fields = {**value, "role": _role_of(value)}
    role, name = fields["role"], fields.get("author_name")
    body: dict[str, Any] = {
        "role": role if role in ROLES else "assistant",
        "content": without_surrogates(_text_of(fields)[:TEXT_CHARS]),
    }
    if isinstance(name, str) and name.isprintable() and name.strip() and len(name) <= NAME_CHARS:
        body["name"] = name
    parts = _parts(fields, body) if is_plain(fields) else {"json": json.dumps(fields)}
    return {**body, "parts": {"framework": FRAMEWORK, **parts}} if parts else body


def from_annals(message: Mapping[str, Any]) -> Fields:
    """The message of the framework that a stored one was. One that something else stored is its text."""
    parts = message.get("parts")
    if not isinstance(parts, Mapping) or parts.get("framework") != FRAMEWORK:
        return _said(message)
    if "json" in parts:
        exact: Fields = json.loads(parts["json"])
        return exact
    rest = {name: value for name, value in parts.items() if name not in ("framework", "content")}
    return {**_said(message), **rest, **({"contents": parts["content"]} if "content" in parts else {})}


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


def _role_of(value: Mapping[str, Any]) -> Any:
    role = value.get("role")
    return role.get("value") if isinstance(role, Mapping) else role


def _said(body: Mapping[str, Any]) -> Fields:
    """The message of the framework that a role, a text and perhaps a name say."""
    name, text = body.get("name"), body.get("content")
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
