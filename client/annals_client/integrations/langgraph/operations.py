"""The operations of a store, as calls: each item is a document, with its vectors beside its value."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from langgraph.store.base import GetOp, Item, ListNamespacesOp, MatchCondition, Op, PutOp, Result, SearchItem, SearchOp

from annals_client.calls import Steps
from annals_client.integrations.langgraph.filters import matches, server_filter
from annals_client.integrations.langgraph.vectors import VectorIndex, VectorsByText, from_text, nearness, to_text
from annals_client.listing import collect_items
from annals_client.models import Document
from annals_client.resources.documents import DocumentDelete, DocumentGet, DocumentOperation, DocumentPut, Documents

Namespace = tuple[str, ...]

PAGE = 200
"""How many documents are read at once, where it is not known how many are wanted."""

Found = list[tuple[Document, float | None]]
"""Documents, each with how near it is to what was asked."""


@dataclass(frozen=True)
class Operations:
    """Runs operations of a store.

    Parameters
    ----------
    memory_space_id, collection : where its documents are
    user_of : whose data an item of a namespace is
    index : what is embedded of items
    vectors : of the texts that are stored
    queried : of the queries
    """

    memory_space_id: str
    collection: str
    user_of: Callable[[Namespace], str | None]
    index: VectorIndex | None
    vectors: VectorsByText
    queried: VectorsByText

    def run(self, ops: Sequence[Op]) -> Steps[list[Result]]:
        """The results of operations, in their order: first of all that read, then of all that store."""
        results: list[Result] = [None] * len(ops)
        gets = {number: op for number, op in enumerate(ops) if isinstance(op, GetOp)}
        for number, item in zip(gets, (yield from self._get([*gets.values()])), strict=True):
            results[number] = item
        for number, op in enumerate(ops):
            if isinstance(op, SearchOp):
                results[number] = yield from self._search(op)
            elif isinstance(op, ListNamespacesOp):
                results[number] = yield from self._list_namespaces(op)
            elif not isinstance(op, GetOp | PutOp):
                raise ValueError(f"Unknown operation type: {type(op)}")
        yield from self._put([op for op in ops if isinstance(op, PutOp)])
        return results

    def _get(self, gets: Sequence[GetOp]) -> Steps[list[Item | None]]:
        operations = [self._get_document(op.namespace, op.key, refresh_ttl=op.refresh_ttl) for op in gets]
        results = yield from Documents.batch.steps(None, operations)
        return [None if result.document is None else _item(result.document) for result in results]

    def _get_document(self, namespace: Namespace, key: str, *, refresh_ttl: bool) -> DocumentGet:
        return DocumentGet(
            collection=self.collection,
            namespace=namespace,
            key=key,
            memory_space_id=self.memory_space_id,
            refresh_ttl=refresh_ttl,
        )

    def _put(self, puts: Sequence[PutOp]) -> Steps[None]:
        last = {(op.namespace, op.key): op for op in puts}
        yield from Documents.batch.steps(None, [self._put_document(op) for op in last.values()])

    def _put_document(self, op: PutOp) -> DocumentOperation:
        if op.value is None:
            return DocumentDelete(
                collection=self.collection,
                namespace=op.namespace,
                key=op.key,
                memory_space_id=self.memory_space_id,
            )
        vectors = [to_text(self.vectors[text]) for text in self.index.texts_of(op)] if self.index else []
        return DocumentPut(
            collection=self.collection,
            namespace=op.namespace,
            key=op.key,
            value={"value": dict(op.value), **({"vectors": vectors} if vectors else {})},
            memory_space_id=self.memory_space_id,
            user_id=self.user_of(op.namespace),
            ttl_seconds=None if op.ttl is None else max(1, math.ceil(op.ttl * 60)),
        )

    def _search(self, op: SearchOp) -> Steps[list[SearchItem]]:
        by_query = self.queried.get(op.query) if op.query else None
        if by_query is None:
            found: Found = [(each, None) for each in (yield from self._find(op, op.offset + op.limit))]
        else:
            documents = yield from self._find(op, None)
            scores = nearness(by_query, [[*map(from_text, each.value.get("vectors", ()))] for each in documents])
            found = _by_score(zip(documents, scores, strict=True))
        page = found[op.offset :][: op.limit]
        if op.refresh_ttl:
            yield from self._refresh([document for document, _ in page])
        return [_search_item(document, score) for document, score in page]

    def _find(self, op: SearchOp, most: int | None) -> Steps[list[Document]]:
        """The documents below a prefix that meet a filter, in their order; ``most`` at most."""
        narrowing = server_filter(op.filter or {})
        walk = Documents.list.walk(
            self.collection,
            namespace_prefix=[*op.namespace_prefix],
            filter={"value": narrowing} if narrowing else None,
            page_size=PAGE if most is None or op.filter else min(max(most, 1), PAGE),
            memory_space_id=self.memory_space_id,
        )
        found: list[Document] = []
        while (most is None or len(found) < most) and (call := walk.next_call()):
            found += (each for each in walk.take((yield call)).items if matches(each.value["value"], op.filter or {}))
        return found if most is None else found[:most]

    def _refresh(self, documents: Sequence[Document]) -> Steps[None]:
        """Have the time of those begin anew that are there for a time."""
        operations = [
            self._get_document(each.namespace, each.key, refresh_ttl=True)
            for each in documents
            if each.ttl_seconds is not None
        ]
        yield from Documents.batch.steps(None, operations)

    def _list_namespaces(self, op: ListNamespacesOp) -> Steps[list[Namespace]]:
        conditions = op.match_conditions or ()
        kinds = [condition.match_type for condition in conditions]
        if unknown := set(kinds) - {"prefix", "suffix"}:
            raise ValueError(f"Unsupported match type: {unknown.pop()}")
        is_simple = len(set(kinds)) == len(kinds) and op.max_depth != 0
        paths = {condition.match_type: [*condition.path] for condition in conditions} if is_simple else {}
        most = max(op.offset + op.limit, 0)
        walk = Documents.namespaces.walk(
            self.collection,
            prefix=paths.get("prefix", ()),
            suffix=paths.get("suffix", ()),
            max_depth=op.max_depth if is_simple else None,
            limit=most if is_simple else None,
            page_size=min(max(most, 1), 1000),
            memory_space_id=self.memory_space_id,
        )
        found: Sequence[Namespace] = yield from collect_items(walk)
        if not is_simple:
            wanted = (each for each in found if all(_is_match(each, condition) for condition in conditions))
            found = sorted({each[: op.max_depth] for each in wanted})
        return [*islice(found, max(op.offset, 0), most)]


def _by_score(found: Iterator[tuple[Document, float | None]]) -> Found:
    """The nearest first; those that are not indexed at the end."""
    return sorted(found, key=lambda each: math.inf if each[1] is None else -each[1])


def _is_match(namespace: Namespace, condition: MatchCondition) -> bool:
    path = condition.path
    labels = namespace if condition.match_type == "prefix" else namespace[::-1]
    wanted = path if condition.match_type == "prefix" else path[::-1]
    return len(labels) >= len(wanted) and all(part in ("*", label) for label, part in zip(labels, wanted, strict=False))


def _fields(document: Document) -> Mapping[str, Any]:
    return {
        "value": document.value["value"],
        "key": document.key,
        "namespace": document.namespace,
        "created_at": document.created_at,
        "updated_at": document.updated_at,
    }


def _item(document: Document) -> Item:
    return Item(**_fields(document))


def _search_item(document: Document, score: float | None) -> SearchItem:
    return SearchItem(**_fields(document), score=score)
