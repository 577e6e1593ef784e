"""Times: Unix milliseconds inside, RFC 3339 UTC with milliseconds and ``Z`` outside.

A time that somebody says in another zone is kept as it was said, too: it tells which day that was there.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
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


MAX_LOCAL_CHARS = 40
"""How long a time may be that is kept as it was said; no clock tells more digits of a second."""


@dataclass(frozen=True)
class SaidTime:
    """A time as somebody says it.

    Parameters
    ----------
    ms : Unix milliseconds
    local : RFC 3339 as it was said, where that is in another zone than UTC
    """

    ms: int
    local: str | None = None

    @staticmethod
    def of(text: str, ms: int) -> SaidTime:
        """The time that an RFC 3339 text says, and its Unix milliseconds."""
        moment = datetime.fromisoformat(text.upper())
        if not moment.utcoffset():
            return SaidTime(ms)
        return SaidTime(ms, text if len(text) <= MAX_LOCAL_CHARS else moment.isoformat(timespec="microseconds"))

    @property
    def text(self) -> str:
        """RFC 3339, as it was said."""
        return self.local or to_rfc3339(self.ms)

    def fields(self) -> dict[str, str]:
        """The time as messages hold it: UTC and, where it was said in another zone, as it was said."""
        return {"timestamp": to_rfc3339(self.ms), **({"localTime": self.local} if self.local else {})}


def day_of(utc: str, local: str | None) -> str:
    """The day of a time, ``2025-06-15``, where it was said."""
    return (local or utc)[:10]


def local_moment(local: str) -> datetime:
    """A time as it was said, by the clock there."""
    return datetime.fromisoformat(local.upper())
