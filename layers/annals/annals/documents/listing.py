"""Lists of documents and of their namespaces, and the deletion of many. Strongly consistent; nothing is scanned."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any

from annals.answers import Room
from annals.database.damage import decode_readable
from annals.database.dynamodb import Item, client
from annals.database.keys import item_key
from annals.database.state import read_partition
from annals.documents.addresses import (
    Owner,
    after_all,
    collection_prefix,
    documents_pk,
    key_prefix,
    namespace_prefix,
)
from annals.documents.document_items import WITHOUT_VALUE, StoredDocument, from_document_item
from annals.documents.models import DeleteDocuments, DocumentResponse, InRange, ListDocuments, ListNamespaces
from annals.documents.presenters import owner_of, person_of, present_document
from annals.documents.reading import read_document, refresh
from annals.documents.value_filters import matches
from annals.documents.writing import delete_document
from annals.settings import settings
from annals.times import now_ms

BUDGET_S = 15.0
"""For how many seconds a list is looked through before it answers with what it has, and a cursor."""

WORKERS = 8
"""How many documents are changed side by side."""

ANY = "*"
"""Stands for any label in the prefix or suffix of namespaces."""


@dataclass(frozen=True)
class DocumentRange:
    """Documents whose sort keys begin alike.

    Parameters
    ----------
    owner, collection : whose they are, and of which collection
    prefix : how their sort keys begin
    key_prefix : how their keys begin, which a sort key may hold in part only
    user_id : whose data they are, beside their owner; None for anybody's
    """

    owner: Owner
    collection: str
    prefix: str
    key_prefix: str = ""
    user_id: str | None = None

    @staticmethod
    def of(tenant: str, named: InRange) -> DocumentRange:
        """The documents that a request means."""
        owner, person = owner_of(tenant, named), person_of(named)
        if named.namespace_prefix is not None:
            prefix = namespace_prefix(named.collection, tuple(named.namespace_prefix))
            return DocumentRange(owner, named.collection, prefix, user_id=person)
        if named.namespace is None and named.key_prefix is None:
            return DocumentRange(owner, named.collection, collection_prefix(named.collection), user_id=person)
        keys = named.key_prefix or ""
        prefix = key_prefix(named.collection, tuple(named.namespace or ()), keys)
        return DocumentRange(owner, named.collection, prefix, keys, person)

    @property
    def pk(self) -> str:
        return documents_pk(self.owner, self.collection)

    def walk(
        self, *, descending: bool = False, after: str | None = None, page: int | None = None, values: bool = True
    ) -> Iterator[StoredDocument]:
        """The documents with an item that can be read, by their sort keys, those that have run out among them."""
        more: dict[str, Any] = {"ScanIndexForward": not descending}
        if after is not None:
            more["ExclusiveStartKey"] = item_key(self.pk, after)
        if page is not None:
            more["Limit"] = page
        if not values:
            more |= without_value()
        items = read_partition(self.pk, self.prefix, **more)
        return decode_readable(items, lambda item: from_document_item(self.owner, item))

    def includes(self, document: StoredDocument, now: int) -> bool:
        """Whether one of the documents is there, and meant."""
        is_theirs = self.user_id in (None, document.user_id)
        return is_theirs and not document.is_over(now) and document.address.key.startswith(self.key_prefix)


def without_value() -> dict[str, Any]:
    """What leaves a document's value out where its item is read."""
    return {
        "ProjectionExpression": ", ".join(f"#{name}" for name in WITHOUT_VALUE),
        "ExpressionAttributeNames": {f"#{name}": name for name in WITHOUT_VALUE},
    }


def list_documents(tenant: str, request: ListDocuments, after: str | None) -> tuple[list[DocumentResponse], str | None]:
    """A page of documents, and the sort key after which the next page begins, if there may be one.

    Raises DamagedItem.
    """
    named, deadline, now = DocumentRange.of(tenant, request), time.monotonic() + BUDGET_S, now_ms()
    needs_values = request.include_values or request.filter is not None
    documents = named.walk(
        descending=request.order == "desc",
        after=after,
        page=None if request.filter else request.limit + 1,
        values=needs_values,
    )
    shown: list[StoredDocument] = []
    items: list[DocumentResponse] = []
    room, reached, is_more = Room(), after, False
    for document in documents:
        if len(items) == request.limit or time.monotonic() > deadline:
            is_more = True
            break
        item = _present(document, request) if named.includes(document, now) else None
        if item is not None:
            if not room.takes(item):
                is_more = True
                break
            items.append(item)
            shown.append(document)
        reached = document.address.sk
    if request.refresh_ttl:
        with ThreadPoolExecutor(WORKERS) as workers:
            list(workers.map(refresh, shown))
    return items, reached if is_more else None


def _present(document: StoredDocument, request: ListDocuments) -> DocumentResponse | None:
    """A document as a list shows it; None where it does not meet the filter, or is gone by now."""
    if not request.include_values and request.filter is None:
        return present_document(document)
    read = read_document(document)
    if read is None or (request.filter is not None and not matches(read[1], request.filter)):
        return None
    return present_document(*read) if request.include_values else present_document(read[0])


def list_namespaces(tenant: str, request: ListNamespaces, after: str | None) -> tuple[list[list[str]], str | None]:
    """A page of the namespaces that have documents, and where the next page begins, if there may be one.

    Of each namespace one document is read, and with ``maxDepth`` of all those that are shown as one.
    """
    deadline = time.monotonic() + BUDGET_S
    walk = _NamespaceWalk(owner_of(tenant, request), request, person_of(request))
    found: list[list[str]] = []
    lower: str | None = after or walk.first
    while lower is not None:
        if len(found) == request.limit or time.monotonic() > deadline:
            return found, lower
        namespace, lower = walk.step(lower)
        if namespace is not None and (not found or found[-1] != namespace):
            found.append(namespace)
    return found, None


class _NamespaceWalk:
    """A walk from namespace to namespace, by the sort keys of their documents."""

    def __init__(self, owner: Owner, request: ListNamespaces, user_id: str | None) -> None:
        self._owner = owner
        self._request = request
        self._user_id = user_id
        self._pk = documents_pk(owner, request.collection)
        fixed = request.prefix[: request.prefix.index(ANY)] if ANY in request.prefix else request.prefix
        self.first = namespace_prefix(request.collection, tuple(fixed))
        self._end = after_all(self.first)

    def step(self, lower: str) -> tuple[list[str] | None, str | None]:
        """The namespace of the first document from a sort key on, and from where to go on; None where that is all."""
        if lower >= self._end:
            return None, None
        answer = client().query(
            TableName=settings().state_table,
            KeyConditionExpression="pk = :pk AND sk BETWEEN :lower AND :end",
            ExpressionAttributeValues={":pk": {"S": self._pk}, ":lower": {"S": lower}, ":end": {"S": self._end}},
            ConsistentRead=True,
            Limit=1,
            **without_value(),
        )
        items: list[Item] = answer["Items"]
        if not items:
            return None, None
        document = from_document_item(self._owner, items[0])
        if document.is_over(now_ms()) or self._user_id not in (None, document.user_id):
            return None, f"{document.address.sk} "  # no sort key is between these two
        return self._shown(document.address.namespace), self._after(document)

    def _shown(self, namespace: Sequence[str]) -> list[str] | None:
        """A namespace as it is shown, if it is meant."""
        request = self._request
        tail = namespace[len(namespace) - len(request.suffix) :]
        if len(namespace) < max(len(request.prefix), len(request.suffix)):
            return None
        if not _fits(namespace, request.prefix) or not _fits(tail, request.suffix):
            return None
        return [*namespace[: request.max_depth]]

    def _after(self, document: StoredDocument) -> str:
        """The sort key from which the next namespace begins that may be shown otherwise."""
        namespace, request = document.address.namespace, self._request
        depth = request.max_depth or len(namespace) + 1
        if len(request.prefix) <= depth <= len(namespace) and not request.suffix:
            return after_all(namespace_prefix(request.collection, namespace[:depth]))
        return after_all(namespace_prefix(request.collection, namespace) + "#")


def _fits(labels: Sequence[str], pattern: Sequence[str]) -> bool:
    return all(wanted in (ANY, label) for label, wanted in zip(labels, pattern, strict=False))


def delete_documents(tenant: str, request: DeleteDocuments, budget_s: float) -> tuple[int, bool]:
    """Delete documents; how many were, and whether that was all. Sent again, it goes on."""
    named, deadline, now, count = DocumentRange.of(tenant, request), time.monotonic() + budget_s, now_ms(), 0
    documents = named.walk(values=False)

    def delete(document: StoredDocument) -> bool:
        is_meant = named.includes(document, now) or document.is_over(now)
        return is_meant and delete_document(document.address, user_id=named.user_id)

    with ThreadPoolExecutor(WORKERS) as workers:
        while batch := list(islice(documents, 10 * WORKERS)):
            count += sum(workers.map(delete, batch))
            if time.monotonic() > deadline:
                return count, next(documents, None) is None
    return count, True
