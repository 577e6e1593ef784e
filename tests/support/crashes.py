"""Processes that die at one of their writes to DynamoDB, and the stream functions that are left to finish."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any

import pytest

from annals.database.dynamodb import client
from annals.ledger.part_keys import MARKER
from annals.memory.erasure import resuming
from annals.settings import settings
from annals.times import now_ms
from local.wakeup import WRITES
from tests.support import stack
from tests.support.following import invoke


class Died(Exception):
    """The process is gone."""


@dataclass
class Death:
    """Whether a process died."""

    came: bool = False


@contextmanager
def dying(moment: str, call: int) -> Iterator[Death]:
    """Die at a write to DynamoDB, numbered from 1: ``before-call``, or ``after-call``, when it was carried out.

    Dying at a read leaves the tables as dying behind the write in front of it does.
    """
    death, numbers = Death(), count(1)

    def die(**_: Any) -> None:
        if next(numbers) == call:
            death.came = True
            raise Died

    stack.forget()
    hooks = client().meta.events
    for operation in WRITES:
        hooks.register(f"{moment}.dynamodb.{operation}", die)
    try:
        yield death
    finally:
        for operation in WRITES:
            hooks.unregister(f"{moment}.dynamodb.{operation}", die)
        stack.forget()


def items_of(tenant: str, table: str) -> list[dict[str, Any]]:
    """All items of a tenant in a table."""
    of_tenant: Any = {
        "FilterExpression": "begins_with(pk, :tenant)",
        "ExpressionAttributeValues": {":tenant": {"S": f"T#{tenant}#"}},
    }
    pages = client().get_paginator("scan").paginate(TableName=table, ConsistentRead=True, **of_tenant)
    return [item for page in pages for item in page["Items"]]


def let_streams_finish(tenant: str) -> None:
    """Tell the stream functions of all that a tenant has, a minute later: nobody else is at work any more."""
    ledger = [("MODIFY", item) for item in items_of(tenant, settings().ledger_table)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resuming, "now_ms", lambda: now_ms() + 60_000)
        _hand_over("project", ledger)
        sort_keys = ("RECEIPT", "LATE")
        receipts = [item for item in items_of(tenant, settings().state_table) if item["sk"]["S"] in sort_keys]
        _hand_over("finish_erasure", [("INSERT", item) for item in sorted(receipts, key=lambda item: item["sk"]["S"])])


def let_markers_run_out(tenant: str) -> int:
    """Delete the markers of parts, as DynamoDB does a day later, and tell the stream function; how many they were."""
    markers = [item for item in items_of(tenant, settings().state_table) if item["sk"]["S"].startswith(MARKER)]
    for item in markers:
        key = {name: item[name] for name in ("pk", "sk")}
        client().delete_item(TableName=settings().state_table, Key=key)
    _hand_over("finish_erasure", [("REMOVE", item) for item in markers])
    return len(markers)


def _hand_over(function: str, changes: list[tuple[str, dict[str, Any]]]) -> None:
    records = [
        {
            "eventName": kind,
            "dynamodb": {"Keys": {name: item[name] for name in ("pk", "sk")}, "SequenceNumber": str(number)},
        }
        for number, (kind, item) in enumerate(changes)
    ]
    if records:
        assert invoke(function, {"Records": records}) == {"batchItemFailures": []}
