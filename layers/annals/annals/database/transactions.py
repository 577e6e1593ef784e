"""Conditions and transactions: whether a write happened, why not, and when it is worth another try."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from annals.database.dynamodb import Item, client
from annals.errors import WriteConflict
from annals.retries import tries
from annals.settings import settings

CONDITION_FAILED = "ConditionalCheckFailed"
"""The reason of a write whose condition did not hold."""

RETRYABLE = frozenset({"None", "TransactionConflict", "ProvisionedThroughputExceeded", "ThrottlingError"})
"""The reasons that may be over at the next try: another writer was at the same item, or DynamoDB was busy."""


def condition_failed(error: ClientError) -> bool:
    """Whether a single write did not happen because its condition did not hold."""
    return error.response["Error"]["Code"] == "ConditionalCheckFailedException"


def current_item(failed: Any) -> Item:
    """The item as it was when a condition did not hold; empty where there was none, or it was not asked for.

    Parameters
    ----------
    failed : the response of a write, or a reason of a transaction
    """
    item: Item = failed.get("Item", {})
    return item


def is_cancelled(error: ClientError) -> bool:
    """Whether a transaction did not happen, for whatever reasons."""
    return error.response["Error"]["Code"] == "TransactionCanceledException"


def cancellation_reasons(error: ClientError) -> list[Any]:
    """Why a transaction was cancelled, write by write; empty for any other error."""
    reasons: list[Any] = error.response.get("CancellationReasons", [])
    return reasons


@dataclass(frozen=True)
class Cancellation:
    """A transaction that did not happen. Its writes are named by their position, from 0."""

    error: ClientError
    reasons: Sequence[Any]

    @staticmethod
    def of(error: ClientError) -> Cancellation:
        """The cancellation that an error says; any other error is raised again."""
        if not is_cancelled(error):
            raise error
        return Cancellation(error, cancellation_reasons(error))

    def failed(self, position: int) -> bool:
        """Whether the condition of one write did not hold."""
        return bool(self.reasons[position]["Code"] == CONDITION_FAILED)

    def failed_from(self, position: int) -> bool:
        """Whether the condition of this write, or of one after it, did not hold."""
        return any(reason["Code"] == CONDITION_FAILED for reason in self.reasons[position:])

    def item(self, position: int) -> Item:
        """The item that one write found, where its condition did not hold; empty for none."""
        return current_item(self.reasons[position])

    @property
    def is_retryable(self) -> bool:
        """Whether the same transaction may succeed at the next try."""
        return self._has_only(RETRYABLE)

    def require_retryable(self) -> None:
        """Raise DynamoDB's error unless the same transaction may succeed at the next try."""
        if not self.is_retryable:
            raise self.error

    def require_lost_race(self) -> None:
        """Raise DynamoDB's error unless another writer explains it, who was at the same items or was faster."""
        if not self._has_only(RETRYABLE | {CONDITION_FAILED}):
            raise self.error

    def _has_only(self, codes: Collection[str]) -> bool:
        return all(reason["Code"] in codes for reason in self.reasons)


def transact(writes: Sequence[Mapping[str, Any]]) -> Cancellation | None:
    """Write all or nothing, once: None where all is written, else why nothing is.

    Nothing needs a write id here: the client library gives each transaction a token, by which DynamoDB knows it again
    where the reply was lost.
    """
    items: Any = list(writes)
    try:
        client().transact_write_items(TransactItems=items)
    except ClientError as error:
        return Cancellation.of(error)
    return None


def try_transaction(writes: Sequence[Mapping[str, Any]]) -> bool:
    """Write all or nothing, once; False where a condition does not hold, or another writer was faster."""
    cancelled = transact(writes)
    if cancelled:
        cancelled.require_lost_race()
    return cancelled is None


def run_transaction(writes: Sequence[Mapping[str, Any]], subject: str) -> bool:
    """Write all or nothing, as soon as nobody else is at the same items; False where a condition does not hold.

    Raises WriteConflict, which names the subject.
    """
    for _ in tries(settings().append_patience_s):
        cancelled = transact(writes)
        if cancelled is None:
            return True
        if cancelled.failed_from(0):
            return False
        cancelled.require_retryable()
    raise WriteConflict(subject)
