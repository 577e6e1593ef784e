"""Go on with erasures that were begun and are not done, and begin those of spaces' retention.

The state table's stream names both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from annals import telemetry
from annals.database.streams import answer_each
from annals.memory.erasure.resuming import resume_erasure


def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Go on with each erasure that nobody else is at; what is still left then comes back through the stream."""
    answer = answer_each(event, lambda keys: resume_erasure(keys["pk"]["S"], keys["sk"]["S"]))
    telemetry.publish()
    return answer
