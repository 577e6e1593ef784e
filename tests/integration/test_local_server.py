"""The development server's listener."""

from __future__ import annotations

import asyncio
import socket

from local.server import _listen


async def delays(listener: socket.socket) -> bool:
    """Whether the server's end of a connection waits for acknowledgements before it sends on."""
    nagle_off: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def note(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        no_delay = writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        nagle_off.set_result(not no_delay)
        writer.close()

    async with await asyncio.start_server(note, sock=listener):
        _, writer = await asyncio.open_connection(*listener.getsockname())
        writer.close()
        return await nagle_off


def test_answers_are_sent_without_delay() -> None:
    with _listen(0) as listener:
        assert not asyncio.run(delays(listener))
