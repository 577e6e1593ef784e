"""A provider's message as it grows. Its texts are kept in pieces and joined once, in time linear in their length."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

Json = Mapping[str, Any]

FIXED = frozenset({"id", "type", "name", "index", "role", "format", "object", "call_id", "expires_at"})
"""The fields of a delta that are no pieces of a text: what is said first counts."""


class Pieces(list[str]):
    """A text as it grows."""


def grow(fields: dict[str, Any], name: str, piece: Any) -> None:
    """Add a piece to a text of a message; what is no text is left aside."""
    if isinstance(piece, str) and piece:
        text = fields.get(name)
        if not isinstance(text, Pieces):
            fields[name] = text = Pieces([text] if isinstance(text, str) and text else [])
        text.append(piece)


def merge(fields: dict[str, Any], delta: Json) -> None:
    """Add to fields what a delta has: texts grow, objects are merged, lists by the ``index`` of what is in them."""
    for name, value in delta.items():
        present = fields.get(name)
        if value is None:
            fields.setdefault(name, None)
        elif isinstance(value, str) and name not in FIXED:
            grow(fields, name, value) if value else fields.setdefault(name, "")
        elif isinstance(value, Mapping):
            fields[name] = present if isinstance(present, dict) else {}
            merge(fields[name], value)
        elif isinstance(value, list):
            fields[name] = present if isinstance(present, list) and not isinstance(present, Pieces) else []
            merge_list(fields[name], value)
        elif name not in FIXED or present in (None, ""):
            fields[name] = value


def merge_list(items: list[Any], delta: list[Any]) -> None:
    """Add to a list what another has: to an item of the same ``index`` its delta, and all else at the end."""
    for item in delta:
        if not isinstance(item, Mapping):
            items.append(item)
            continue
        known = _find_by_index(items, item.get("index"))
        if known is None:
            items.append(known := {})
        merge(known, item)


def _find_by_index(items: list[Any], index: Any) -> dict[str, Any] | None:
    """The last item of an index; None where there is none, or no index."""
    if index is None:
        return None
    return next((item for item in reversed(items) if isinstance(item, dict) and item.get("index") == index), None)


def built(value: Any) -> Any:
    """What has grown, as JSON; half of a surrogate pair, which no JSON can hold, is replaced."""
    if isinstance(value, Pieces):
        return whole_text("".join(value))
    if isinstance(value, Mapping):
        return {name: built(part) for name, part in value.items()}
    if isinstance(value, list):
        return [built(part) for part in value]
    return whole_text(value) if isinstance(value, str) else value


def whole_text(text: str) -> str:
    """A text in which two halves of a character that came apart are one, and half of one is replaced."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def parsed(text: Any) -> Any:
    """The JSON object that a tool's arguments are; the text itself where they are none, or were cut off."""
    if text in (None, ""):
        return {}
    try:
        value = json.loads(text)
    except (TypeError, ValueError):
        return text
    return value if isinstance(value, dict) else text


def present(fields: Json) -> dict[str, Any]:
    """The fields that say something: no null, no empty text, list or object."""
    return {name: value for name, value in fields.items() if value not in (None, "", [], {})}


def add_usage(total: dict[str, Any], usage: Json) -> None:
    """Add the tokens of one more response, or of one more piece of it, to those of a reply."""
    for name, value in usage.items():
        if isinstance(value, Mapping):
            within = total.setdefault(name, {})
            if isinstance(within, dict):
                add_usage(within, value)
        elif isinstance(value, int | float) and isinstance(total.get(name), int | float):
            total[name] += value
        elif value is not None:
            total[name] = value


class Lines:
    """Puts the texts of a reply on lines of their own where something else stands between them.

    Blocks of text that follow each other directly are one text, which providers cut where a part of it has a source.
    """

    def __init__(self) -> None:
        self._last: Any = None
        self._is_apart = False

    def text(self, key: Any, piece: Any) -> str:
        """A piece of the text block ``key``, with a newline before it where it begins a new line."""
        if not isinstance(piece, str) or not piece:
            return ""
        begins = self._last is not None and self._is_apart and key != self._last
        self._last, self._is_apart = key, False
        return f"\n{piece}" if begins else piece

    def other(self) -> None:
        """Note something else than text."""
        self._is_apart = True
