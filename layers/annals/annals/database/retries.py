"""Waiting between tries: full jitter, so that writers who met once don't meet again."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

BASE_S = 0.01
CAP_S = 0.5


def tries(patience_s: float) -> Iterator[int]:
    """Count tries from 0, sleeping a random time before each one but the first, until patience is at its end."""
    deadline = time.monotonic() + patience_s
    attempt = 0
    while attempt == 0 or time.monotonic() < deadline:
        yield attempt
        time.sleep(random.uniform(0, min(CAP_S, BASE_S * 2**attempt)))  # noqa: S311 - jitter, not a secret
        attempt += 1
