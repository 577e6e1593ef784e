"""Reading server-sent events from a provider's stream of bytes."""

from __future__ import annotations

from collections.abc import AsyncIterator

from annals.formats.streams.sse import EventReader


async def event_data(chunks: AsyncIterator[bytes]) -> AsyncIterator[str]:
    """The data of each event, as soon as its last byte is there.

    Chunks may end anywhere. Raises UnicodeDecodeError for a line that is not UTF-8.
    """
    reader = EventReader()
    async for chunk in chunks:
        for event in reader.read(chunk):
            yield event.data
    for event in reader.end():
        yield event.data
