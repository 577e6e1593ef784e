"""What the OpenSearch index holds (its mapping and its documents), and searches in OpenSearch's query language."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from annals.search.dates import DateRange
from annals.search.documents import Document, Vector, encodable, from_source, metadata_facet, tag_facet
from annals.search.protocol import NAMED_FILTERS, NO_SPACE, USER_MEMORY, Filters, Scope

Clause = dict[str, Any]

VECTOR_FIELDS = ("own", "window_vector", "window_digest")
DOCUMENT_ONLY = {"_source": False, "stored_fields": ["document"]}
"""What a search returns: the document as one stored text. From ``_source``, OpenSearch would put together each hit's
vectors, only to leave them out, which takes longer than the search.
"""

MAX_ID_BYTES = 512

FEW_SEGMENTS = {"merge.policy.segments_per_tier": 4}
"""Every segment is searched for its own nearest, so fewer of them answer sooner. Serverless decides for itself."""


def mapping(dimensions: int, engine: str, profile: dict[str, str]) -> dict[str, Any]:
    """The body of the request that creates the index. Lucene's vectors are compared by cosine, faiss' by product."""
    keyword, number, text = {"type": "keyword"}, {"type": "long"}, {"type": "text", "analyzer": "english"}
    hnsw = {"name": "hnsw", "engine": engine, "space_type": "cosinesimil" if engine == "lucene" else "innerproduct"}
    vector = {"type": "knn_vector", "dimension": dimensions, "method": hnsw}
    not_indexed = {"type": "keyword", "index": False, "doc_values": False}
    names = ("tenant", "memory_id", "memory_space_id", "owner", "facets", *NAMED_FILTERS)
    return {
        "settings": {"index": {"knn": True} | (FEW_SEGMENTS if engine == "lucene" else {})},
        "mappings": {
            "_meta": profile,
            "dynamic": False,
            "properties": {
                **dict.fromkeys(names, keyword),
                **dict.fromkeys(("seq", "importance", "at", "month"), number),
                **dict.fromkeys(("tags", "message_ids", "digest", "fingerprint", "window_digest"), not_indexed),
                **dict.fromkeys(("content", "window"), text),
                "own": {"type": "nested", "properties": {"vector": vector, "digest": not_indexed}},
                "window_vector": vector,
                "document": {**not_indexed, "store": True},
                "metadata": {"type": "object", "enabled": False},
            },
        },
    }


def document_id(tenant: str, memory_id: str) -> str:
    """The document's ``_id``: tenant and memory id, escaped so that no other two give the same."""
    name = "#".join(part.replace("%", "%25").replace("#", "%23").replace("~", "%7E") for part in (tenant, memory_id))
    encoded = name.encode("utf-8", "replace")
    return name if len(encoded) <= MAX_ID_BYTES else f"~{hashlib.sha256(encoded).hexdigest()}"


def to_source(document: Document, fingerprint: str) -> dict[str, Any]:
    """The document as it is stored."""
    source = document.source()
    fields = {
        **source,
        "document": json.dumps(source),
        "window": encodable(document.window),
        "facets": document.facets(),
        "month": document.moment.month,
        "fingerprint": fingerprint,
        "own": [{"vector": each.vector, "digest": each.digest} for each in document.embeddings() if each.kind == "own"],
        "window_vector": document.window_vector,
        "window_digest": document.window_digest,
    }
    return {name: value for name, value in fields.items() if value is not None}


def restriction(scope: Scope) -> list[Clause]:
    """The clauses of a filter that lets through what is in the scope."""
    clauses: list[Clause] = [{"term": {"tenant": scope.tenant}}]
    if scope.spaces is not None:
        clauses.append(_in_spaces(scope, scope.spaces))
    if scope.owners is not None:
        clauses.append({"terms": {"owner": list(scope.owners)}})
    return [*clauses, *_named(scope.filters), *_faceted(scope.filters), *_ranged(scope.filters)]


def _in_spaces(scope: Scope, spaces: Collection[str]) -> Clause:
    """A clause for what is in some spaces, and for the user's own user memories of none where the scope adds them."""
    in_spaces: Clause = {"terms": {"memory_space_id": sorted(spaces)}}
    if scope.owners is None or not scope.adds_spaceless:
        return in_spaces
    own = {"memory_space_id": NO_SPACE, "owner": scope.owners[0], "source_type": USER_MEMORY}
    spaceless = filtered([{"term": {name: value}} for name, value in own.items()])
    return {"bool": {"should": [in_spaces, spaceless], "minimum_should_match": 1}}


def filtered(clauses: Sequence[Clause]) -> Clause:
    """A query for everything that passes, without a score."""
    return {"bool": {"filter": list(clauses)}}


def by_words(terms: Sequence[str], clauses: Sequence[Clause]) -> Clause:
    """A query for any of the words, in own text and window."""
    return {"bool": {"must": [_any_word(terms)], "filter": list(clauses)}}


def nearest_own(vector: Sequence[float], clauses: Sequence[Clause], depth: int) -> Clause:
    """A query for what passes and has the nearest own vectors; of several the nearest counts."""
    nearest = _nearest("own.vector", vector, clauses, depth)
    return {"nested": {"path": "own", "query": nearest, "score_mode": "max"}}


def nearest_window(vector: Sequence[float], clauses: Sequence[Clause], depth: int) -> Clause:
    """A query for what passes and has the nearest windows."""
    return _nearest("window_vector", vector, clauses, depth)


def in_dates(dates: DateRange, terms: Sequence[str], clauses: Sequence[Clause]) -> Clause:
    """A query for what was said at a time, what shares a word with the query first."""
    within: Clause = {"terms": {"month": list(dates.months)}}
    if dates.start is not None:
        within = {"range": {"at": {"gte": dates.start, "lt": dates.end}}}
    should = {"should": [_any_word(terms)], "minimum_should_match": 0} if terms else {}
    return {"bool": {"filter": [*clauses, within], **should}}


def to_document(hit: Mapping[str, Any]) -> Document:
    """The document of a hit."""
    return from_source(json.loads(hit["fields"]["document"][0]))


def vectors(source: Mapping[str, Any]) -> Iterator[tuple[str, Vector]]:
    """The vectors of a stored document that have a digest, each with the digest before it."""
    window = {"vector": source.get("window_vector"), "digest": source.get("window_digest")}
    for each in (*source.get("own", ()), window):
        if each["digest"] and each["vector"]:
            yield each["digest"], tuple(each["vector"])


def _nearest(name: str, vector: Sequence[float], clauses: Sequence[Clause], depth: int) -> Clause:
    return {"knn": {name: {"vector": list(vector), "k": depth, "filter": filtered(clauses)}}}


def _any_word(terms: Sequence[str]) -> Clause:
    """Own text counts little: its field is scored by itself, where a word in a short text weighs much."""
    return {"multi_match": {"query": " ".join(terms), "fields": ["content^0.3", "window"], "type": "most_fields"}}


def _named(filters: Filters) -> Iterator[Clause]:
    for name in NAMED_FILTERS:
        expected = getattr(filters, name)
        if expected is not None:
            alternatives = (expected,) if isinstance(expected, str) else expected
            yield {"terms": {name: [encodable(each) for each in alternatives]}}


def _faceted(filters: Filters) -> Iterator[Clause]:
    if filters.tags_any:
        yield {"terms": {"facets": [tag_facet(tag) for tag in filters.tags_any]}}
    for tag in filters.tags_all:
        yield {"term": {"facets": tag_facet(tag)}}
    for path, value in filters.metadata.items():
        alternatives = value if isinstance(value, tuple) else (value,)
        yield {"terms": {"facets": [metadata_facet(path, alternative) for alternative in alternatives]}}


def _ranged(filters: Filters) -> Iterator[Clause]:
    bounds = (("importance", filters.importance_min, filters.importance_max), ("at", filters.since, filters.until))
    for name, low, high in bounds:
        limits = {key: bound for key, bound in (("gte", low), ("lte", high)) if bound is not None}
        if limits:
            yield {"range": {name: limits}}
