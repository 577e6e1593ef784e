"""What sends calls: one way that blocks, one for asyncio. Everything that is decided is decided elsewhere."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

import httpx

from annals_client.calls import Call, Save, StepRunner, Steps, require_success
from annals_client.errors import AnnalsError
from annals_client.files import Destination, FileTarget
from annals_client.retries import Retries, Tries

T = TypeVar("T")


@dataclass(frozen=True)
class Connection:
    """Where Annals answers, with which key, and how long to wait for it."""

    url: str
    key: str = field(repr=False)
    timeout_s: float
    retries: Retries
    user_agent: str

    def request(self, http: httpx.Client | httpx.AsyncClient, call: Call[Any]) -> httpx.Request:
        """The HTTP request of a call."""
        key = {} if call.signed else {"Authorization": f"Bearer {self.key}"}
        headers = {**key, "User-Agent": self.user_agent, **call.headers}
        content: Any = call.content
        if call.stream is not None:
            is_async = isinstance(http, httpx.AsyncClient)
            content = call.stream.async_chunks() if is_async else call.stream.chunks()
        return http.build_request(
            call.method,
            call.path if call.signed else self.url + call.path,
            params=call.query or None,
            content=content,
            headers=headers,
            timeout=call.patience_s or self.timeout_s,
        )

    def tries(self, call: Call[Any]) -> Tries:
        """The tries that a call has."""
        return Tries(self.retries, call.repeat)


class Sender:
    """Sends calls, and waits for their answers."""

    def __init__(self, connection: Connection, http: httpx.Client) -> None:
        self.connection = connection
        self.pause = time.sleep
        self._http = http

    def send(self, call: Call[T]) -> T:
        """The answer to a call, after as many tries as it takes. Raises AnnalsError."""
        tries = self.connection.tries(call)
        while True:
            try:
                return call.read(self._http.send(self.connection.request(self._http, call)))
            except (httpx.RequestError, AnnalsError) as failure:
                pause_s = tries.pause_after(failure)
            self.pause(pause_s)

    def run(self, steps: Steps[T]) -> T:
        """Send the calls of several steps, tell each answer, and return what comes of them."""
        walk = StepRunner(steps)
        while call := walk.next_call():
            try:
                walk.take(self.save(call.call, call.to) if isinstance(call, Save) else self.send(call))
            except AnnalsError as failure:
                walk.fail(failure)
        return cast("T", walk.result)

    @contextmanager
    def open(self, call: Call[Any]) -> Iterator[httpx.Response]:
        """The answer to a call, its body yet to be read. One try. Raises AnnalsError, httpx.RequestError."""
        response = self._http.send(self.connection.request(self._http, call), stream=True)
        try:
            if not response.is_success:
                response.read()
                require_success(response)
            yield response
        finally:
            response.close()

    def save(self, call: Call[Any], to: Destination, on_write: Callable[[int], Any] = lambda _: None) -> int:
        """Write the answer to a call into a file; how many bytes it has. Raises AnnalsError. See FileTarget."""
        tries = self.connection.tries(call)
        with FileTarget(to, on_write) as file:
            while True:
                try:
                    with self.open(call) as response:
                        for chunk in response.iter_bytes():
                            file.write(chunk)
                    return file.size
                except (httpx.RequestError, AnnalsError) as failure:
                    pause_s = tries.pause_after(failure, last=not file.restart())
                self.pause(pause_s)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()


class AsyncSender:
    """Sends calls for asyncio."""

    def __init__(self, connection: Connection, http: httpx.AsyncClient) -> None:
        self.connection = connection
        self.pause = asyncio.sleep
        self._http = http

    async def send(self, call: Call[T]) -> T:
        """The answer to a call, after as many tries as it takes. Raises AnnalsError."""
        tries = self.connection.tries(call)
        while True:
            try:
                return call.read(await self._http.send(self.connection.request(self._http, call)))
            except (httpx.RequestError, AnnalsError) as failure:
                pause_s = tries.pause_after(failure)
            await self.pause(pause_s)

    async def run(self, steps: Steps[T]) -> T:
        """Send the calls of several steps, tell each answer, and return what comes of them."""
        walk = StepRunner(steps)
        while call := walk.next_call():
            try:
                walk.take(await (self.save(call.call, call.to) if isinstance(call, Save) else self.send(call)))
            except AnnalsError as failure:
                walk.fail(failure)
        return cast("T", walk.result)

    @asynccontextmanager
    async def open(self, call: Call[Any]) -> AsyncIterator[httpx.Response]:
        """The answer to a call, its body yet to be read. One try. Raises AnnalsError, httpx.RequestError."""
        response = await self._http.send(self.connection.request(self._http, call), stream=True)
        try:
            if not response.is_success:
                await response.aread()
                require_success(response)
            yield response
        finally:
            await response.aclose()

    async def save(self, call: Call[Any], to: Destination) -> int:
        """Write the answer to a call into a file; how many bytes it has. Raises AnnalsError."""
        tries = self.connection.tries(call)
        with FileTarget(to) as file:
            while True:
                try:
                    async with self.open(call) as response:
                        async for chunk in response.aiter_bytes():
                            file.write(chunk)
                    return file.size
                except (httpx.RequestError, AnnalsError) as failure:
                    pause_s = tries.pause_after(failure, last=not file.restart())
                await self.pause(pause_s)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()
