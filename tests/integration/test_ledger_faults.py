"""The network and the database fail; what was acknowledged is stored, once, and what was refused is not."""

from __future__ import annotations

import random
from contextlib import suppress

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from annals.conversations.create import NewConversation, create
from annals.conversations.heads import find_stored_head
from annals.database.dynamodb import client
from annals.errors import AnnalsError, AppendConflict, ConversationNotFound
from annals.ledger.idempotency import IdempotentRequest, find_result
from annals.ledger.keys import conversation_pk
from annals.ledger.read import walk
from annals.ledger.tail import read_tail, tails
from annals.settings import settings
from tests.conftest import Setting
from tests.support import faults
from tests.support.ledgers import new_conversation, read_contents, read_seqs, say, verify_stored

pytestmark = pytest.mark.usefixtures("database")

NEW = NewConversation("agent-agent", {"agent1": "planner", "agent2": "critic"}, {"a": 1}, "conv-1")


def _request(tenant: str, key: str = "key-1") -> IdempotentRequest:
    return IdempotentRequest.of(tenant, "append", key, b"{}")


@pytest.mark.parametrize(
    "fault",
    [faults.lose_reply, faults.lose_request, faults.throttle, faults.conflict],
    ids=lambda fault: fault.__name__,
)
def test_an_append_survives_a_fault_and_is_stored_once(tenant: str, fault: faults.Fault) -> None:
    pk = new_conversation(tenant)
    with faults.on("PutItem", fault) as left:
        appended = say(tenant, "once")
    assert not left
    assert (appended.entry.seq, appended.replayed) == (1, False)
    assert read_seqs(pk) == [0, 1]
    assert verify_stored(pk).valid


@pytest.mark.parametrize(
    "fault",
    [
        faults.lose_reply,
        faults.lose_request,
        faults.cancel("TransactionConflict", "None"),
        faults.cancel("None", "TransactionConflict"),
        faults.cancel("ConditionalCheckFailed", "None"),
        faults.cancel("ThrottlingError", "None"),
    ],
)
def test_an_append_with_a_key_survives_a_fault_and_is_stored_once(tenant: str, fault: faults.Fault) -> None:
    pk = new_conversation(tenant)
    with faults.on("TransactWriteItems", fault) as left:
        appended = say(tenant, "once", request=_request(tenant))
    assert not left
    assert (appended.entry.seq, appended.replayed) == (1, False)
    assert read_seqs(pk) == [0, 1]
    assert say(tenant, "once", request=_request(tenant)).replayed


def test_a_lost_reply_and_a_conflict_together_still_store_once(tenant: str) -> None:
    pk = new_conversation(tenant)
    with faults.on("PutItem", faults.lose_reply, faults.conflict) as left:
        appended = say(tenant, "once")
    assert not left
    assert [appended.entry.hash] == [entry.hash for entry in walk(pk)][1:]
    assert say(tenant, "next").entry.seq == 2
    assert verify_stored(pk).valid


def test_a_lost_reply_and_a_conflict_together_still_store_once_with_a_key(tenant: str) -> None:
    pk = new_conversation(tenant)
    with faults.on(
        "TransactWriteItems", faults.lose_reply, faults.cancel("TransactionConflict", "TransactionConflict")
    ) as left:
        appended = say(tenant, "once", request=_request(tenant))
    assert not left
    assert [appended.entry.hash] == [entry.hash for entry in walk(pk)][1:]
    assert say(tenant, "next").entry.seq == 2
    assert verify_stored(pk).valid


def test_a_lost_reply_is_told_from_a_lost_race(tenant: str) -> None:
    pk = new_conversation(tenant)
    stale = read_tail(pk)
    assert stale
    say(tenant, "another's")
    tails.put(pk, stale)
    with faults.on("PutItem", faults.lose_reply, faults.go_through, faults.lose_reply):
        assert say(tenant, "mine").entry.seq == 2
    assert read_seqs(pk) == [0, 1, 2]


@pytest.mark.parametrize("expected_seq", [None, 0])
def test_who_got_no_answer_at_all_sends_it_again_and_it_is_stored_once(tenant: str, expected_seq: int | None) -> None:
    pk = new_conversation(tenant)
    operation = "TransactWriteItems" if expected_seq is None else "PutItem"
    with faults.on(operation, *[faults.lose_reply] * 4), pytest.raises(BotoCoreError):
        say(tenant, "once", expected_seq=expected_seq, request=_request(tenant))
    again = say(tenant, "once", expected_seq=expected_seq, request=_request(tenant))
    assert (again.replayed, again.entry.seq) == (True, 1)
    assert read_seqs(pk) == [0, 1]


def test_who_got_no_answer_to_an_expected_seq_may_have_been_stored_but_never_twice(tenant: str) -> None:
    pk = new_conversation(tenant)
    with faults.on("PutItem", *[faults.lose_reply] * 4), pytest.raises(BotoCoreError):
        say(tenant, "once", expected_seq=0)
    with pytest.raises(AnnalsError):
        say(tenant, "once", expected_seq=0)
    assert read_seqs(pk) == [0, 1]


def test_a_throttled_append_is_refused_and_leaves_nothing(tenant: str) -> None:
    pk = new_conversation(tenant)
    with faults.on("PutItem", *[faults.throttle] * 4), pytest.raises(ClientError):
        say(tenant, "never")
    assert read_seqs(pk) == [0]


def test_endless_conflicts_end_in_a_refusal(tenant: str, setting: Setting) -> None:
    pk = new_conversation(tenant)
    setting("APPEND_PATIENCE_S", "0.2")
    with faults.on("PutItem", *[faults.conflict] * 1000), pytest.raises(AppendConflict):
        say(tenant, "never")
    assert read_seqs(pk) == [0]


def test_through_any_faults_what_was_acknowledged_is_stored_once_in_order(tenant: str) -> None:
    pk = new_conversation(tenant)
    dice = random.Random(7)  # noqa: S311 - the same faults in each run
    all_faults = [faults.lose_reply, faults.lose_request, faults.throttle, faults.conflict] + [faults.go_through] * 4
    acknowledged = []
    with faults.on("PutItem", *dice.choices(all_faults, k=50)):
        for turn in range(25):
            with suppress(BotoCoreError, ClientError):
                say(tenant, str(turn))
                acknowledged.append(turn)
    stored = [int(content.split('"')[-2]) for content in read_contents(pk)]
    assert len(acknowledged) >= 15
    assert stored == sorted(set(stored))
    assert set(acknowledged) <= set(stored)
    assert verify_stored(pk).valid


@pytest.mark.parametrize("fault", [faults.lose_request, faults.lose_reply, faults.cancel(*["TransactionConflict"] * 2)])
def test_a_conversation_is_made_once_through_a_fault(tenant: str, fault: faults.Fault) -> None:
    with faults.on("TransactWriteItems", fault) as left:
        assert create(tenant, NEW, "key-1").created
    assert not left
    assert read_seqs(conversation_pk(tenant, "conv-1")) == [0]


@pytest.mark.parametrize("with_key", [False, True])
def test_a_lost_reply_and_a_conflict_together_still_make_one_conversation(tenant: str, with_key: bool) -> None:
    request = _request(tenant) if with_key else None
    refusal = faults.cancel(*["TransactionConflict"] * (3 if with_key else 2))
    with faults.on("TransactWriteItems", faults.lose_reply, refusal) as left:
        made = create(tenant, NEW, "key-1", request)
    assert not left
    assert (made.created, made.replayed) == (True, False)
    assert read_seqs(conversation_pk(tenant, "conv-1")) == [0]


def test_a_conversation_that_could_not_be_made_leaves_nothing_half(tenant: str) -> None:
    pk = conversation_pk(tenant, "conv-1")
    with faults.on("TransactWriteItems", *[faults.lose_request] * 4), pytest.raises(BotoCoreError):
        create(tenant, NEW, "key-1", _request(tenant))
    assert (read_tail(pk), find_stored_head(pk), find_result(_request(tenant))) == (None, None, None)
    with pytest.raises(ConversationNotFound):
        say(tenant, "hello")


def test_who_got_no_answer_to_making_a_conversation_sends_it_again_and_there_is_one(tenant: str) -> None:
    with faults.on("TransactWriteItems", *[faults.lose_reply] * 4), pytest.raises(BotoCoreError):
        create(tenant, NEW, "key-1", _request(tenant))
    pk = conversation_pk(tenant, "conv-1")
    assert (read_seqs(pk), find_stored_head(pk) is not None) == ([0], True)
    again = create(tenant, NEW, "key-1", _request(tenant))
    assert (again.replayed, again.head.genesis.metadata) == (True, {"a": 1})


def test_a_conversation_that_is_too_large_is_not_half_made(tenant: str) -> None:
    large = NewConversation("agent-agent", NEW.participants, {"x": "y" * 200_000}, "conv-1")
    with pytest.raises(AnnalsError):
        create(tenant, large, "key-1")
    scanned = client().scan(
        TableName=settings().state_table,
        FilterExpression="begins_with(pk, :tenant)",
        ExpressionAttributeValues={":tenant": {"S": f"T#{tenant}#"}},
    )
    assert scanned["Items"] == []
    assert read_tail(conversation_pk(tenant, "conv-1")) is None
