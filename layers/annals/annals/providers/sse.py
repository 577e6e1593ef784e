"""Reading server-sent events from a provider's stream of bytes."""

from __future__ import annotations

from collections.abc import AsyncIterator


async def event_data(chunks: AsyncIterator[bytes]) -> AsyncIterator[str]:
    """The data of each event, as soon as its last byte is there.

    Chunks may end anywhere: lines are split as bytes and decoded whole, so a character is never cut. Raises
    UnicodeDecodeError for a line that is not UTF-8.
    """
    lines: list[str] = []
    async for line in _lines(chunks):
        if line.startswith(b"data:"):
            lines.append(line[5:].removeprefix(b" ").decode())
        elif not line and lines:
            yield "\n".join(lines)
            lines = []
    if lines:
        yield "\n".join(lines)


async def _lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Lines ended by LF or CRLF, without their ends; bytes after the last end are a line, too."""
    rest: list[bytes] = []
    async for chunk in chunks:
        *ended, tail = chunk.split(b"\n")
        for part in ended:
            yield b"".join((*rest, part)).removesuffix(b"\r")
            rest = []
        rest.append(tail)
    if last := b"".join(rest):
        yield last
