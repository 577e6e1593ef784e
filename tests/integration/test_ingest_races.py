"""Events in, where races and faults are real: MiniStack's tables and queues."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from annals.ledger.keys import conversation_pk
from tests.conftest import Setting
from tests.support import faults
from tests.support.ingesting import Failures, failures_queue, record, take
from tests.support.ledgers import read_contents, verify_stored

pytestmark = pytest.mark.usefixtures("aws")

LISBON = {"type": "user-agent", "participants": {"userId": "ada", "memorySpaceId": "demo"}, "conversationId": "lisbon"}
CONFLICT = faults.cancel("TransactionConflict", "None")


@pytest.fixture
def failures(aws: object, tenant: str) -> Iterator[Failures]:
    with failures_queue(tenant) as queue:
        yield queue


def envelope(content: str, conversation_id: str = "lisbon") -> dict[str, Any]:
    named = {**LISBON, "conversationId": conversation_id}
    return {"conversation": named, "messages": [{"role": "user", "content": content}]}


def contents(tenant: str, conversation_id: str = "lisbon") -> list[str]:
    """What was said in a conversation, whose chain is whole."""
    pk = conversation_pk(tenant, conversation_id)
    assert verify_stored(pk).valid
    return [json.loads(body)["content"] for body in read_contents(pk)]


@pytest.mark.usefixtures("failures")
def test_a_message_that_comes_again_after_a_lost_reply_stores_nothing(tenant: str) -> None:
    take(record(envelope("0")))
    sent = record(envelope("1"))
    with faults.on("TransactWriteItems", *[faults.lose_reply] * 4):
        assert take(sent) == [sent["messageId"]]
    assert take(sent) == []
    assert contents(tenant) == ["0", "1"]


@pytest.mark.usefixtures("failures")
def test_a_message_that_comes_to_many_at_once_is_stored_once(tenant: str) -> None:
    sent = [record(envelope(str(number)), f"g-{number}") for number in range(10)]
    with ThreadPoolExecutor(8) as pool:
        assert [*pool.map(lambda each: take(each), sent * 4)] == [[]] * 40
    assert sorted(contents(tenant)) == sorted(str(number) for number in range(10))


def test_what_may_be_stored_later_comes_again_with_all_that_is_behind_it_in_its_group(
    tenant: str, failures: Failures, setting: Setting
) -> None:
    take(record(envelope("0")), record(envelope("0", "porto")))
    setting("APPEND_PATIENCE_S", "0")
    first, second, poison = (record(body, "a") for body in (envelope("1"), envelope("2"), "{"))
    other = record(envelope("3", "porto"), "b")
    with faults.on("TransactWriteItems", CONFLICT):
        failed = take(first, other, second, poison)
    assert failed == [each["messageId"] for each in (first, second, poison)]
    assert failures.reasons() == []
    assert take(first, second, poison) == []
    assert (contents(tenant), contents(tenant, "porto")) == (["0", "1", "2"], ["0", "3"])
    assert failures.reasons() == ["INVALID_JSON"]


@pytest.mark.usefixtures("failures")
def test_a_message_of_a_queue_without_an_order_waits_for_no_other(tenant: str, setting: Setting) -> None:
    take(record(envelope("0")))
    setting("APPEND_PATIENCE_S", "0")
    first, second = ({**record(envelope(text)), "attributes": {}} for text in ("1", "2"))
    with faults.on("TransactWriteItems", CONFLICT):
        assert take(first, second) == [first["messageId"]]
    assert take(first, second) == []
    assert contents(tenant) == ["0", "2", "1"]
