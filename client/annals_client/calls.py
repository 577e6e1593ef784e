"""Calls: a request of the API, described once; what sends it is another matter."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import partial
from typing import Any, Generic, Protocol, TypeVar
from uuid import uuid4

import httpx
from pydantic import TypeAdapter, ValidationError

from annals_client import wire
from annals_client.errors import AnnalsError, Problem, error_from_response
from annals_client.files import JSON, JSON_LINES, Destination

T = TypeVar("T")

KEY_HEADER = "Idempotency-Key"


class Repeat(Enum):
    """Whether a request may be sent again where it is not known what the first one did."""

    SAFELY = "it reads, or brings about what is so already"
    WITH_KEY = "it stores, once for each Idempotency-Key"
    NEVER = "it stores, each time anew"


@dataclass(frozen=True)
class Route:
    """A method and a path template: ``GET /v1/receipts/{receiptId}``."""

    method: str
    template: str

    @staticmethod
    def of(text: str) -> Route:
        """The route that a text names."""
        method, _, template = text.partition(" ")
        return Route(method, template)


@dataclass(frozen=True)
class RequestSpec:
    """What a request holds beside its route. ``ids`` are for the path; ``body`` is JSON, ``lines`` are JSON lines.

    ``repeat`` says whether it may be sent again, where that is not the same for all requests of the route.
    """

    ids: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    lines: bytes | None = None
    if_match: int | None = None
    key: str | None = None
    repeat: Repeat | None = None

    def headers(self, repeat: Repeat) -> dict[str, str]:
        """The headers that go with it; a request that stores gets a key of its own where the caller gave none."""
        headers = {"If-Match": f'"{self.if_match}"'} if self.if_match is not None else {}
        if repeat is Repeat.WITH_KEY:
            headers[KEY_HEADER] = str(uuid4()) if self.key is None else self.key
        if self.body is not None or self.lines is not None:
            headers["Content-Type"] = JSON if self.lines is None else JSON_LINES
        return headers


class Stream(Protocol):
    """A body that is sent piece by piece, as often as the request is."""

    def chunks(self) -> Iterator[bytes]:
        """The pieces."""

    def async_chunks(self) -> AsyncIterator[bytes]:
        """The pieces for asyncio."""


@dataclass(frozen=True)
class Call(Generic[T]):
    """A request, and how its answer is read.

    ``stream`` is a body that is sent piece by piece. The path of a call that is ``signed`` is a URL that carries its
    own permission: it goes there without the key, perhaps to another server.
    """

    method: str
    path: str
    read: Callable[[httpx.Response], T]
    query: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    content: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    repeat: Repeat = Repeat.SAFELY
    patience_s: float | None = None
    stream: Stream | None = None
    signed: bool = False

    @staticmethod
    def of(route: Route, request: RequestSpec, read: Callable[[httpx.Response], T], repeat: Repeat) -> Call[T]:
        """The call of a route with this request. Raises InvalidArgument for what no request can carry."""
        path = wire.path(route.template, request.ids)
        query = {name: wire.utf8(value, name) for name, value in request.query.items()}
        headers = {name: wire.header(name, value) for name, value in request.headers(repeat).items()}
        content = request.lines if request.body is None else wire.encoded(request.body)
        return Call(route.method, path, read, query, request.body, content, headers, repeat)

    def with_header(self, name: str, value: str) -> Call[T]:
        """The same call with a header more."""
        return replace(self, headers={**self.headers, name: value})

    def with_patience(self, seconds: float) -> Call[T]:
        """The same call, for which the answer may be silent that long."""
        return replace(self, patience_s=seconds)


@dataclass(frozen=True)
class Save:
    """A call whose answer is written into a file; what it gives is how many bytes that has."""

    call: Call[Any]
    to: Destination


Step = Call[Any] | Save

Steps = Generator[Step, Any, T]
"""Several calls after one another: yields each, is sent its answer, and returns what came of them."""


class StepRunner(Generic[T]):
    """Runs several calls after one another: it gives the next call, and takes its answer."""

    def __init__(self, steps: Steps[T]) -> None:
        self._steps = steps
        self._go_on: Callable[[], Step] = partial(next, steps)
        self.result: T | None = None
        """What came of the calls, once there is none left."""

    def next_call(self) -> Step | None:
        """The next call; None where all are done. Raises what the steps raise."""
        try:
            return self._go_on()
        except StopIteration as end:
            self.result = end.value
            return None

    def take(self, answer: Any) -> None:
        """Give the steps the answer to their call."""
        self._go_on = partial(self._steps.send, answer)

    def fail(self, failure: AnnalsError) -> None:
        """Give the steps the failure of their call."""
        self._go_on = partial(self._steps.throw, failure)


def reader(kind: type[T], inside: str | None = None) -> Callable[[httpx.Response], T]:
    """What reads an answer as ``kind``, or as what its field ``inside`` holds."""
    adapter = TypeAdapter(kind)

    def read(response: httpx.Response) -> T:
        require_success(response)
        try:
            answer: Any = response.json() if response.content else None
            return adapter.validate_python(answer if inside is None else answer[inside])
        except (ValidationError, ValueError, KeyError, TypeError) as failure:
            subject = f"The answer to {response.request.method} {response.request.url.path}"
            raise unexpected(response.status_code, subject, failure) from failure

    return read


def require_success(response: httpx.Response) -> None:
    """Raise the refusal that an answer is, unless it is a success. Its body must have been read."""
    if not response.is_success:
        raise error_from_response(response)


def unexpected(status: int, what: str, failure: Exception) -> AnnalsError:
    """The exception for a success that is not what Annals answers: some other server's, perhaps."""
    detail = f"{what} is not one of Annals': {failure}"
    return AnnalsError(Problem(status, "UNEXPECTED_ANSWER", "Unexpected answer", detail))
