"""What can go wrong, as exceptions. One table says which code or status becomes which."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx


@dataclass(frozen=True)
class Problem:
    """Why a request was refused: problem details (RFC 9457), or as much of them as there is.

    ``status`` is the HTTP status, 0 where no answer came; ``code`` is stable and in capitals; ``field`` is the
    offending field, as it was sent; ``current`` is the number that If-Match should have named; ``retry_after_s`` is
    how long to wait, as the server asks for.
    """

    status: int
    code: str
    title: str
    detail: str
    field: str | None = None
    request_id: str | None = None
    current: int | None = None
    retry_after_s: float | None = None


@dataclass(frozen=True)
class Stored:
    """What the ledger holds of a turn whose reply failed."""

    conversation_id: str
    message_ids: tuple[str, ...]


class AnnalsError(Exception):
    """Annals refused, or could not be reached."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.problem = problem

    def __str__(self) -> str:
        problem = self.problem
        return f"{problem.detail} ({problem.code}, request {problem.request_id or 'unknown'})"

    @property
    def status(self) -> int:
        """The HTTP status; 0 where no answer came."""
        return self.problem.status

    @property
    def code(self) -> str:
        """The stable code, such as ``CONVERSATION_NOT_FOUND``."""
        return self.problem.code

    @property
    def title(self) -> str:
        """The kind of the problem, in a few words."""
        return self.problem.title

    @property
    def detail(self) -> str:
        """What is wrong and what to do next, in a sentence."""
        return self.problem.detail

    @property
    def field(self) -> str | None:
        """The offending field, as it was sent."""
        return self.problem.field

    @property
    def request_id(self) -> str | None:
        """The id under which the server's log names the request."""
        return self.problem.request_id


class ConnectionFailed(AnnalsError):
    """No answer came, or it broke off.

    ``sent`` is False where the request cannot have reached the server; ``passing`` is False where sending it again
    cannot help.
    """

    def __init__(self, failure: httpx.RequestError) -> None:
        kind = "TIMEOUT" if isinstance(failure, httpx.TimeoutException) else "CONNECTION_FAILED"
        detail = f"Annals gave no answer: {failure or type(failure).__name__}"
        super().__init__(Problem(0, kind, "No answer", detail))
        self.sent = not isinstance(failure, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
        self.passing = not isinstance(failure, httpx.UnsupportedProtocol | httpx.LocalProtocolError)


class ValidationFailed(AnnalsError):
    """400, 413, 415, 422: the request says something that cannot be; ``code`` and ``field`` say what."""


class InvalidArgument(ValidationFailed, ValueError):
    """An argument that no request can carry; ``field`` names it. Nothing was sent."""

    def __str__(self) -> str:
        return f"{self.detail} ({self.code})"


class Unauthorized(AnnalsError):
    """401: no key, or one that does not work."""


class Forbidden(AnnalsError):
    """403: the key lacks a scope."""


class NotFound(AnnalsError):
    """404: there is no such thing, or the key may not see it."""


class Conflict(AnnalsError):
    """409: what is there does not allow it; ``code`` says why."""


class Erased(NotFound):
    """410: the conversation was erased, and its id is never used again."""


class PreconditionFailed(AnnalsError):
    """412: If-Match named another number than ``current``."""

    @property
    def current(self) -> int | None:
        """The number that If-Match should have named."""
        return self.problem.current


class RateLimited(AnnalsError):
    """429: too many requests."""


class Unavailable(AnnalsError):
    """502, 503, 504: Annals, or what it depends on, does not answer now."""


class ServerFailed(AnnalsError):
    """500: something went wrong inside Annals; its log names the cause under ``request_id``."""


class StreamFailed(AnnalsError):
    """A streamed reply broke off. ``stored`` names what is stored of the turn, ``text`` is what came of the reply."""

    def __init__(self, problem: Problem, stored: Stored | None = None, text: str = "") -> None:
        super().__init__(problem)
        self.stored = stored
        self.text = text


class ReplyNotStored(AnnalsError):
    """A streamed reply came to its end, and was refused where it was to be stored; ``code`` says why.

    ``stored`` names what is stored of the turn, ``text`` is the reply, so that nothing is lost.
    """

    def __init__(self, problem: Problem, stored: Stored, text: str) -> None:
        super().__init__(problem)
        self.stored = stored
        self.text = text


class StreamEmpty(StreamFailed):
    """A streamed reply had no word in it. The user's message is stored."""


ERRORS: Mapping[int | str, type[AnnalsError]] = {
    "STREAM_EMPTY": StreamEmpty,
    "STREAM_FAILED": StreamFailed,
    400: ValidationFailed,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Erased,
    412: PreconditionFailed,
    413: ValidationFailed,
    415: ValidationFailed,
    422: ValidationFailed,
    429: RateLimited,
    500: ServerFailed,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}
"""The exception of each code that has its own, and of each status."""


def to_error(problem: Problem) -> AnnalsError:
    """The exception for a problem."""
    return ERRORS.get(problem.code, ERRORS.get(problem.status, AnnalsError))(problem)


def stream_error(details: Mapping[str, Any], text: str) -> StreamFailed | ReplyNotStored:
    """The exception for a stream's ``error`` event: problem details, and what is stored of the turn."""
    stored_turn = details.get("stored")
    stored = Stored(stored_turn["conversationId"], tuple(stored_turn["messageIds"])) if stored_turn else None
    problem = to_problem(details, status=0)
    error = ERRORS.get(problem.code)
    if error is not None and issubclass(error, StreamFailed):
        return error(problem, stored, text)
    if stored and 400 <= problem.status < 500:
        return ReplyNotStored(problem, stored, text)
    return StreamFailed(problem, stored, text)


def to_problem(details: Mapping[str, Any], status: int, retry_after_s: float | None = None) -> Problem:
    """A problem, from its details; what they leave out is filled in from the status."""
    return Problem(
        status=details.get("status", status),
        code=details.get("code", f"HTTP_{status}"),
        title=details.get("title", "Refused"),
        detail=details.get("detail", f"The answer was HTTP {status} without problem details."),
        field=details.get("field"),
        request_id=details.get("requestId"),
        current=details.get("current"),
        retry_after_s=retry_after_s,
    )


def error_from_response(response: httpx.Response) -> AnnalsError:
    """The exception for an answer that was read and is none of the successes."""
    try:
        details = response.json()
    except ValueError:
        details = {}
    after = _seconds(response.headers.get("Retry-After"))
    return to_error(to_problem(details if isinstance(details, dict) else {}, response.status_code, after))


def _seconds(text: str | None) -> float | None:
    return float(text) if text and text.isascii() and text.isdigit() else None
