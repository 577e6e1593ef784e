"""Asking a server with either client, for tests that ask the same of both."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable
from typing import Any

from annals_client import Annals, AsyncAnnals, Retries

QUICK = Retries(tries=4, first_s=0.001, longest_s=0.01)

Ask = Callable[..., Any]


def ask_waiting(url: str, do: Callable[[Any], Any], **options: Any) -> Any:
    """What the blocking client gets; of an iterable, the list of it."""
    with Annals(url, **{"key": "a-key", "retries": QUICK, "timeout_s": 5, **options}) as client:
        got = do(client)
        is_walk = isinstance(got, Iterable) and not isinstance(got, list) and not hasattr(got, "model_dump")
        return list(got) if is_walk else got


def ask_asyncio(url: str, do: Callable[[Any], Any], **options: Any) -> Any:
    """What the client for asyncio gets; of an asynchronous iterable, the list of it."""

    async def main() -> Any:
        async with AsyncAnnals(url, **{"key": "a-key", "retries": QUICK, "timeout_s": 5, **options}) as client:
            got = do(client)
            if isinstance(got, AsyncIterable):
                return [each async for each in got]
            return await got if isinstance(got, Awaitable) else got

    return asyncio.run(main())


BOTH = {"waiting": ask_waiting, "asyncio": ask_asyncio}
