"""A streamed reply as it comes, whoever's it is: its text, and at the end its parts and why it ended."""

from __future__ import annotations

import json
from codecs import getincrementaldecoder
from collections.abc import Callable, Mapping
from typing import Any

from ..references import without_references
from .endings import Ending, ending_of
from .failures import UnknownChunk, failure
from .growing import Json, whole_text
from .provider import ProviderReply
from .recognising import Kind, find_kind, to_chunk
from .thinking import ThinkTags, without_thinking

MAX_REASON_CHARS = 128

BLOCK_LISTS = ("content", "parts")
"""The fields that hold a message's blocks."""

THOUGHTS = "reasoning_content"
"""The field of the parts that holds what stood between ``<think>`` and ``</think>``."""

SPEAKING = frozenset({"tool_calls", "invalid_tool_calls", "function_call", "audio", "images"})
"""The fields of a message that are a reply without any text."""

QUIET_BLOCKS = frozenset(
    {"text", "output_text", "thinking", "redacted_thinking", "reasoning", "step-start", "message", "source-url"}
)


class ReplyReader:
    """Reads a reply, chunk by chunk; its pieces are kept, and joined once.

    Parameters
    ----------
    think_tags : whether what stands between ``<think>`` and ``</think>`` is thinking, and no text
    text_of : what a chunk that is neither str nor bytes says, instead of what is known of the providers' chunks
    kind : whose chunks they are, where that is known beforehand
    """

    def __init__(
        self, *, think_tags: bool = True, text_of: Callable[[Any], str] | None = None, kind: Kind | None = None
    ) -> None:
        self._text_of = text_of
        self._only_kind = kind
        self._decoder = getincrementaldecoder("utf-8")()
        self._half = ""
        self._tags = ThinkTags() if think_tags else None
        self._pieces: list[str] = []
        self._providers: dict[Kind, ProviderReply] = {}
        self._kind: Kind | None = None
        self._has_word = False

    def take(self, chunk: Any) -> str:
        """Note a chunk, and return the text that can be passed on: whole characters, and no part of a tag.

        Raises
        ------
        SourceFailed : the chunk says that the reply failed
        UnknownChunk : it is no chunk of a known provider
        UnicodeDecodeError : bytes are no UTF-8
        """
        return self._speak(self._read(chunk))

    def end(self) -> str:
        """Note the end, and return what is left of the text. Raises UnicodeDecodeError where it is in a character."""
        half, self._half = self._half, ""
        text = self._speak("", whole_text(half))
        if self._tags:
            text += self._keep(self._tags.end())
        self._decoder.decode(b"", final=True)
        return text

    @property
    def text(self) -> str:
        """The text that came so far."""
        return "".join(self._pieces)

    @property
    def has_words(self) -> bool:
        """Whether there is more to the text than white space."""
        return self._has_word

    @property
    def is_reply(self) -> bool:
        """Whether this is a reply: some words, or something else than words, such as a call of a tool."""
        return self._has_word or has_more_than_text(self.parts)

    @property
    def parts(self) -> Any:
        """What else there is than text, as the provider has it: a list of blocks, an object of fields, or None."""
        fields: dict[str, Any] = without_references(self._fields())
        if self._tags:
            fields = {name: _spoken(value) if name in BLOCK_LISTS else value for name, value in fields.items()}
        if self._tags and self._tags.thinking:
            said = [thought for thought in (fields.get(THOUGHTS), self._tags.thinking) if isinstance(thought, str)]
            fields[THOUGHTS] = "\n".join(said)
        if len(fields) > 1:
            return fields
        return next((fields[name] for name in BLOCK_LISTS if fields.get(name)), fields or None)

    @property
    def usage(self) -> Mapping[str, Any]:
        """The tokens, under the provider's names; empty where they are not known."""
        fields = self._fields()
        return next((fields[name] for name in ("usage", "usageMetadata", "usage_metadata") if fields.get(name)), {})

    @property
    def finish_reason(self) -> str | None:
        """Why the reply ended, in the provider's word; None where that was not said."""
        reason = next((each.finish_reason for each in reversed(self._providers.values()) if each.finish_reason), "")
        return whole_text(reason.strip()[:MAX_REASON_CHARS]) or None

    @property
    def ending(self) -> Ending:
        """Whether the reply is whole, and why it is not. One whose provider still had to say its end failed."""
        if any(each.is_open for each in self._providers.values()):
            return "failed"
        return ending_of(self.finish_reason)

    @property
    def is_cut(self) -> bool:
        """Whether there would have been more to the reply."""
        return self.ending != "whole"

    def _read(self, chunk: Any) -> str:
        if isinstance(chunk, str):
            return chunk
        if isinstance(chunk, bytes | bytearray | memoryview):
            return self._decoder.decode(bytes(chunk))
        if self._text_of is not None:
            return self._text_of(chunk)
        plain = to_chunk(chunk)
        return "" if plain is None else self._take_plain(plain, chunk)

    def _take_plain(self, plain: Json, chunk: Any) -> str:
        if plain.get("type") == "error":
            raise failure("error", plain)
        kind = self._only_kind or find_kind(plain)
        if kind is None and self._kind is not None and isinstance(plain.get("type"), str):
            return ""  # an event that a known provider has added since
        if kind is None:
            raise UnknownChunk(chunk)
        self._kind = kind
        reply = self._providers.setdefault(kind, kind())
        try:
            return reply.take(plain)
        except UnknownChunk:
            raise
        except (AttributeError, KeyError, IndexError, TypeError, ValueError) as shape:
            raise UnknownChunk(chunk) from shape

    def _speak(self, piece: str, last: str = "") -> str:
        """Whole characters of a piece, without the thinking; an emoji escaped as two halves may come in two chunks."""
        text = self._half + piece
        self._half = text[-1] if "\ud800" <= text[-1:] <= "\udbff" else ""
        text = whole_text(text[: len(text) - len(self._half)]) + last
        return self._keep(self._tags.take(text) if self._tags else text)

    def _keep(self, text: str) -> str:
        if text:
            self._pieces.append(text)
            self._has_word = self._has_word or not text.isspace()
        return text

    def _fields(self) -> dict[str, Any]:
        return {name: value for each in self._providers.values() for name, value in each.fields().items()}


def omitted(parts: Any) -> dict[str, Any]:
    """What is stored instead of parts that there is no room for: how many bytes of JSON they are."""
    written = json.dumps(parts, ensure_ascii=False, separators=(",", ":"))
    return {"omitted": {"bytes": len(written.encode())}}


def _spoken(value: Any) -> Any:
    """Blocks without the thinking in their texts."""
    if not isinstance(value, list):
        return value
    return [_without_tags(block) if isinstance(block, Mapping) else block for block in value]


def _without_tags(block: Json) -> dict[str, Any]:
    texts = {"text": without_thinking(block["text"])} if isinstance(block.get("text"), str) else {}
    content = {"content": _spoken(block["content"])} if block.get("type") == "message" else {}
    return {**block, **texts, **content}


def has_more_than_text(parts: Any) -> bool:
    """Whether parts are a reply without any text: calls of tools, pictures, a voice."""
    if isinstance(parts, list):
        return any(isinstance(block, Mapping) and not _is_quiet(block) for block in parts)
    return isinstance(parts, Mapping) and any(map(_is_reply, parts.items()))


def _is_reply(field: tuple[str, Any]) -> bool:
    """Whether a field of a message is a reply."""
    name, value = field
    if name in BLOCK_LISTS:
        return has_more_than_text(value)
    return name in SPEAKING and bool(value)


def _is_quiet(block: Json) -> bool:
    """Whether a block holds nothing but text or thinking."""
    kind = block.get("type")
    if isinstance(kind, str):
        return kind in QUIET_BLOCKS
    return block.keys() <= {"text", "thought", "thoughtSignature", "thought_signature", "reasoningContent"}
