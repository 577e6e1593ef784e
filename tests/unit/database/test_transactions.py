"""Transactions: why one did not happen is read in one way, and only what may pass is tried again."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

from annals.database.transactions import Cancellation, cancellation_reasons, condition_failed, current_item
from annals.errors import AppendConflict, WriteConflict

FAILED = {"Code": "ConditionalCheckFailed", "Item": {"pk": {"S": "another"}}}
BUSY = {"Code": "TransactionConflict"}
TOO_LARGE = {"Code": "ValidationError", "Message": "Item size has exceeded the maximum"}
FINE = {"Code": "None"}


def refused(code: str, **more: Any) -> ClientError:
    response: Any = {"Error": {"Code": code, "Message": ""}, **more}
    return ClientError(response, "TransactWriteItems")


def cancelled(*reasons: Any) -> Cancellation:
    return Cancellation.of(refused("TransactionCanceledException", CancellationReasons=list(reasons)))


def test_a_write_whose_condition_did_not_hold_is_named_by_its_position() -> None:
    cancellation = cancelled(FINE, FAILED, FINE)
    assert [cancellation.failed(position) for position in range(3)] == [False, True, False]
    assert (cancellation.failed_from(1), cancellation.failed_from(2)) == (True, False)
    assert cancellation.item(1) == {"pk": {"S": "another"}}


@pytest.mark.parametrize(
    ("reasons", "retryable", "lost_race"),
    [((FINE, BUSY), True, True), ((FAILED, BUSY), False, True), ((FAILED, TOO_LARGE), False, False)],
)
def test_only_what_may_pass_is_tried_again(reasons: Any, retryable: bool, lost_race: bool) -> None:
    cancellation = cancelled(*reasons)
    assert _holds(cancellation.require_retryable) == retryable
    assert _holds(cancellation.require_lost_race) == lost_race


def test_any_other_error_is_raised_again() -> None:
    error = refused("ThrottlingException")
    with pytest.raises(ClientError) as caught:
        Cancellation.of(error)
    assert caught.value is error
    assert cancellation_reasons(error) == []


def test_a_single_write_says_what_was_there_instead() -> None:
    error = refused("ConditionalCheckFailedException", Item={"pk": {"S": "another"}})
    assert condition_failed(error)
    assert not condition_failed(refused("TransactionCanceledException"))
    assert current_item(error.response) == {"pk": {"S": "another"}}
    assert current_item(refused("ConditionalCheckFailedException").response) == {}


def test_a_lost_race_says_what_could_not_be_written() -> None:
    memory, conversation = WriteConflict("memory 'mem-1'"), AppendConflict("lisbon")
    assert "changing memory 'mem-1'" in memory.detail
    assert "appending to conversation 'lisbon'" in conversation.detail
    assert {(each.status, each.code) for each in (memory, conversation)} == {(409, "APPEND_CONFLICT")}


def _holds(check: Any) -> bool:
    try:
        check()
    except ClientError:
        return False
    return True
