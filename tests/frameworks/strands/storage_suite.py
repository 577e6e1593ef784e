"""A pytest plugin: Strands' own tests of storage and of snapshots run with our storage in the place of theirs."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import served
import strands.storage

from annals_client.integrations.strands import AnnalsStorage


class InMemoryStorage(AnnalsStorage):
    """A storage that holds nothing yet, in the place of one in memory."""

    def __init__(self, **options: Any) -> None:
        super().__init__(url=served.url(), key=served.new_key(), **options)

    def clear(self) -> None:
        """Delete all, as their storage in memory can; it is called within an event loop."""

        async def delete_all() -> None:
            for key in await self.list():
                await self.delete(key)

        with ThreadPoolExecutor(1) as pool:
            pool.submit(asyncio.run, delete_all()).result()


class LocalFileStorage(AnnalsStorage):
    """A storage in the place of one of files: what is in the same folder is in the same tenant."""

    def __init__(self, folder: str = "", **options: Any) -> None:
        super().__init__(url=served.url(), key=_key_of(folder), **options)


@cache
def _key_of(folder: str) -> str:
    return served.new_key()


strands.storage.InMemoryStorage = InMemoryStorage  # type: ignore[assignment,misc]
strands.storage.LocalFileStorage = LocalFileStorage  # type: ignore[assignment,misc]
