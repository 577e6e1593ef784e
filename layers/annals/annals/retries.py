"""Waiting between tries: full jitter, so that clients that met once don't meet again."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass

BASE_S = 0.01
CAP_S = 0.5


def tries(patience_s: float) -> Iterator[int]:
    """Count tries of a write from 0, sleeping before each one but the first, until patience is at its end."""
    deadline = time.monotonic() + patience_s
    attempt = 0
    while attempt == 0 or time.monotonic() < deadline:
        yield attempt
        time.sleep(_jitter_s(attempt, BASE_S, CAP_S))
        attempt += 1


@dataclass(frozen=True)
class Backoff:
    """At most ``attempts`` tries of a request; the waits between them grow from ``first_s`` to ``longest_s``."""

    attempts: int = 4
    first_s: float = 0.25
    longest_s: float = 8.0

    def is_last(self, attempt: int) -> bool:
        """Whether the attempt (counted from 0) is the last one."""
        return attempt >= self.attempts - 1

    def pause_s(self, attempt: int, retry_after: str | None = None) -> float:
        """Seconds to wait after a failed attempt: those of ``Retry-After``, if there is one, within ``longest_s``."""
        if retry_after and retry_after.isascii() and retry_after.isdigit():
            return min(float(retry_after), self.longest_s)
        return _jitter_s(attempt, self.first_s, self.longest_s)


def _jitter_s(attempt: int, first_s: float, longest_s: float) -> float:
    return random.uniform(0, min(longest_s, first_s * 2.0**attempt))  # noqa: S311 - jitter, not a secret
