"""Store, read, list and delete documents: JSON values under keys, which may change."""

from __future__ import annotations

from hashlib import sha256
from typing import Annotated

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Query
from pydantic import ValidationError

from annals.api.cursors import Cursors
from annals.api.fields import Id
from annals.api.problems import from_validation
from annals.documents.access import require_not_erased, require_owner
from annals.documents.batches import WriteIds, require_owners, run_batch
from annals.documents.listing import delete_documents, list_documents, list_namespaces
from annals.documents.models import (
    MAX_KEY_CHARS,
    MAX_NAMESPACE_CHARS,
    BatchOfDocuments,
    BatchResponse,
    DeletedDocument,
    DeletedDocuments,
    DeleteDocuments,
    DeleteOperation,
    DocumentAddress,
    DocumentList,
    DocumentResponse,
    GetOperation,
    ListDocuments,
    ListNamespaces,
    NamespaceList,
    OfOwner,
    PutDocument,
    PutOperation,
)
from annals.documents.presenters import address_of, owner_of, person_of, present_document
from annals.documents.reading import find_document, read_document, refresh
from annals.documents.transactions import run_transaction
from annals.documents.value_filters import require_operators
from annals.documents.writing import NewDocument, delete_document, put_document
from annals.errors import DocumentNotFound, InvalidInput, InvalidJson
from annals.http.app import Api, respond
from annals.json_text import canonical_text, parse
from annals.settings import settings

app = Api()
handler = app.handler

ADDRESS_PARAMS = ("collection", "namespace", "key", "conversationId", "memorySpaceId", "agentId", "userId")

PAGING = {"limit", "cursor"}
"""The fields of a request that may differ from page to page of a list."""


@app.put("/v1/documents", tags=["Documents"])
def store(body: PutDocument) -> Response[DocumentResponse]:
    """Store a JSON value under a key; whatever was there is replaced, unless `ifVersion` requires a version.

    The answer is the document without its value: with version 1 it is 201, then 200.
    """
    caller = app.caller.require_scope("write")
    if_version = body.if_version if body.if_version is not None else app.if_match()
    address = address_of(caller.tenant, body)
    require_owner(caller, address.owner)
    require_not_erased(address.owner)
    new = NewDocument(address, body.value, if_version, body.ttl_seconds, person_of(body), _write_ids()(0))
    document = put_document(new)
    return respond(present_document(document), 201 if document.version == 1 else 200, etag=document.version)


@app.get("/v1/documents", tags=["Documents"])
def get(
    collection: Annotated[Id, Query()],
    key: Annotated[str, Query(max_length=MAX_KEY_CHARS)],
    namespace: Annotated[str, Query(max_length=MAX_NAMESPACE_CHARS, description="A list of labels, as JSON")] = "[]",
    conversation_id: Annotated[Id | None, Query(alias="conversationId")] = None,
    memory_space_id: Annotated[Id | None, Query(alias="memorySpaceId")] = None,
    agent_id: Annotated[Id | None, Query(alias="agentId")] = None,
    user_id: Annotated[Id | None, Query(alias="userId")] = None,
    refresh_ttl: Annotated[bool, Query(alias="refreshTtl")] = False,
) -> Response[DocumentResponse]:
    """A document with its value. With `refreshTtl`, its time begins anew. Strongly consistent."""
    caller = app.caller.require_scope("read")
    app.require_known_query(*ADDRESS_PARAMS, "refreshTtl")
    named = _named(collection, namespace, key, conversation_id, memory_space_id, agent_id, user_id)
    address, person = address_of(caller.tenant, named), person_of(named)
    require_owner(caller, address.owner)
    require_not_erased(address.owner)
    document = find_document(address)
    read = read_document(document) if document and person in (None, document.user_id) else None
    if read is None:
        raise DocumentNotFound(key)
    current = refresh(read[0]) if refresh_ttl else read[0]
    return respond(present_document(current, read[1]), etag=current.version)


@app.delete("/v1/documents", tags=["Documents"])
def delete(
    collection: Annotated[Id, Query()],
    key: Annotated[str, Query(max_length=MAX_KEY_CHARS)],
    namespace: Annotated[str, Query(max_length=MAX_NAMESPACE_CHARS, description="A list of labels, as JSON")] = "[]",
    conversation_id: Annotated[Id | None, Query(alias="conversationId")] = None,
    memory_space_id: Annotated[Id | None, Query(alias="memorySpaceId")] = None,
    agent_id: Annotated[Id | None, Query(alias="agentId")] = None,
    user_id: Annotated[Id | None, Query(alias="userId")] = None,
) -> DeletedDocument:
    """Delete a document, with `If-Match` only that version; `deleted` is false where there is none."""
    caller = app.caller.require_scope("erase")
    named = _named(collection, namespace, key, conversation_id, memory_space_id, agent_id, user_id)
    address = address_of(caller.tenant, named)
    require_owner(caller, address.owner)
    require_not_erased(address.owner)
    return {"deleted": delete_document(address, app.if_match(), person_of(named))}


@app.post("/v1/documents/batch", tags=["Documents"])
def run_many(body: BatchOfDocuments) -> BatchResponse:
    """Read, store and delete documents, up to 100; the results are in the operations' order.

    Without `atomic`, each operation is done by itself, and what one is refused for is its result; those on the same
    document are done in their order. With `atomic`, all are done or none, and what one is refused for is the answer.
    """
    caller = app.caller
    for kind, scope in ((GetOperation, "read"), (PutOperation, "write"), (DeleteOperation, "erase")):
        if any(isinstance(each, kind) for each in body.operations):
            caller.require_scope(scope)
    require_owners(caller, body.operations)
    run = run_transaction if body.atomic else run_batch
    return {"results": run(caller.tenant, body.operations, _write_ids())}


@app.post("/v1/documents/list", tags=["Documents"])
def list_them(body: ListDocuments) -> DocumentList:
    """Documents of a collection, in the order of namespace and key. Strongly consistent.

    A page may hold fewer than `limit`, where an answer has no room for more or few match; `nextCursor` then leads on.
    """
    caller = app.caller.require_scope("read")
    require_operators(body.filter)
    _require_open(body)
    cursors = _cursors("documents", body)
    items, last = list_documents(caller.tenant, body, cursors.read(body.cursor)[0] if body.cursor else None)
    return {"items": items, **(cursors.next(last) if last else {})}


@app.post("/v1/documents/namespaces", tags=["Documents"])
def list_their_namespaces(body: ListNamespaces) -> NamespaceList:
    """The namespaces of a collection that have documents, in their order. Strongly consistent."""
    caller = app.caller.require_scope("read")
    _require_open(body)
    cursors = _cursors("namespaces of documents", body)
    items, last = list_namespaces(caller.tenant, body, cursors.read(body.cursor)[0] if body.cursor else None)
    return {"items": items, **(cursors.next(last) if last else {})}


@app.post("/v1/documents/delete-many", tags=["Documents"])
def delete_them(body: DeleteDocuments) -> DeletedDocuments:
    """Delete the documents of a collection, or those below a namespace; sent again, it goes on where it ended."""
    caller = app.caller.require_scope("erase")
    _require_open(body)
    count, is_done = delete_documents(caller.tenant, body, settings().erase_budget_s)
    return {"count": count, "done": is_done}


def _require_open(body: OfOwner) -> None:
    owner = owner_of(app.caller.tenant, body)
    require_owner(app.caller, owner)
    require_not_erased(owner)


def _write_ids() -> WriteIds:
    """The ids of a request's writes, by which a retry of the request knows them; empty without a key."""
    request = app.idempotent_request("documents")
    if request is None:
        return lambda _: ""
    seed = request.id + request.content
    return lambda position: sha256(seed + str(position).encode()).hexdigest()[:16]


def _cursors(name: str, body: ListDocuments | ListNamespaces) -> Cursors:
    conditions = canonical_text(body.model_dump(mode="json", exclude=PAGING))
    return Cursors.of(app.caller.tenant, app.caller.spaces, [name], {"body": conditions}, ())


def _named(
    collection: str,
    namespace: str,
    key: str,
    conversation_id: str | None,
    memory_space_id: str | None,
    agent_id: str | None,
    user_id: str | None,
) -> DocumentAddress:
    """The address that query parameters name. Raises InvalidInput."""
    try:
        labels = parse(namespace)
    except InvalidJson:
        detail = "namespace must be a list of labels as JSON."
        raise InvalidInput("INVALID_FORMAT", detail, field="namespace") from None
    values = {
        "collection": collection,
        "namespace": labels,
        "key": key,
        "conversationId": conversation_id,
        "memorySpaceId": memory_space_id,
        "agentId": agent_id,
        "userId": user_id,
    }
    try:
        return DocumentAddress.model_validate(values)
    except ValidationError as error:
        raise from_validation(error.errors()) from None
