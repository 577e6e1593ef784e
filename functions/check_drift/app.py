"""Compare a sample of the tables with the search index, on a schedule, and publish how much of it is off."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from annals import telemetry
from annals.memory.adapters import embedder, index
from annals.memory.indexing.activity import needs_drift_check
from annals.memory.indexing.drift import sample_drift
from annals.search.protocol import SERVERLESS
from annals.settings import settings

SAMPLE_SIZE = 500
"""How many items of the tables are compared. That finds what is off widely; a single document is found by luck."""

logger = logging.getLogger("annals")


def handler(event: Mapping[str, Any], context: Any) -> dict[str, int]:
    """How many documents are off, by kind. Raises SearchUnavailable.

    A Serverless collection that nothing was written for since the last comparison is left asleep: nothing is off that
    was not off then. One that is asleep and is compared is waited for.
    """
    if settings().opensearch_service == SERVERLESS and not needs_drift_check():
        logger.info("Nothing was written since the last comparison, and the index is left asleep")
        return {}
    counts = sample_drift(index(), embedder(), SAMPLE_SIZE).counts
    off = sum(counts.values())
    telemetry.count("IndexDrift", off)
    if off:
        logger.warning("drift", extra=counts)
    telemetry.publish()
    return counts
