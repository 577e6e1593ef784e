"""Retries of a model's HTTP requests: which statuses are worth one, and how long to wait before it."""

from __future__ import annotations

import random
from dataclasses import dataclass

RETRYABLE_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses of failures that may pass."""


@dataclass(frozen=True)
class Backoff:
    """At most ``attempts`` tries; the waits between them grow from ``first_s`` to ``longest_s``, with full jitter."""

    attempts: int = 4
    first_s: float = 0.25
    longest_s: float = 8.0

    def is_last(self, attempt: int) -> bool:
        """Whether the attempt (counted from 0) is the last one."""
        return attempt >= self.attempts - 1

    def pause_s(self, attempt: int, retry_after: str | None = None) -> float:
        """Seconds to wait after a failed attempt: what ``Retry-After`` asks for, if it does, within ``longest_s``."""
        if retry_after and retry_after.isascii() and retry_after.isdigit():
            return min(float(retry_after), self.longest_s)
        ceiling = min(self.longest_s, self.first_s * 2.0**attempt)
        return random.uniform(0, ceiling)  # noqa: S311 - jitter, not a secret
