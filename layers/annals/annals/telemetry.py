"""What operators see: JSON lines in the log, and metrics in CloudWatch's embedded metric format.

Neither ever holds what people say, nor an id that a caller chose: of a request, they name the tenant and the route.
Outside Lambda nothing is published, and the log is what the running program makes it.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping
from typing import Any, Literal

from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

from annals.errors import AnnalsError, SearchUnavailable, WriteConflict

NAMESPACE = "Annals"

CountMetric = Literal[
    "Appends",
    "AppendConflicts",
    "AppendRetries",
    "Searches",
    "SearchUnavailable",
    "RerankUnavailable",
    "EmbeddedTexts",
    "IndexedDocuments",
    "IndexFailures",
    "UnexplainedLedgerChange",
    "DamagedItems",
    "RecordsSetAside",
    "ErasuresPending",
    "ErasuresOverdue",
    "StreamsCompleted",
    "StreamsFailed",
    "IndexDrift",
    "SecretsUnreadable",
]
"""What is counted. ``IndexDrift`` is how many documents of a sample the index lacks, or has otherwise."""

TimeMetric = Literal["IndexLagMs", "ProjectLagMs"]
"""What is timed: how old a stream's oldest record is when a batch is worked off."""

logger = logging.getLogger("annals")

_metrics = Metrics(namespace=NAMESPACE)


def is_on_lambda() -> bool:
    """Whether a Lambda function runs this process."""
    return "AWS_LAMBDA_FUNCTION_NAME" in os.environ


if is_on_lambda():
    # From now on, what any module says to the logger of this name is a line of JSON.
    Logger("annals", serialize_stacktrace=False, use_rfc3339=True)


def count(name: CountMetric, amount: int = 1) -> None:
    """Add to a metric of the event that is being handled."""
    if is_on_lambda():
        _metrics.add_metric(name, MetricUnit.Count, amount)


def record_time(name: TimeMetric, took_ms: float) -> None:
    """Note a time in milliseconds."""
    if is_on_lambda():
        _metrics.add_metric(name, MetricUnit.Milliseconds, took_ms)


def publish() -> None:
    """Publish what was counted and timed, when an event was handled."""
    if _metrics.metric_set:
        _metrics.flush_metrics()


def count_refusal(error: AnnalsError) -> str:
    """Count a refusal that operators have to know of, and return its code."""
    if isinstance(error, SearchUnavailable):
        count("SearchUnavailable")
    if isinstance(error, WriteConflict):
        count("AppendConflicts")
    return error.code


def log_request(context: Mapping[str, Any], status: int, code: str, started: float) -> None:
    """Log one line for a request that was answered, and publish its metrics.

    Parameters
    ----------
    context : API Gateway's request context
    status : of the answer
    code : of the problem details that it was refused with, or an empty string
    started : when work on it began, by ``time.perf_counter``
    """
    fields = {
        "requestId": context.get("requestId", ""),
        "tenant": (context.get("authorizer") or {}).get("tenant", ""),
        "method": context.get("httpMethod", ""),
        "route": context.get("resourcePath", ""),
        "status": status,
        "code": code,
        "latencyMs": round(1000 * (time.perf_counter() - started), 1),
    }
    if is_on_lambda():
        logger.info("answered", extra=fields)
    publish()
