"""Batches of operations on documents, done side by side. Those that are done together are in ``transactions``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from annals.access.caller import Caller
from annals.answers import Room
from annals.api.problems import problem_details
from annals.documents.access import is_erased, require_owner
from annals.documents.addresses import Address
from annals.documents.document_items import StoredDocument
from annals.documents.models import GetOperation, Operation, OperationResult, PutOperation
from annals.documents.presenters import address_of, owner_of, person_of, present_document
from annals.documents.reading import find_documents, read_document, refresh
from annals.documents.writing import NewDocument, delete_document, put_document
from annals.errors import AnnalsError, ConversationErased

WORKERS = 8
"""How many documents are read or written side by side."""

WriteIds = Callable[[int], str]
"""The write id of each operation of a request, by its position; empty where the request has no Idempotency-Key."""


@dataclass(frozen=True)
class Step:
    """An operation, and the document that it is about."""

    position: int
    operation: Operation
    address: Address
    person: str | None


def require_owners(caller: Caller, operations: Sequence[Operation]) -> None:
    """Require that all owners of some operations' documents are open to a caller, and that none is erased.

    Raises what ``require_owner`` raises, and ConversationErased.
    """
    for owner in dict.fromkeys(owner_of(caller.tenant, each) for each in operations):
        require_owner(caller, owner)
        if is_erased(owner):
            raise ConversationErased(owner.id)


def run_batch(tenant: str, operations: Sequence[Operation], write_id: WriteIds) -> list[OperationResult]:
    """What came of operations that were done side by side; those on the same document, one after the other."""
    steps = [step_of(tenant, position, each) for position, each in enumerate(operations)]
    by_address: dict[Address, list[Step]] = {}
    for step in steps:
        by_address.setdefault(step.address, []).append(step)
    read_at_once = [group[0].address for group in by_address.values() if isinstance(group[0].operation, GetOperation)]
    found = find_documents(read_at_once)
    results: dict[int, OperationResult] = {}

    def run(group: Sequence[Step]) -> None:
        known: StoredDocument | None = found.get(group[0].address)
        for number, step in enumerate(group):
            if number:
                known = find_documents([step.address]).get(step.address)
            results[step.position] = _result(step, known, write_id)

    groups = list(by_address.values())
    if len(groups) == 1:
        run(groups[0])
    else:
        with ThreadPoolExecutor(WORKERS) as workers:
            list(workers.map(run, groups))
    room = Room()
    return [_fit(results[step.position], room) for step in steps]


def step_of(tenant: str, position: int, operation: Operation) -> Step:
    return Step(position, operation, address_of(tenant, operation), person_of(operation))


def _result(step: Step, known: StoredDocument | None, write_id: WriteIds) -> OperationResult:
    """What came of one operation; what it is refused for is its result."""
    try:
        if isinstance(step.operation, GetOperation):
            return _get(step, known, refreshes=step.operation.refresh_ttl)
        if isinstance(step.operation, PutOperation):
            return {"document": present_document(put_document(new_document(step, step.operation, write_id)))}
        return {"deleted": delete_document(step.address, step.operation.if_version, step.person)}
    except AnnalsError as error:
        return {"error": problem_details(error, "")}


def _get(step: Step, known: StoredDocument | None, *, refreshes: bool) -> OperationResult:
    if known is None or step.person not in (None, known.user_id):
        return {}
    read = read_document(known)
    if read is None:
        return {}
    document, value = read
    return {"document": present_document(refresh(document) if refreshes else document, value)}


def new_document(step: Step, put: PutOperation, write_id: WriteIds) -> NewDocument:
    """The document that a put is to store."""
    own_id = write_id(step.position)
    return NewDocument(step.address, put.value, put.if_version, put.ttl_seconds, step.person, own_id)


def _fit(result: OperationResult, room: Room) -> OperationResult:
    return result if room.takes(result) else {"omitted": True}
