"""Both clients, for tests that ask the same of each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable
from typing import Any

import pytest

from annals_client import Annals, AsyncAnnals, Retries

QUICK = Retries(tries=4, first_s=0.001, longest_s=0.01)

Ask = Callable[..., Any]


def ask_waiting(url: str, do: Callable[[Any], Any], **options: Any) -> Any:
    """What the blocking client gets; of an iterable, the list of it."""
    with Annals(url, "a-key", **{"retries": QUICK, "timeout_s": 5, **options}) as client:
        got = do(client)
        return list(got) if isinstance(got, Iterable) and not hasattr(got, "model_dump") else got


def ask_asyncio(url: str, do: Callable[[Any], Any], **options: Any) -> Any:
    """What the client for asyncio gets; of an asynchronous iterable, the list of it."""

    async def main() -> Any:
        async with AsyncAnnals(url, "a-key", **{"retries": QUICK, "timeout_s": 5, **options}) as client:
            got = do(client)
            if isinstance(got, AsyncIterable):
                return [each async for each in got]
            return await got if isinstance(got, Awaitable) else got

    return asyncio.run(main())


@pytest.fixture(params=[ask_waiting, ask_asyncio], ids=["waiting", "asyncio"])
def ask(request: pytest.FixtureRequest) -> Ask:
    """Asks a server with one of the clients: ``ask(url, lambda client: …)``."""
    chosen: Ask = request.param
    return chosen
