"""What can be wrong with a provider's stream."""

from __future__ import annotations

from typing import Any

from .plain import field, to_plain


class SourceFailed(Exception):
    """The model's own stream says that the reply failed; ``reason`` is what it says of that."""

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(f"The model said {what}: {reason}")
        self.reason = reason


class UnknownChunk(TypeError):
    """A chunk is none of a known provider, or has another shape than the provider's chunks have."""

    def __init__(self, chunk: Any) -> None:
        named = f"{chunk['type']!r}" if isinstance(chunk, dict) and "type" in chunk else type(chunk).__name__
        super().__init__(f"response_stream gave {named}, which is no chunk of a known model; say text_of=…")


def failure(what: str, error: Any) -> SourceFailed:
    """The failure that an error within a stream stands for; ``what`` says where it was said."""
    return SourceFailed(what, error_text(error))


def error_text(error: Any) -> str:
    """What an error says of itself."""
    for name in ("message", "errorText", "error", "detail"):
        within = field(error, name)
        if within:
            return within if isinstance(within, str) else error_text(within)
    return str(error if isinstance(error, str) else to_plain(error))
