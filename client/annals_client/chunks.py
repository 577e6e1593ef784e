"""How much there is of a reply that the caller's model streams; ``formats.streams`` reads what its chunks say."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from annals_client.formats.streams.failures import SourceFailed
from annals_client.formats.streams.reply import ReplyReader


@dataclass(frozen=True)
class Progress:
    """How much of a reply there is."""

    chunks: int
    characters: int


class Reply:
    """A reply as it comes, and how much there is of it; see ReplyReader for the parameters."""

    def __init__(self, *, think_tags: bool = True, text_of: Callable[[Any], str] | None = None) -> None:
        self.reader = ReplyReader(think_tags=think_tags, text_of=text_of)
        self.is_readable = text_of is not None
        """Whether chunks of any kind can be read."""
        self._chunks = 0
        self._characters = 0

    @property
    def progress(self) -> Progress:
        """How much there is so far."""
        return Progress(self._chunks, self._characters)

    @property
    def text(self) -> str:
        """What came so far."""
        return self.reader.text

    def require_readable(self, chunk: Any) -> None:
        """Raise UnknownChunk for a chunk of a kind that nobody knows."""
        if not self.is_readable:
            with suppress(SourceFailed, UnicodeDecodeError):  # which `take` raises, too
                ReplyReader().take(chunk)

    def take(self, chunk: Any) -> None:
        """Note a chunk; raises what ``ReplyReader.take`` raises."""
        self._characters += len(self.reader.take(chunk))
        self._chunks += 1

    def end(self) -> None:
        """Note the end. Raises UnicodeDecodeError where it is inside a character."""
        self.reader.end()
