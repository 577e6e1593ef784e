"""The documents of a user: those that they own, and those of other owners that are their data.

Each of the latter has a trace in the user's partition, written in one transaction with it. Those that a user owns need
none: their partition is named by the user.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from typing import Any

from annals.database.damage import decode_readable
from annals.database.dynamodb import Item, client
from annals.database.keys import item_key, partition_key
from annals.database.state import empty_partition, find_item, read_partition
from annals.documents.addresses import DOCUMENT_PREFIX, Owner, documents_pk, owner_of_pk
from annals.documents.document_items import StoredDocument, from_document_item
from annals.ledger.keys import conversation_pk
from annals.settings import settings
from annals.stored_values.values import BLOB, delete_value, delete_values_of
from annals.times import now_ms

TRACE_PREFIX = "D#"
"""How the names of traces of documents begin, which are their sort keys."""


def document_trace_put(document: StoredDocument) -> dict[str, Any]:
    """The part of a transaction that writes the trace of a document, from its user to it."""
    leads_to = {"docPk": {"S": document.address.pk}, "docSk": {"S": document.address.sk}}
    return {"Put": {"TableName": settings().state_table, "Item": {**_trace_key_of(document), **leads_to}}}


def put_document_trace(item: Item) -> None:
    """Write the trace of a stored document, if it is a user's data beside its owner. Raises DamagedItem."""
    document = from_document_item(owner_of_pk(item["pk"]["S"]), item)
    if document.user_id is not None:
        client().put_item(**document_trace_put(document)["Put"])


def delete_traces_of_conversation(tenant: str, conversation_id: str) -> None:
    """Delete what leads to the documents of a conversation that is erased, before they go."""
    for document in list_documents_of_conversation(tenant, conversation_id):
        if document.user_id is not None:
            delete_document_trace(document)


def delete_document_trace(document: StoredDocument) -> None:
    """Delete the trace of a document that is gone."""
    client().delete_item(TableName=settings().state_table, Key=_trace_key_of(document))


def list_own_documents(tenant: str, user_id: str) -> Iterator[StoredDocument]:
    """The documents that a user owns, and that can be read."""
    return _readable(Owner(tenant, "user", user_id), own_documents_pk(tenant, user_id))


def count_own_documents(tenant: str, user_id: str) -> int:
    """How many documents a user owns: their items, in whatever state they are."""
    pk = own_documents_pk(tenant, user_id)
    return sum(1 for _ in read_partition(pk, DOCUMENT_PREFIX, ProjectionExpression="pk"))


def list_documents_of_conversation(tenant: str, conversation_id: str) -> Iterator[StoredDocument]:
    """The documents that a conversation owns, and that can be read."""
    return _readable(Owner(tenant, "conversation", conversation_id), conversation_pk(tenant, conversation_id))


def _readable(owner: Owner, pk: str) -> Iterator[StoredDocument]:
    now = now_ms()
    found = decode_readable(read_partition(pk, DOCUMENT_PREFIX), lambda item: from_document_item(owner, item))
    return (document for document in found if not document.is_over(now))


def own_documents_pk(tenant: str, user_id: str) -> str:
    """The partition of the documents that a user owns."""
    return documents_pk(Owner(tenant, "user", user_id), "")


def delete_all_within(pk: str) -> None:
    """Delete all that is in a partition, with its blobs, even what comes meanwhile. It can be done again."""
    empty_partition(pk)
    delete_values_of(pk)


def list_document_traces(tenant: str, user_id: str) -> Iterator[str]:
    """The names of the traces that lead from a user to documents of other owners; some of these may be gone."""
    return (item["sk"]["S"] for item in read_partition(_traces_pk(tenant, user_id), TRACE_PREFIX))


def find_traced_document(tenant: str, user_id: str, name: str) -> StoredDocument | None:
    """The document to which a trace leads, if it is there and the user's. Raises DamagedItem."""
    item = _find_traced_item(tenant, user_id, name)
    document = from_document_item(owner_of_pk(item["pk"]["S"]), item) if item else None
    return None if document is None or document.is_over(now_ms()) else document


def delete_traced_document(tenant: str, user_id: str, name: str) -> None:
    """Delete the document to which a trace leads, even one that cannot be read, and the trace."""
    if item := _find_traced_item(tenant, user_id, name):
        pk, sk = item["pk"]["S"], item["sk"]["S"]
        client().delete_item(TableName=settings().state_table, Key=item_key(pk, sk))
        delete_value(pk, sk, {BLOB: item.get(BLOB, {}).get("S")})
    client().delete_item(TableName=settings().state_table, Key=item_key(_traces_pk(tenant, user_id), name))


def _find_traced_item(tenant: str, user_id: str, name: str) -> Item | None:
    """The item to which a trace leads, unless it is no data of the user's any more."""
    trace = find_item(item_key(_traces_pk(tenant, user_id), name))
    item = find_item(item_key(trace["docPk"]["S"], trace["docSk"]["S"])) if trace else None
    return item if item and item.get("userId") == {"S": user_id} else None


def _trace_key_of(document: StoredDocument) -> Item:
    name = sha256(f"{document.address.pk}\0{document.address.sk}".encode()).hexdigest()
    return item_key(_traces_pk(document.address.owner.tenant, document.user_id or ""), TRACE_PREFIX + name)


def _traces_pk(tenant: str, user_id: str) -> str:
    return partition_key(tenant, "PT", user_id)
