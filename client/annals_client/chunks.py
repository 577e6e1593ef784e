"""What the pieces of a model's reply say, whoever's model it is.

| chunks of | are |
|---|---|
| anything that streams text | str, or bytes of UTF-8 that may be cut inside a character |
| OpenAI, chat completions | objects or dicts with ``choices`` |
| OpenAI, responses | events with ``type``: ``response.output_text.delta`` and others |
| Anthropic, messages | events with ``type``: ``content_block_delta`` and others |
| Amazon Bedrock, ConverseStream | dicts with ``contentBlockDelta`` and others |
"""

from __future__ import annotations

from codecs import getincrementaldecoder
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

BEDROCK = {"messageStart", "contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata"}

FAILURES = {"error", "response.failed"}
"""The types of events that say that the reply failed."""


class SourceFailed(Exception):
    """The model's own stream says that the reply failed."""


@dataclass(frozen=True)
class Progress:
    """How much of a reply there is."""

    chunks: int
    characters: int


class Reply:
    """A reply as it comes: its pieces are kept, and joined once.

    Parameters
    ----------
    text_of : what a chunk that is neither str nor bytes says
    """

    def __init__(self, text_of: Callable[[Any], str]) -> None:
        self._text_of = text_of
        self._decoder = getincrementaldecoder("utf-8")()
        self._pieces: list[str] = []
        self._chunks = 0
        self._characters = 0

    @property
    def progress(self) -> Progress:
        """How much there is so far."""
        return Progress(self._chunks, self._characters)

    @property
    def text(self) -> str:
        """What came so far. Two halves of a character that came as two escapes are one; half of one is replaced."""
        joined = "".join(self._pieces)
        return joined.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

    @property
    def says_something(self) -> bool:
        """Whether there is more than white space."""
        return any(piece and not piece.isspace() for piece in self._pieces)

    def take(self, chunk: Any) -> None:
        """Note a chunk. Raises SourceFailed, TypeError for what is no chunk, UnicodeDecodeError."""
        text = self._read(chunk)
        self._chunks += 1
        self._characters += len(text)
        if text:
            self._pieces.append(text)

    def end(self) -> None:
        """Note the end. Raises UnicodeDecodeError where it is inside a character."""
        self._decoder.decode(b"", final=True)

    def _read(self, chunk: Any) -> str:
        if isinstance(chunk, str):
            return chunk
        if isinstance(chunk, bytes | bytearray | memoryview):
            return self._decoder.decode(bytes(chunk))
        return self._text_of(chunk)


def text_of(chunk: Any) -> str:
    """What a provider's chunk adds to the reply; empty for one that adds nothing.

    Raises
    ------
    SourceFailed : the chunk says that the reply failed
    TypeError : it is no chunk of a known provider
    """
    kind = _get(chunk, "type")
    if isinstance(kind, str):
        return _of_event(kind, chunk)
    if (choices := _get(chunk, "choices")) is not None:
        return _of_choices(choices, chunk)
    if isinstance(chunk, Mapping) and len(chunk) == 1:
        return _of_bedrock(chunk)
    raise TypeError(f"response_stream gave {type(chunk).__name__}, which is no chunk of a known model; say text_of=…")


def _of_event(kind: str, event: Any) -> str:
    """The text of an event of OpenAI's responses or Anthropic's messages."""
    if kind in FAILURES:
        error = _get(event, "error") or _get(event, "response") or event
        raise SourceFailed(f"The model said {kind}: {_error_text(error)}")
    delta = _get(event, "delta")
    if kind in ("response.output_text.delta", "response.refusal.delta"):
        return str(delta)
    if kind == "content_block_delta" and _get(delta, "type") == "text_delta":
        return str(_get(delta, "text"))
    return ""


def _of_choices(choices: Any, chunk: Any) -> str:
    """The text of a chunk of OpenAI's chat completions; of several choices, the first."""
    if error := _get(chunk, "error"):
        raise SourceFailed(f"The model broke off: {_error_text(error)}")
    first = next((choice for choice in choices if not _get(choice, "index")), None)
    delta = _get(first, "delta")
    return str(_get(delta, "content") or _get(delta, "refusal") or "")


def _of_bedrock(event: Mapping[str, Any]) -> str:
    """The text of an event of Bedrock's ConverseStream."""
    (name, content), *_ = event.items()
    if name.endswith("Exception"):
        raise SourceFailed(f"Bedrock said {name}: {_error_text(content)}")
    if name not in BEDROCK:
        raise TypeError(f"response_stream gave {name!r}, which is no event of a known model; say text_of=…")
    return str(content["delta"].get("text", "")) if name == "contentBlockDelta" else ""


def _error_text(error: Any) -> str:
    """What an error says of itself."""
    return str(_get(error, "message") or _get(_get(error, "error"), "message") or error)


def _get(chunk: Any, name: str) -> Any:
    return chunk.get(name) if isinstance(chunk, Mapping) else getattr(chunk, name, None)
