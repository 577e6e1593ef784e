"""When a failed request is sent again, and how long to wait before that."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass

import httpx

from annals_client.calls import Repeat
from annals_client.errors import AnnalsError, ConnectionFailed

NOTHING_DONE = {"APPEND_CONFLICT"}
"""Refusals that say that nothing was done."""

TRANSIENT_STATUSES = {502, 503, 504}
"""Statuses that say: not now."""


@dataclass(frozen=True)
class Retries:
    """At most ``tries`` tries of a request, none begun later than ``total_s`` seconds after the first.

    The waits between them are random, up to a ceiling that doubles from ``first_s`` to ``longest_s``, on top of what
    the server asks for with ``Retry-After``.
    """

    tries: int = 5
    total_s: float = 60.0
    first_s: float = 0.2
    longest_s: float = 8.0


UNFINISHED = "IMPORT_UNFINISHED"
"""The code of an import that goes on when it is sent again."""

NO_RETRIES = Retries(tries=1)


class Tries:
    """The tries of one request."""

    def __init__(self, retries: Retries, repeat: Repeat) -> None:
        self._retries = retries
        self._repeat = repeat
        self._failed = 0
        self._begun_at = time.monotonic()

    def renew(self) -> None:
        """Count anew: the request made progress."""
        self._failed = 0
        self._begun_at = time.monotonic()

    def pause_after(self, failure: httpx.RequestError | AnnalsError, *, last: bool = False) -> float:
        """The seconds to wait before the next try. Raises AnnalsError, the failure, where there is to be none."""
        error = failure if isinstance(failure, AnnalsError) else ConnectionFailed(failure)
        cause = failure if error is not failure else failure.__cause__
        if error.code == UNFINISHED:
            self.renew()  # each try of such an import goes further, and the service bounds how far that is
        self._failed += 1
        if last or self._failed >= self._retries.tries or not self._may_repeat(error):
            raise error from cause
        pause_s = self._pause_s(error)
        if time.monotonic() + pause_s > self._begun_at + self._retries.total_s:
            raise error from cause
        return pause_s

    def _may_repeat(self, error: AnnalsError) -> bool:
        if isinstance(error, ConnectionFailed):
            return error.passing and (not error.sent or self._repeat is not Repeat.NEVER)
        if error.status == 429 or error.code in NOTHING_DONE:
            return True
        passing = error.status in TRANSIENT_STATUSES or error.code == "REQUEST_IN_PROGRESS"
        return passing and self._repeat is not Repeat.NEVER

    def _pause_s(self, error: AnnalsError) -> float:
        ceiling = min(self._retries.longest_s, self._retries.first_s * 2.0 ** (self._failed - 1))
        return (error.problem.retry_after_s or 0.0) + random.uniform(0, ceiling)  # noqa: S311 - jitter, not a secret
