"""The heads of conversations follow the ledger's stream, whatever order it comes in, and can be made anew from it."""

from __future__ import annotations

import random
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from annals.conversations.create import NewConversation, create
from annals.conversations.heads import Head, find_stored_head, head_key, project_head
from annals.database.dynamodb import client
from annals.ledger.append import NewRecord, append
from annals.ledger.entry import SEAL, SEALED
from annals.ledger.keys import conversation_pk, entry_sk
from annals.ledger.tail import read_tail
from annals.settings import settings
from local.workers import Context
from tests.support.ledgers import new_conversation, say
from tests.support.stack import function

pytestmark = pytest.mark.usefixtures("ministack")


def _record(pk: str, seq: int, number: int) -> dict[str, Any]:
    keys = {"pk": {"S": pk}, "sk": {"S": entry_sk(seq)}}
    return {"eventName": "INSERT", "dynamodb": {"Keys": keys, "SequenceNumber": str(number)}}


def _deliver(records: Iterable[dict[str, Any]]) -> list[str]:
    """Hand a batch to the function that keeps the heads; the numbers of the records that it could not work off."""
    answer = function("project").handler({"Records": list(records)}, Context("project"))
    return [failure["itemIdentifier"] for failure in answer["batchItemFailures"]]


def _head(pk: str) -> Head:
    head = find_stored_head(pk)
    assert head
    return head


def _drop_head(pk: str) -> None:
    client().delete_item(TableName=settings().state_table, Key=head_key(pk))


def _break(pk: str, seq: int) -> None:
    """Take an attribute out of an entry that whoever reads it needs."""
    client().update_item(
        TableName=settings().ledger_table,
        Key={"pk": {"S": pk}, "sk": {"S": entry_sk(seq)}},
        UpdateExpression="REMOVE #at",
        ExpressionAttributeNames={"#at": "at"},
    )


def test_the_head_follows_the_ledger(tenant: str) -> None:
    pk = new_conversation(tenant)
    entry = say(tenant, "1", "2").entry
    assert _head(pk).message_count == 0
    assert _deliver([_record(pk, 0, 1), _record(pk, 1, 2)]) == []
    head = _head(pk)
    assert (head.message_count, head.seq, head.hash) == (2, 2, entry.hash)
    assert (head.last_message_at, head.tail_at, head.state) == (entry.at, entry.at, "open")


def test_late_and_repeated_records_in_any_order_leave_the_head_as_it_is(tenant: str) -> None:
    pk = new_conversation(tenant)
    seqs = [0, *(say(tenant, str(turn)).entry.seq for turn in range(6))]
    _deliver(_record(pk, seq, seq) for seq in seqs)
    settled = _head(pk)
    dice = random.Random(3)  # noqa: S311 - the same orders in each run
    for _ in range(5):
        assert _deliver(_record(pk, seq, seq) for seq in dice.choices(seqs, k=8)) == []
        assert _head(pk) == settled


def test_a_record_moves_the_head_to_what_the_ledger_holds_by_now(tenant: str) -> None:
    pk = new_conversation(tenant)
    say(tenant, "1")
    say(tenant, "2")
    _deliver([_record(pk, 1, 1)])
    assert _head(pk).message_count == 2


def test_projections_at_once_never_move_the_head_back(tenant: str) -> None:
    pk = new_conversation(tenant)
    with ThreadPoolExecutor(8) as pool:
        for turn in range(10):
            say(tenant, str(turn))
            pool.submit(project_head, pk)
            pool.submit(project_head, pk)
    tail = read_tail(pk)
    assert tail
    project_head(pk)
    head = _head(pk)
    assert (head.seq, head.message_count, head.hash) == (tail.seq, 10, tail.hash)


def test_a_conversation_that_cannot_be_projected_fails_alone(tenant: str) -> None:
    good, bad, other = (new_conversation(tenant, name) for name in ("good", "bad", "other"))
    for name in ("good", "bad", "other"):
        say(tenant, "1", conversation_id=name)
    _break(bad, 1)
    records = [_record(good, 1, 1), _record(bad, 0, 2), _record(other, 1, 3), _record(bad, 1, 4)]
    assert sorted(_deliver(records)) == ["2", "4"]
    assert (_head(good).message_count, _head(bad).message_count, _head(other).message_count) == (1, 0, 1)


def test_a_record_of_no_conversation_is_passed_over(tenant: str) -> None:
    pk = conversation_pk(tenant, "never-made")
    assert _deliver([_record(pk, 0, 1)]) == []
    assert find_stored_head(pk) is None


def test_lost_heads_are_made_anew_from_the_ledger_as_they_were(tenant: str) -> None:
    pks = []
    for number in range(4):
        name = f"conv-{number}"
        participants = {"userId": "ada", "agentId": "bot", "memorySpaceId": f"space {number}#%"}
        created = create(
            tenant, NewConversation("user-agent", participants, {"n": number, "_ü": [None, 0.5]}, name), "key-1"
        )
        pks.append(conversation_pk(tenant, created.head.genesis.conversation_id))
        for turn in range(number):
            say(tenant, str(turn), conversation_id=name)
    append(tenant, "conv-3", [NewRecord(SEAL, b"{}")], state=SEALED)
    for pk in pks:
        project_head(pk)
    items = _head_items(pks)
    for pk in pks:
        _drop_head(pk)
    assert _deliver(_record(pk, seq, number) for number, (pk, seq) in enumerate(_ledger_keys(tenant))) == []
    assert _head_items(pks) == items
    assert [_head(pk).metadata["n"] for pk in pks] == [0, 1, 2, 3]


def _head_items(pks: list[str]) -> list[dict[str, Any]]:
    return [
        client().get_item(TableName=settings().state_table, Key=head_key(pk), ConsistentRead=True)["Item"] for pk in pks
    ]


def _ledger_keys(tenant: str) -> Iterable[tuple[str, int]]:
    pages = client().get_paginator("scan").paginate(TableName=settings().ledger_table, ProjectionExpression="pk, sk")
    for page in pages:
        for item in page["Items"]:
            if item["pk"]["S"].startswith(f"T#{tenant}#"):
                yield item["pk"]["S"], int(item["sk"]["S"].removeprefix("E#"))


def test_what_was_projected_stays_readable_while_its_head_is_lost(tenant: str) -> None:
    pk = new_conversation(tenant)
    say(tenant, "1")
    _drop_head(pk)
    project_head(pk)
    assert (_head(pk).message_count, _head(pk).version, _head(pk).metadata) == (1, 1, {"made": "for a test"})
