"""Compare a sample of the tables with the search index, on a schedule, and publish how much of it is off."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from annals import telemetry
from annals.drift import sample_drift
from annals.memory.ports import embedder, index

SAMPLE = 500
"""How many items of the tables are looked at. It finds what is off widely; a single document is a matter of luck."""

logger = logging.getLogger("annals")


def handler(event: Mapping[str, Any], context: Any) -> dict[str, int]:
    """How many documents are off, by kind. Raises SearchUnavailable."""
    counts = sample_drift(index(), embedder(), SAMPLE).counts
    off = sum(counts.values())
    telemetry.count("IndexDrift", off)
    if off:
        logger.warning("drift", extra=counts)
    telemetry.publish()
    return counts
