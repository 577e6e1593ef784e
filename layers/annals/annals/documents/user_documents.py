"""What leads from a user to documents that are another owner's, and are their data.

Each such document has a trace in the user's partition, written in one transaction with it. The documents that a user
owns need none: their partition is named by the user.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from annals.database.dynamodb import Item, client
from annals.database.keys import item_key, partition_key
from annals.documents.document_items import StoredDocument
from annals.settings import settings

TRACE_PREFIX = "D#"
"""How the sort keys of traces of documents begin."""


def document_trace_put(document: StoredDocument) -> dict[str, Any]:
    """The part of a transaction that writes the trace of a document, from its user to it."""
    leads_to = {"docPk": {"S": document.address.pk}, "docSk": {"S": document.address.sk}}
    return {"Put": {"TableName": settings().state_table, "Item": {**_trace_key(document), **leads_to}}}


def delete_document_trace(document: StoredDocument) -> None:
    """Delete the trace of a document that is gone."""
    client().delete_item(TableName=settings().state_table, Key=_trace_key(document))


def _trace_key(document: StoredDocument) -> Item:
    name = sha256(f"{document.address.pk}\0{document.address.sk}".encode()).hexdigest()
    return item_key(partition_key(document.address.owner.tenant, "PT", document.user_id or ""), TRACE_PREFIX + name)
