"""Rewinds at once, and rewinds that meet faults, on databases where concurrency is real."""

from __future__ import annotations

from contextlib import suppress

import pytest
from botocore.exceptions import BotoCoreError

from annals.conversations.redaction_version import first_rewind_put
from annals.database.dynamodb import client
from annals.errors import AnnalsError
from annals.ledger.entry import Tail
from annals.ledger.history import MessageRange, read_page
from annals.ledger.idempotency import IdempotentRequest
from annals.ledger.keys import conversation_pk
from annals.ledger.rewind import Rewind, RewindTarget, rewind
from annals.ledger.tail import read_tail
from tests.support import faults
from tests.support.ledgers import new_conversation, say, verify_stored
from tests.support.racing import at_once

pytestmark = pytest.mark.usefixtures("database")

FAULTS = [faults.lose_reply, faults.lose_request]


def pop(tenant: str, messages: int = 1, key: str | None = None) -> Rewind:
    request = IdempotentRequest.of(tenant, "rewind", key, b"{}") if key else None
    mark = first_rewind_put(conversation_pk(tenant, "conv-1"))
    target = RewindTarget(messages=messages)
    return rewind(tenant, "conv-1", target, "key-1", request=request, with_first=[mark])


def contents(done: Rewind) -> list[str]:
    return [message["content"] for message in done.removed]


def tail_of(pk: str) -> Tail:
    tail = read_tail(pk)
    assert tail
    return tail


def left(pk: str) -> list[str]:
    page = read_page(pk, tail_of(pk), MessageRange(forward=True), 1000)
    assert page.next_seq is None
    return [message["content"] for message in page.messages]


def test_pops_at_once_take_a_message_each(tenant: str) -> None:
    pk = new_conversation(tenant)
    say(tenant, *map(str, range(12)))
    popped = at_once(8, lambda _: contents(pop(tenant)))
    assert sorted(popped) == sorted([str(number)] for number in range(4, 12))
    assert left(pk) == list(map(str, range(4)))
    assert verify_stored(pk).valid


def test_pops_and_appends_at_once_lose_nothing_and_take_nothing_twice(tenant: str) -> None:
    pk = new_conversation(tenant)
    say(tenant, *map(str, range(10)))

    def work(turn: int) -> list[str]:
        if turn % 2:
            say(tenant, f"new-{turn}")
            return []
        return contents(pop(tenant))

    popped = [content for taken in at_once(8, work) for content in taken]
    assert len(popped) == len(set(popped)) == 4
    said = {*map(str, range(10)), *(f"new-{turn}" for turn in (1, 3, 5, 7))}
    assert set(left(pk)) == said - set(popped)
    assert len(left(pk)) == 10
    assert verify_stored(pk).valid


def test_equal_pops_at_once_with_one_key_pop_once(tenant: str) -> None:
    pk = new_conversation(tenant)
    say(tenant, "one", "two", "three")
    answers = at_once(6, lambda _: contents(pop(tenant, key="k")))
    assert answers == [["three"]] * 6
    assert left(pk) == ["one", "two"]


def test_who_appends_what_was_popped_at_once_stores_it_once_after_that(tenant: str) -> None:
    pk = new_conversation(tenant)
    say(tenant, "one", "two")
    at_once(6, lambda turn: pop(tenant, 2) if turn == 0 else say(tenant, f"new-{turn}"))
    assert verify_stored(pk).valid
    assert tail_of(pk).count == 7


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
@pytest.mark.parametrize("key", [None, "k"])
@pytest.mark.parametrize("is_first", [True, False])
def test_a_pop_survives_a_fault_of_its_write_and_pops_once(
    tenant: str, fault: faults.Fault, key: str | None, is_first: bool
) -> None:
    pk = new_conversation(tenant)
    say(tenant, "one", "two", "three")
    if not is_first:
        say(tenant, "four")
        pop(tenant)
    operation = "TransactWriteItems" if key or is_first else "PutItem"
    with faults.on(operation, fault) as not_met:
        assert contents(pop(tenant, key=key)) == ["three"]
    assert not not_met
    assert left(pk) == ["one", "two"]
    assert verify_stored(pk).valid


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_pop_whose_process_dies_is_finished_once_by_whoever_sends_it_again(tenant: str, fault: faults.Fault) -> None:
    pk = new_conversation(tenant)
    say(tenant, "one", "two")
    for call in range(1, 30):
        with faults.dying_at(call, fault) as loss, suppress(AnnalsError, BotoCoreError):
            pop(tenant, key=f"k-{call}")
        if not loss.came:
            break
        assert contents(pop(tenant, key=f"k-{call}")) == ["two"]
        assert left(pk) == ["one"]
        say(tenant, "two")
    else:
        pytest.fail("it asks DynamoDB without an end")
    assert verify_stored(pk).valid


def test_a_pop_after_the_first_is_one_put_of_one_write_unit(tenant: str) -> None:
    new_conversation(tenant)
    units: list[float] = []

    def ask(params: dict[str, object], **_: object) -> None:
        params["ReturnConsumedCapacity"] = "TOTAL"

    def note(parsed: dict[str, dict[str, float]], **_: object) -> None:
        units.append(parsed["ConsumedCapacity"]["CapacityUnits"])

    events = client().meta.events
    events.register("provide-client-params.dynamodb.PutItem", ask)
    events.register("after-call.dynamodb.PutItem", note)
    try:
        for number in range(50):
            say(tenant, f"message {number}", "and one that is popped")
            pop(tenant)
    finally:
        events.unregister("provide-client-params.dynamodb.PutItem", ask)
        events.unregister("after-call.dynamodb.PutItem", note)
    assert set(units) == {1.0}
    assert len(units) == 50 + 49


def test_a_read_after_many_rewinds_reads_no_more_than_what_it_shows_and_one_item_a_rewind(tenant: str) -> None:
    pk = new_conversation(tenant)
    say(tenant, "kept")
    for number in range(40):
        say(tenant, *(f"{number}-{part}" for part in range(3)))
    pop(tenant, 120)
    say(tenant, "new")
    read = 0

    def note(parsed: dict[str, list[object]], **_: object) -> None:
        nonlocal read
        read += len(parsed.get("Items", [])) + ("Item" in parsed)

    tail = tail_of(pk)
    client().meta.events.register("after-call.dynamodb", note)
    try:
        page = read_page(pk, tail, MessageRange(), 2)
    finally:
        client().meta.events.unregister("after-call.dynamodb", note)
    assert [message["content"] for message in page.messages] == ["kept", "new"]
    assert read <= 2 + 1 + 1  # the messages, the rewind, and the genesis, behind which the preamble would be
