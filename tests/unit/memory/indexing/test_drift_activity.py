"""The daily comparison leaves an index asleep where nothing was written since the last one."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import boto3
import pytest

from annals.memory import adapters
from annals.memory.indexing import activity
from annals.settings import settings
from local.workers import Context
from tests.conftest import Setting
from tests.support.stack import function

pytestmark = pytest.mark.usefixtures("moto")

HOUR_S = 3600


@pytest.fixture(autouse=True)
def stack_of_its_own(monkeypatch: pytest.MonkeyPatch, tenant: str) -> None:
    """Metrics that no other test has published."""
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", tenant)
    monkeypatch.setenv("POWERTOOLS_METRICS_NAMESPACE", "Annals")
    for table in ("LEDGER_TABLE", "STATE_TABLE"):
        monkeypatch.setenv(table, f"{tenant}-{table}")
    settings.cache_clear()


def happened(namespace: str, metric: str, name: str, value: str, hours_ago: float, amount: float) -> None:
    at = datetime.fromtimestamp(time.time() - hours_ago * HOUR_S, UTC)
    named = [{"Name": name, "Value": value}]
    datum = {"MetricName": metric, "Dimensions": named, "Timestamp": at, "Value": amount}
    boto3.client("cloudwatch").put_metric_data(Namespace=namespace, MetricData=[datum])  # type: ignore[list-item]


def compared(tenant: str, hours_ago: float, off: float = 0.0) -> None:
    happened("Annals", "IndexDrift", "service", tenant, hours_ago, off)


def written(table: str, hours_ago: float) -> None:
    happened("AWS/DynamoDB", "ConsumedWriteCapacityUnits", "TableName", table, hours_ago, 3.0)


def test_an_index_that_was_never_compared_is_worth_it() -> None:
    assert activity.needs_drift_check()


def test_nothing_written_since_the_last_comparison_leaves_the_index_asleep(tenant: str) -> None:
    written(settings().ledger_table, 60)
    compared(tenant, 24)
    assert not activity.needs_drift_check()


@pytest.mark.parametrize("table", ["ledger_table", "state_table"])
def test_what_was_written_since_is_compared(tenant: str, table: str) -> None:
    compared(tenant, 24)
    written(getattr(settings(), table), 5)
    assert activity.needs_drift_check()


def test_what_was_off_at_the_last_comparison_is_looked_at_again(tenant: str) -> None:
    compared(tenant, 48)
    compared(tenant, 24, off=2.0)
    assert activity.needs_drift_check()


def test_another_stacks_comparison_says_nothing_of_this_one() -> None:
    compared("somebody-else", 24)
    assert activity.needs_drift_check()


def test_the_check_does_not_touch_a_collection_that_nothing_was_written_for(
    tenant: str, setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared(tenant, 24)
    setting("OPENSEARCH_SERVICE", "aoss")
    setting("OPENSEARCH_URL", "http://127.0.0.1:9")  # a request to it would open a socket, which fails this test
    adapters.index.cache_clear()
    assert function("check_drift").handler({}, Context("check_drift")) == {}
