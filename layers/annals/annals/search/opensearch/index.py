"""The index in OpenSearch: a node, an Amazon OpenSearch Service domain, or a Serverless collection.

A generation is an index of its own, and an alias names the one in service (``aliases``). Words and vectors are ranked
by OpenSearch (``query``), in one ``_msearch``; BM25 and cosines are joined outside, as those of the embedded index are.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from annals.errors import SearchUnavailable
from annals.search.dates import DateRange
from annals.search.documents import Document, Vector
from annals.search.opensearch import aliases, query
from annals.search.opensearch.connecting import connect
from annals.search.opensearch.index_requests import IndexRequests, JsonHit
from annals.search.opensearch.query import Clause
from annals.search.profiles import index_profile, require_owners, require_profile, require_vector_profile
from annals.search.protocol import SERVERLESS, Candidates, DocumentKey, Failure, Scope

PAGE = 1_000
MAX_SPEAKERS = 1_000
SPEAKERS_CACHED_S = 60.0
SPEAKERS_CACHED = 1_000
"""Of so many scopes the speakers are cached."""
PROGRESS = "noted"
"""Under this name the mapping holds how far a rebuild has come."""


class OpenSearchIndex:
    """A search index behind a URL; see SearchIndex and RebuildableIndex.

    Parameters
    ----------
    url, service, wake_s : see ``connect``
    name : the alias that names the generation in service
    """

    def __init__(self, url: str, *, name: str = "annals", service: str = "es", wake_s: float = 0.0) -> None:
        self._is_serverless = service == SERVERLESS
        client = connect(url, service=service, wake_s=wake_s)
        self._use(IndexRequests(client, name, may_sleep=self._is_serverless))
        self._profiles: dict[str, Mapping[str, str]] = {}

    def ensure(self, *, model: str, dimensions: int) -> None:
        """Create the first generation; see SearchIndex.ensure."""
        expected = index_profile(model, dimensions)
        stored = self.find_profile()
        if not stored:
            with self._requests.answering():
                aliases.create_first(self._client, self._name, self._mapping(expected))
            stored = self.find_profile()
        require_profile(self._name, stored, expected)

    def upsert(self, documents: Sequence[tuple[Document, str]]) -> list[Failure]:
        """Store documents in bulk; see SearchIndex.upsert."""
        ids = {query.document_id(each.tenant, each.memory_id): each.memory_id for each, _ in documents}
        actions = (
            {
                "_op_type": "index",
                "_id": query.document_id(document.tenant, document.memory_id),
                "_source": query.to_source(document, fingerprint),
            }
            for document, fingerprint in documents
        )
        failures = self._requests.bulk(actions, is_failure=lambda status: status >= 300)
        return [Failure(ids[document_id], reason) for document_id, reason in failures]

    def delete(self, tenant: str, memory_ids: Collection[str]) -> None:
        """Remove documents; see SearchIndex.delete."""
        self._delete(query.document_id(tenant, memory_id) for memory_id in memory_ids)

    def delete_conversation(self, tenant: str, conversation_id: str) -> None:
        """Find a conversation's documents and remove them: Serverless has no delete-by-query."""
        self.refresh()
        theirs = query.filtered([{"term": {"tenant": tenant}}, {"term": {"conversation_id": conversation_id}}])
        order = [{"memory_id": "asc"}]
        after: list[Any] | None = None
        while hits := self._requests.search_sorted(theirs, order, PAGE, after, with_document=False):
            self._delete(hit["_id"] for hit in hits)
            after = hits[-1]["sort"]

    def find_fingerprints(self, tenant: str, memory_ids: Collection[str]) -> dict[str, str]:
        """The stored fingerprints, also of what no search finds yet; see SearchIndex.find_fingerprints."""
        sources = self._find_sources(tenant, memory_ids, ("memory_id", "fingerprint"))
        return {source["memory_id"]: source["fingerprint"] for source in sources}

    def find_vectors(self, tenant: str, memory_ids: Collection[str]) -> dict[str, Vector]:
        """The stored vectors by digest, also of what no search finds yet; see SearchIndex.find_vectors."""
        sources = self._find_sources(tenant, memory_ids, query.VECTOR_FIELDS)
        return {digest: vector for source in sources for digest, vector in query.vectors(source)}

    def find_candidates(
        self,
        scope: Scope,
        *,
        terms: Sequence[str],
        vector: Sequence[float] | None,
        dates: DateRange | None,
        depth: int,
        model: str = "",
    ) -> Candidates:
        """Search words, vectors and dates in one ``_msearch``; see SearchIndex.find_candidates.

        Profiles are looked at after the search, and only where its hits leave a doubt, so that it is one round trip.
        """
        clauses = query.restriction(scope)
        queries: dict[str, Clause] = {}
        if terms:
            queries["lexical"] = query.by_words(terms, clauses)
        if vector is not None:
            queries["own"] = query.nearest_own(vector, clauses, depth)
            queries["window"] = query.nearest_window(vector, clauses, depth)
        if dates is not None:
            queries["dated"] = query.in_dates(dates, terms, clauses)
        lists = self._requests.search_many(queries, depth)
        hits = {hit["_id"]: hit for each in lists.values() for hit in each}
        if scope.for_user is not None and not hits:
            require_owners(self._name, self.find_profile())  # one without owners finds nothing for a user
        if model and vector is not None:
            self._require_model(model, {hit["_index"] for hit in hits.values()})
        documents = {document_id: query.to_document(hit) for document_id, hit in hits.items()}
        return Candidates(
            documents={document.memory_id: document for document in documents.values()},
            lexical=_scores(lists, "lexical", documents, float),
            own=_scores(lists, "own", documents, self._to_cosine),
            window=_scores(lists, "window", documents, self._to_cosine),
        )

    def list_speakers(self, scope: Scope) -> frozenset[str]:
        """Who spoke, as it was at most a minute ago; see SearchIndex.list_speakers."""
        key = (scope.tenant, scope.spaces)
        cached = self._speakers.get(key)
        if cached is not None and cached[0] > time.monotonic():
            return cached[1]
        everything = query.filtered(query.restriction(Scope(tenant=scope.tenant, spaces=scope.spaces)))
        names = self._requests.list_values(everything, "speaker", MAX_SPEAKERS)
        if len(self._speakers) >= SPEAKERS_CACHED:
            self._speakers.clear()
        self._speakers[key] = (time.monotonic() + SPEAKERS_CACHED_S, names)
        return names

    def list_documents(self, scope: Scope, *, limit: int, after: tuple[int, str] | None = None) -> list[Document]:
        """Documents, newest first; see SearchIndex.list_documents."""
        order = [{"at": "desc"}, {"memory_id": "desc"}]
        hits = self._requests.search_sorted(query.filtered(query.restriction(scope)), order, limit, after)
        return [query.to_document(hit) for hit in hits]

    def count(self, scope: Scope) -> int:
        """How many documents; see SearchIndex.count."""
        return self._requests.count(query.filtered(query.restriction(scope)))

    def refresh(self) -> None:
        """Make what was written searchable.

        A Serverless collection does so by itself, within some ten seconds, and not on request: a search that is to
        be consistent may lack what was stored within them.
        """
        if not self._is_serverless:
            self._requests.refresh()

    def drop(self) -> None:
        """Remove the index; see SearchIndex.drop."""
        self._speakers.clear()
        with self._requests.answering():
            aliases.drop(self._client, aliases.find_current(self._client, self._name))

    def find_profile(self) -> dict[str, str]:
        """What the index was made with; see RebuildableIndex.find_profile."""
        return {name: value for name, value in (self._requests.find_meta() or {}).items() if name != PROGRESS}

    def find_next(self) -> OpenSearchIndex | None:
        """The generation that is being built; see RebuildableIndex.find_next."""
        with self._requests.answering():
            name = aliases.find_next(self._client, self._name)
        return self._with_name(name) if name else None

    def ensure_next(self, *, model: str, dimensions: int, beside: str = "") -> OpenSearchIndex:
        """Make the next generation; see RebuildableIndex.ensure_next."""
        with self._requests.answering():
            name = aliases.find_next(self._client, self._name)
            if name is None:
                body = self._mapping(index_profile(model, dimensions))
                name = aliases.create_next(self._client, self._name, body, beside)
        return self._with_name(name)

    def switch_to(self, new: OpenSearchIndex) -> None:
        """Let the alias name the next generation; see RebuildableIndex.switch_to."""
        self._speakers.clear()
        with self._requests.answering():
            is_in_service = aliases.switch_to(self._client, self._name, new._name)
        if not is_in_service:
            raise SearchUnavailable(f"The search index {new._name} was given up while it was built.")

    def drop_former(self) -> None:
        """Remove former generations; see RebuildableIndex.drop_former."""
        with self._requests.answering():
            aliases.drop_former(self._client, self._name)

    def drop_next(self) -> None:
        """Remove the generation that is being built; see RebuildableIndex.drop_next."""
        with self._requests.answering():
            aliases.drop(self._client, aliases.find_next(self._client, self._name))

    def save_progress(self, position: str) -> None:
        """Store a rebuild's position in the mapping; see RebuildableIndex.save_progress."""
        self._requests.put_meta({**(self._requests.find_meta() or {}), PROGRESS: position})

    def get_progress(self) -> str:
        """The position that the mapping holds; see RebuildableIndex.get_progress."""
        return (self._requests.find_meta() or {}).get(PROGRESS, "")

    def list_keys(self, *, limit: int, after: DocumentKey | None = None) -> list[DocumentKey]:
        """Keys in order; see RebuildableIndex.list_keys."""
        order = [{"tenant": "asc"}, {"memory_id": "asc"}]
        hits = self._requests.search_sorted({"match_all": {}}, order, limit, after, with_document=False)
        return [(tenant, memory_id) for tenant, memory_id in (hit["sort"] for hit in hits)]

    def _use(self, requests: IndexRequests) -> None:
        self._requests, self._client, self._name = requests, requests.client, requests.name
        self._speakers: dict[tuple[str, frozenset[str] | None], tuple[float, frozenset[str]]] = {}

    def _with_name(self, name: str) -> OpenSearchIndex:
        """Another index of the same cluster."""
        other = copy.copy(self)
        other._use(IndexRequests(self._client, name, may_sleep=self._is_serverless))
        return other

    def _mapping(self, profile: dict[str, str]) -> dict[str, Any]:
        engine = "faiss" if self._is_serverless else "lucene"
        return query.mapping(int(profile["dimensions"]), engine, profile)

    def _require_model(self, model: str, names: Iterable[str]) -> None:
        """Refuse hits of another model's vectors. An index' profile never changes: it is read once."""
        for name in names:
            if name not in self._profiles:
                self._profiles[name] = self._with_name(name).find_profile()
            require_vector_profile(name, self._profiles[name], model)

    def _find_sources(self, tenant: str, memory_ids: Collection[str], fields: Sequence[str]) -> list[dict[str, Any]]:
        return self._requests.find_sources([query.document_id(tenant, each) for each in memory_ids], fields)

    def _delete(self, ids: Iterable[str]) -> None:
        actions = ({"_op_type": "delete", "_id": each} for each in ids)
        failures = self._requests.bulk(actions, is_failure=lambda status: status >= 300 and status != 404)
        if failures:
            raise SearchUnavailable(f"The search index did not remove {len(failures)} documents: {failures[0][1]}")

    def _to_cosine(self, score: float) -> float:
        """The cosine of a score: Lucene gives (1 + cosine) / 2, faiss 1 + product, or 1 / (1 - product) below 0."""
        if not self._is_serverless:
            return 2 * score - 1
        return score - 1 if score >= 1 else 1 - 1 / score


def _scores(
    lists: Mapping[str, list[JsonHit]],
    name: str,
    documents: Mapping[str, Document],
    convert: Callable[[float], float],
) -> dict[str, float]:
    return {documents[hit["_id"]].memory_id: convert(hit["_score"]) for hit in lists.get(name, [])}
