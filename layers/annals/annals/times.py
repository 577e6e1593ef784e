"""Times: Unix milliseconds inside, RFC 3339 UTC with milliseconds and ``Z`` outside."""

from __future__ import annotations

import time
from datetime import UTC, datetime


def now_ms() -> int:
    """Unix milliseconds."""
    return time.time_ns() // 1_000_000


def to_rfc3339(ms: int) -> str:
    """``1750000000123`` → ``2025-06-15T15:06:40.123Z``."""
    moment = datetime.fromtimestamp(ms // 1000, UTC).replace(microsecond=ms % 1000 * 1000, tzinfo=None)
    return f"{moment.isoformat(timespec='milliseconds')}Z"


def from_rfc3339(text: str) -> int:
    """The Unix milliseconds of an RFC 3339 time. Raises ValueError for anything else, a time without zone too."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None or "T" not in text.upper():
        raise ValueError("not an RFC 3339 time with a zone")
    return round(moment.timestamp() * 1000)
