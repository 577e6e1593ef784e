"""English prose for measurements: Python's own documentation, which every interpreter carries."""

from __future__ import annotations

import random
import re
from functools import cache
from pydoc_data import topics


@cache
def prose() -> str:
    """Some 400 KB of English as one line of ASCII."""
    pages = " ".join(topics.topics.values()).encode("ascii", "ignore").decode()
    return re.sub(r"\s+", " ", pages)


def passage(rng: random.Random, size: int) -> str:
    """``size`` bytes from somewhere in the prose."""
    start = rng.randrange(len(prose()) - size)
    return prose()[start : start + size]
