"""How many tokens a message takes, estimated without a model's tokenizer; ``docs/context.md`` has the rules.

A text takes a token for every four bytes of UTF-8, so English comes out within about a fifth of what common byte-pair
encodings count. JSON, such as the arguments of a tool, takes more for its size. Pictures, files and recordings count as
``media`` says, not by the bytes that they are sent in.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .media import BYTES_PER_TOKEN, Hint, is_text, media_tokens, stored_tokens
from .references import Reference, find_reference
from .text import text_of

TOKENS_AROUND_MESSAGE = 4

JSON_BYTES_PER_TOKEN = 2.5
"""Of names, numbers, ids and what else JSON is made of; the sentences in it are texts like any other."""

BYTES_AROUND_NAME, BYTES_AROUND_ELEMENT = 6, 2
"""What quotes, colons, commas and spaces of JSON take."""

NUMBER_SHARE = 1.5
"""How much more a byte of a number counts: encodings cut numbers into short pieces."""

MOST_BYTES_PER_TOKEN = 16
"""A caller's own count of a text is believed from a token for so many bytes on, up to one for each byte."""

MEDIA_SPREAD = 4
"""Of media, a caller's own count is believed from a quarter to four times the estimate: so much do providers differ."""

NOT_SENT = frozenset(
    {"id", "usage", "usage_metadata", "response_metadata", "logprobs", "model", "object", "created", "created_at"}
    | {"stop_reason", "stop_sequence", "finish_reason", "providerMetadata", "provider_specific_fields"}
)
"""The fields of a provider's message that say something about it, and are not sent back with it."""

OF_TOOLS = frozenset({"input", "rawInput", "args", "arguments", "response"})
"""The names under which stands what a tool was given or answered: JSON for the model, whatever is in it."""


@dataclass(frozen=True)
class Weight:
    """What a message is made of: the bytes of texts, the bytes of other JSON, and the tokens of media."""

    text_bytes: int = 0
    json_bytes: int = 0
    media: int = 0

    def __add__(self, other: Weight) -> Weight:
        return Weight(self.text_bytes + other.text_bytes, self.json_bytes + other.json_bytes, self.media + other.media)

    @property
    def tokens(self) -> int:
        """The estimate."""
        return -(-self.text_bytes // BYTES_PER_TOKEN) + round(self.json_bytes / JSON_BYTES_PER_TOKEN) + self.media

    def bound(self, counted: int) -> int:
        """A caller's own count, or the nearest one that is possible."""
        size = self.text_bytes + self.json_bytes
        least = -(-size // MOST_BYTES_PER_TOKEN) + self.media // MEDIA_SPREAD
        return min(max(counted, least), size + self.media * MEDIA_SPREAD + TOKENS_AROUND_MESSAGE)


def estimate(text: str) -> int:
    """The tokens of a text; never fewer than one for a text that is not empty."""
    return _text(text).tokens


def estimate_message(message: Mapping[str, Any]) -> int:
    """The tokens of a stored message, parts and all, as it would be sent to a model.

    A count that the caller sent with it, ``metadata.tokens``, is believed as far as the message can have so many.
    """
    weight = weigh(message)
    counted = (message.get("metadata") or {}).get("tokens")
    if isinstance(counted, int) and not isinstance(counted, bool):
        return weight.bound(counted)
    return weight.tokens + TOKENS_AROUND_MESSAGE


def weigh(message: Mapping[str, Any]) -> Weight:
    """What a stored message is made of. A content that was derived from its parts is not counted beside them."""
    content, parts = message.get("content") or "", message.get("parts")
    if whole := find_reference(message.get("contentPart")):
        return _stored(whole) + (Weight() if parts is None else _value(parts, "", Hint()))
    if parts is None:
        return _words(content)
    if isinstance(parts, Mapping):
        parts = {name: value for name, value in parts.items() if name not in NOT_SENT}
    weight = _value(parts, "", Hint())
    return weight if _is_same_text(content, text_of(parts)) else weight + _words(content)


def _is_same_text(text: str, other: str) -> bool:
    return text == other or "".join(text.split()) == "".join(other.split())


def _text(text: str) -> Weight:
    return Weight(len(text.encode("utf-8", "replace")))


def _words(text: str) -> Weight:
    """A text, which may be the text of JSON, as the arguments and the results of tools often are."""
    if text[:1] in ("{", "[") and text.rstrip()[-1:] in ("}", "]"):
        try:
            return _value(json.loads(text), "", None)
        except (ValueError, RecursionError):
            return _text(text)
    return _text(text)


def _value(value: Any, name: str, hint: Hint | None) -> Weight:
    """A JSON value under a name.

    Parameters
    ----------
    hint : what the parts around it say of media in it; None where it is JSON for the model, and nothing else
    """
    if isinstance(value, str):
        media = media_tokens(value, name, hint) if hint else None
        return Weight(media=media) if media is not None else _string(value)
    if isinstance(value, Mapping):
        if hint and (reference := find_reference(value)):
            return _stored(reference)
        within = hint.of(value) if hint else None
        if hint and isinstance(value.get("text"), str) and value.keys() <= {"type", "text", "annotations", "citations"}:
            return _words(value["text"])
        return sum((_field(each, value[each], within) for each in value), Weight())
    if isinstance(value, list):
        return sum((Weight(json_bytes=BYTES_AROUND_ELEMENT) + _value(each, name, hint) for each in value), Weight())
    return Weight(json_bytes=round(len(json.dumps(value)) * NUMBER_SHARE))


def _stored(reference: Reference) -> Weight:
    """What is stored beside its message."""
    if reference.encoding == "json":
        return Weight(json_bytes=reference.size)
    if reference.encoding == "text" or is_text(reference.media_type):
        return Weight(reference.size)
    return Weight(media=stored_tokens(reference))


def _field(name: str, value: Any, hint: Hint | None) -> Weight:
    size = _text(name).text_bytes + BYTES_AROUND_NAME
    return Weight(json_bytes=size) + _value(value, name, None if name in OF_TOOLS else hint)


def _string(text: str) -> Weight:
    """A string within JSON: words, or a name or an id, which has no space in it."""
    words = _words(text)
    if not any(map(str.isspace, text)):
        return Weight(json_bytes=words.text_bytes + words.json_bytes)
    escapes = text.count("\n") + text.count('"') + text.count("\\")
    return words + Weight(json_bytes=escapes)
