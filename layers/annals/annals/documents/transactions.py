"""Operations on documents of which all are done, or none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from annals.database.transactions import transact
from annals.documents.access import require_not_erased
from annals.documents.addresses import Address
from annals.documents.batches import Step, WriteIds, new_document, step_of
from annals.documents.document_items import StoredDocument
from annals.documents.models import DeleteOperation, GetOperation, Operation, OperationResult, PutOperation
from annals.documents.presenters import present_document
from annals.documents.reading import find_items_of
from annals.documents.user_documents import document_trace_put
from annals.documents.writing import (
    as_it_was,
    delete_remains,
    delete_replaced,
    document_put,
    erasure_checks,
    require_deletable,
    require_fits,
)
from annals.errors import AnnalsError, InvalidInput, WriteConflict
from annals.retries import tries
from annals.settings import settings
from annals.stored_values.values import delete_value

MAX_WRITES = 100
"""How many items one transaction of DynamoDB writes."""


def run_transaction(tenant: str, operations: Sequence[Operation], write_id: WriteIds) -> list[OperationResult]:
    """What came of operations that were done together.

    Raises
    ------
    InvalidInput : two are about the same document, one only reads, or they write more items than a transaction can
    DocumentChanged, DocumentOfAnother : nothing is done, since one of them cannot be
    ConversationErased, RequestTooLarge, WriteConflict
    """
    steps = [step_of(tenant, position, each) for position, each in enumerate(operations)]
    _require_writes(steps)
    stored: dict[Address, StoredDocument] = {}
    try:
        for step in steps:
            if isinstance(step.operation, PutOperation):
                stored[step.address] = new_document(step, step.operation, write_id).to_stored()
        return _Transaction(steps, stored).run()
    except AnnalsError:
        for document in stored.values():
            delete_value(document.address.pk, document.address.sk, document.kept)
        raise


def _require_writes(steps: Sequence[Step]) -> None:
    seen: set[Address] = set()
    for step in steps:
        field = f"operations[{step.position}]"
        if isinstance(step.operation, GetOperation):
            detail = f"{field} reads; an atomic batch takes put and delete."
            raise InvalidInput("INVALID_FORMAT", detail, field=f"{field}.op")
        if step.address in seen:
            detail = f"{field} is about a document that another operation is about, too: a transaction takes it once."
            raise InvalidInput("DUPLICATE_VALUES", detail, field=f"{field}.key")
        seen.add(step.address)


class _Transaction:
    """Operations that are done together, tried until nobody else changes their documents meanwhile."""

    def __init__(self, steps: Sequence[Step], stored: Mapping[Address, StoredDocument]) -> None:
        self._steps = steps
        self._stored = stored

    def run(self) -> list[OperationResult]:
        """The results. Raises what keeps the operations from being done."""
        for attempt in tries(settings().append_patience_s):
            for owner in {step.address.owner for step in self._steps} if attempt else ():
                require_not_erased(owner)
            before = find_items_of([step.address for step in self._steps])
            if self._is_done(before):
                for document in self._stored.values():
                    delete_value(document.address.pk, document.address.sk, document.kept)
                return [self._result(step, before, before) for step in self._steps]
            after = {step.address: self._after(step, before.get(step.address)) for step in self._steps}
            if self._write(before, after):
                self._clean_up(before)
                return [self._result(step, before, after) for step in self._steps]
        raise WriteConflict("these documents")

    def _is_done(self, before: Mapping[Address, StoredDocument]) -> bool:
        """Whether an earlier try of the request did it all: each document is the one that it stored."""
        known = {address: before[address].write_id if address in before else None for address in self._stored}
        return bool(known) and all(self._stored[address].write_id == known[address] for address in known)

    def _after(self, step: Step, before: StoredDocument | None) -> StoredDocument | None:
        """The document as it will be after an operation, or None. Raises what the operation is refused for."""
        if isinstance(step.operation, PutOperation):
            return require_fits(self._stored[step.address], before, step.operation.if_version)
        if isinstance(step.operation, DeleteOperation):
            require_deletable(before, step.operation.if_version, step.person)
        return None

    def _write(self, before: Mapping[Address, StoredDocument], after: Mapping[Address, StoredDocument | None]) -> bool:
        """Write all; False where another writer was at one of the documents. Raises InvalidInput for too many."""
        writes: list[Mapping[str, Any]] = []
        for step in self._steps:
            known, document = before.get(step.address), after[step.address]
            if document is not None:
                writes.append(document_put(document, known))
                if document.user_id is not None:
                    writes.append(document_trace_put(document))
            elif known is not None and step.person in (None, known.user_id):
                writes.append(_delete(known))
        writes += erasure_checks([step.address for step in self._steps])
        if len(writes) > MAX_WRITES:
            detail = f"The operations write {len(writes)} items, and a transaction takes {MAX_WRITES}: send fewer."
            raise InvalidInput("INVALID_RANGE", detail, field="operations")
        cancelled = transact(writes) if writes else None
        if cancelled:
            cancelled.require_lost_race()
        return cancelled is None

    def _clean_up(self, before: Mapping[Address, StoredDocument]) -> None:
        for step in self._steps:
            known = before.get(step.address)
            if known is None or (step.address not in self._stored and step.person not in (None, known.user_id)):
                continue
            if step.address in self._stored:
                delete_replaced(known, self._stored[step.address])
            else:
                delete_remains(known)

    def _result(
        self,
        step: Step,
        before: Mapping[Address, StoredDocument],
        after: Mapping[Address, StoredDocument | None],
    ) -> OperationResult:
        document = after.get(step.address)
        if document is not None:
            return {"document": present_document(document)}
        known = before.get(step.address)
        return {"deleted": known is not None and step.person in (None, known.user_id)}


def _delete(known: StoredDocument) -> dict[str, Any]:
    """The part of a transaction that deletes a document, on condition that it is as it was read."""
    return {"Delete": {"TableName": settings().state_table, "Key": known.address.item_key, **as_it_was(known)}}
