"""Whether the tables were written to since the search index was last compared with them, by CloudWatch's metrics.

It costs no request to the index, which may sleep and would be woken by one.
"""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from typing import Any

import boto3

from annals.settings import settings

LOOK_BACK_S = 14 * 86_400
"""How far back metrics are read. An index that was not compared for so long is compared, whatever was written."""

PERIOD_S = 3600
"""How many seconds one value of a metric covers."""

WRITTEN = "ConsumedWriteCapacityUnits"


def needs_drift_check() -> bool:
    """Whether the tables were written to since the last comparison, or it found a difference, or there was none."""
    now = int(time.time())
    response = boto3.client("cloudwatch").get_metric_data(
        MetricDataQueries=[
            _comparisons(),
            _writes("ledger", settings().ledger_table),
            _writes("state", settings().state_table),
        ],
        StartTime=datetime.fromtimestamp(now - LOOK_BACK_S, UTC),
        EndTime=datetime.fromtimestamp(now, UTC),
    )
    values: dict[str, dict[datetime, float]] = {"checked": {}, "ledger": {}, "state": {}}
    for result in response["MetricDataResults"]:
        values[result["Id"]] |= dict(zip(result["Timestamps"], result["Values"], strict=True))
    checked = values["checked"]
    if not checked or checked[max(checked)] > 0:
        return True
    # A value's time is when its period begins: what was written in the hour of the comparison may have come after it.
    written_at = [at for name in ("ledger", "state") for at, units in values[name].items() if units > 0]
    return any(at >= max(checked) for at in written_at)


def _comparisons() -> Any:
    """How many differences each comparison of this stack found."""
    service = {"Name": "service", "Value": os.environ.get("POWERTOOLS_SERVICE_NAME", "")}
    namespace = os.environ.get("POWERTOOLS_METRICS_NAMESPACE", "")
    return _query("checked", namespace, "IndexDrift", service, "Maximum")


def _writes(name: str, table: str) -> Any:
    return _query(name, "AWS/DynamoDB", WRITTEN, {"Name": "TableName", "Value": table}, "Sum")


def _query(name: str, namespace: str, metric: str, dimension: dict[str, str], statistic: str) -> dict[str, Any]:
    source = {"Namespace": namespace, "MetricName": metric, "Dimensions": [dimension]}
    return {"Id": name, "MetricStat": {"Metric": source, "Period": PERIOD_S, "Stat": statistic}}
