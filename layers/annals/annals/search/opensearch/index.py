"""The index in OpenSearch: a node, an Amazon OpenSearch Service domain, or a Serverless collection."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from opensearchpy import OpenSearch, Urllib3AWSV4SignerAuth, Urllib3HttpConnection, helpers
from opensearchpy.exceptions import NotFoundError, OpenSearchException

from annals.errors import ConfigurationError, SearchAsleep, SearchUnavailable
from annals.search.dates import DateRange
from annals.search.documents import Document, Vector
from annals.search.opensearch import aliases, query
from annals.search.opensearch.query import Clause
from annals.search.opensearch.waking import WakingTransport, is_asleep
from annals.search.profiles import index_profile, require_owners, require_profile
from annals.search.protocol import SERVERLESS, Candidates, DocumentKey, Failure, Scope

TIMEOUT_S = 10.0
RETRIES = 2
BULK_DOCUMENTS = 200
BULK_BYTES = 5_000_000
PAGE = 1_000
MAX_SPEAKERS = 1_000
SPEAKERS_KEPT_S = 60.0
SPEAKERS_KEPT = 1_000
NOTED = "noted"
"""Under this name the mapping keeps how far the index' building has come."""


class OpenSearchIndex:
    """A search index behind a URL.

    Requests are signed for AWS unless the URL is plain http, a loopback address, or holds a user and a password.

    Parameters
    ----------
    url : ``https://host``, ``http://127.0.0.1:9200``, ``https://user:password@host``
    name : the index' name
    service : ``es`` for a domain or a node, ``aoss`` for a Serverless collection
    wake_s : how long a request may wait for a collection that may sleep
    """

    def __init__(self, url: str, *, name: str = "annals", service: str = "es", wake_s: float = 0.0) -> None:
        self._url = url
        self._name = name
        self._serverless = service == SERVERLESS
        self._client = OpenSearch(
            hosts=[url],
            http_auth=_signer(url, service),
            connection_class=Urllib3HttpConnection,
            timeout=TIMEOUT_S,
            pool_maxsize=16,
            **_tries(wake_s) if self._serverless else {"max_retries": RETRIES},
        )
        self._models: dict[str, str] = {}
        self._speakers: dict[tuple[str, frozenset[str] | None], tuple[float, frozenset[str]]] = {}

    def ensure(self, *, model: str, dimensions: int) -> None:
        """Create the index; see SearchIndex.ensure."""
        wanted = index_profile(model, dimensions)
        found = self.find_profile()
        if not found:
            with self._answering():
                aliases.create_first(self._client, self._name, self._mapping(wanted))
            found = self.find_profile()
        require_profile(self._name, found, wanted)

    def upsert(self, documents: Sequence[tuple[Document, str]]) -> list[Failure]:
        """Store documents in bulk; see SearchIndex.upsert."""
        ids = {query.document_id(each.tenant, each.memory_id): each.memory_id for each, _ in documents}
        actions = (
            {
                "_op_type": "index",
                "_id": query.document_id(document.tenant, document.memory_id),
                "_source": query.stored(document, fingerprint),
            }
            for document, fingerprint in documents
        )
        refused = self._bulk(actions, is_failure=lambda status: status >= 300)
        return [Failure(ids[document_id], reason) for document_id, reason in refused]

    def delete(self, tenant: str, memory_ids: Collection[str]) -> None:
        """Remove documents; see SearchIndex.delete."""
        self._delete(query.document_id(tenant, memory_id) for memory_id in memory_ids)

    def delete_conversation(self, tenant: str, conversation_id: str) -> None:
        """Find a conversation's documents and remove them: Serverless has no delete-by-query."""
        self.refresh()
        wanted = query.filtered([{"term": {"tenant": tenant}}, {"term": {"conversation_id": conversation_id}}])
        after: list[Any] | None = None
        while hits := self._sorted(wanted, [{"memory_id": "asc"}], PAGE, after, source=False):
            self._delete(hit["_id"] for hit in hits)
            after = hits[-1]["sort"]

    def find_fingerprints(self, tenant: str, memory_ids: Collection[str]) -> dict[str, str]:
        """The stored fingerprints, also of what no search finds yet; see SearchIndex.find_fingerprints."""
        found = self._stored(tenant, memory_ids, ("memory_id", "fingerprint"))
        return {source["memory_id"]: source["fingerprint"] for source in found}

    def find_vectors(self, tenant: str, memory_ids: Collection[str]) -> dict[str, Vector]:
        """The stored vectors by digest, also of what no search finds yet; see SearchIndex.find_vectors."""
        found = self._stored(tenant, memory_ids, query.VECTORS)
        return {digest: vector for source in found for digest, vector in query.vectors(source)}

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
        """Search words, vectors and time in one ``_msearch``; see SearchIndex.find_candidates."""
        clauses = query.restriction(scope)
        asked: dict[str, Clause] = {}
        if terms:
            asked["lexical"] = query.by_words(terms, clauses)
        if vector is not None:
            asked["own"] = query.nearest_own(vector, clauses, depth)
            asked["window"] = query.nearest_window(vector, clauses, depth)
        if dates is not None:
            asked["dated"] = query.of_period(dates, terms, clauses)
        found = self._msearch(asked, depth)
        hits = {hit["_id"]: hit for each in found.values() for hit in each}
        if scope.for_user is not None and not hits:
            require_owners(self._name, self.find_profile())  # one without owners finds nothing for a user
        if model and vector is not None:
            self._require_model(model, {hit["_index"] for hit in hits.values()})
        documents = {document_id: query.seen(hit) for document_id, hit in hits.items()}
        return Candidates(
            documents={document.memory_id: document for document in documents.values()},
            lexical=_scores(found, "lexical", documents, float),
            own=_scores(found, "own", documents, self._cosine),
            window=_scores(found, "window", documents, self._cosine),
        )

    def list_speakers(self, scope: Scope) -> frozenset[str]:
        """Who spoke, as known a minute ago; see SearchIndex.list_speakers."""
        place = (scope.tenant, scope.spaces)
        known = self._speakers.get(place)
        if known is not None and known[0] > time.monotonic():
            return known[1]
        names = self._ask_speakers(Scope(tenant=scope.tenant, spaces=scope.spaces))
        if len(self._speakers) >= SPEAKERS_KEPT:
            self._speakers.clear()
        self._speakers[place] = (time.monotonic() + SPEAKERS_KEPT_S, names)
        return names

    def list_documents(self, scope: Scope, *, limit: int, after: tuple[int, str] | None = None) -> list[Document]:
        """Documents, newest first; see SearchIndex.list_documents."""
        order = [{"at": "desc"}, {"memory_id": "desc"}]
        hits = self._sorted(query.filtered(query.restriction(scope)), order, limit, list(after) if after else None)
        return [query.seen(hit) for hit in hits]

    def count(self, scope: Scope) -> int:
        """How many documents; see SearchIndex.count."""
        with self._answering():
            try:
                body = {"query": query.filtered(query.restriction(scope))}
                return int(self._client.count(index=self._name, body=body)["count"])
            except NotFoundError:
                return 0

    def refresh(self) -> None:
        """Make what was written be found.

        A Serverless collection can't be told to: there a write is found after some ten seconds, and a search that is to
        be consistent may lack what was stored within them.
        """
        if self._serverless:
            return
        with self._answering():
            self._client.indices.refresh(index=self._name, params={"ignore_unavailable": "true"})

    def drop(self) -> None:
        """Remove the index; see SearchIndex.drop."""
        self._speakers.clear()
        with self._answering():
            aliases.drop(self._client, aliases.current(self._client, self._name))

    def find_profile(self) -> dict[str, str]:
        """What the index was made with; see RebuildableIndex.find_profile."""
        with self._answering():
            return {name: value for name, value in (self._meta() or {}).items() if name != NOTED}

    def find_next(self) -> OpenSearchIndex | None:
        """The index that is being built; see RebuildableIndex.find_next."""
        with self._answering():
            found = aliases.following(self._client, self._name)
        return self._named(found) if found else None

    def ensure_next(self, *, model: str, dimensions: int, beside: str = "") -> OpenSearchIndex:
        """Make the next index; see RebuildableIndex.ensure_next."""
        with self._answering():
            found = aliases.following(self._client, self._name)
            body = self._mapping(index_profile(model, dimensions))
            return self._named(found or aliases.create_next(self._client, self._name, body, beside))

    def switch_to(self, new: OpenSearchIndex) -> None:
        """Let the alias name the next index; see RebuildableIndex.switch_to."""
        self._speakers.clear()
        with self._answering():
            is_done = aliases.switch(self._client, self._name, new._name)
        if not is_done:
            raise SearchUnavailable(f"The search index {new._name} was given up while it was built.")

    def drop_former(self) -> None:
        """Remove former indexes; see RebuildableIndex.drop_former."""
        with self._answering():
            aliases.drop_former(self._client, self._name)

    def drop_next(self) -> None:
        """Remove the index that is being built; see RebuildableIndex.drop_next."""
        with self._answering():
            aliases.drop(self._client, aliases.following(self._client, self._name))

    def save_progress(self, position: str) -> None:
        """Keep a note in the mapping; see RebuildableIndex.save_progress."""
        with self._answering():
            meta = {**(self._meta() or {}), NOTED: position}
            self._client.indices.put_mapping(index=self._name, body={"_meta": meta})

    def get_progress(self) -> str:
        """The note in the mapping; see RebuildableIndex.get_progress."""
        with self._answering():
            return (self._meta() or {}).get(NOTED, "")

    def list_keys(self, *, limit: int, after: DocumentKey | None = None) -> list[DocumentKey]:
        """Places in order; see RebuildableIndex.list_keys."""
        order = [{"tenant": "asc"}, {"memory_id": "asc"}]
        hits = self._sorted({"match_all": {}}, order, limit, list(after) if after else None, source=False)
        return [(tenant, memory_id) for tenant, memory_id in (hit["sort"] for hit in hits)]

    def _require_model(self, model: str, indexes: Iterable[str]) -> None:
        """Refuse hits of another model's vectors. What an index was made with never changes: it is asked once."""
        for name in indexes:
            if name not in self._models:
                self._models[name] = self._named(name).find_profile().get("model", "")
            if self._models[name] != model:
                raise ConfigurationError(
                    f"The index {name} was made with {self._models[name]}, the question's vector with {model}: "
                    "set EMBEDDINGS_MODEL back, or build another index (docs/search-index.md)."
                )

    def _named(self, name: str) -> OpenSearchIndex:
        """Another index of the same cluster."""
        other = copy.copy(self)
        other._name, other._speakers = name, {}
        return other

    def _mapping(self, made_with: dict[str, str]) -> dict[str, Any]:
        engine = "faiss" if self._serverless else "lucene"
        return query.mapping(int(made_with["dimensions"]), engine, made_with)

    def _meta(self) -> dict[str, str] | None:
        """What is kept with the index; None where there is none, nothing where somebody else made it."""
        try:
            answer = self._client.indices.get_mapping(index=self._name)
        except NotFoundError:
            return None
        found: dict[str, str] = next(iter(answer.values()))["mappings"].get("_meta", {})
        return found

    def _stored(self, tenant: str, memory_ids: Collection[str], names: Sequence[str]) -> list[dict[str, Any]]:
        """These fields of the documents that are there."""
        ids = [query.document_id(tenant, memory_id) for memory_id in memory_ids]
        if not ids:
            return []
        with self._answering():
            try:
                answer = self._client.mget(
                    index=self._name, body={"ids": ids}, params={"_source_includes": ",".join(names)}
                )
            except NotFoundError:
                return []
        return [each["_source"] for each in answer["docs"] if each.get("found")]

    def _delete(self, ids: Iterable[str]) -> None:
        actions = ({"_op_type": "delete", "_id": each} for each in ids)
        refused = self._bulk(actions, is_failure=lambda status: status >= 300 and status != 404)
        if refused:
            raise SearchUnavailable(f"The search index kept {len(refused)} documents: {refused[0][1]}")

    def _bulk(self, actions: Iterable[dict[str, Any]], is_failure: Callable[[int], bool]) -> list[tuple[str, str]]:
        """Send actions; gives the ids of those that failed, with the reason."""
        refused = []
        with self._answering():
            answers = helpers.streaming_bulk(
                self._client,
                actions,
                index=self._name,
                chunk_size=BULK_DOCUMENTS,
                max_chunk_bytes=BULK_BYTES,
                raise_on_error=False,
            )
            for _, answer in answers:
                (item,) = answer.values()
                if is_failure(item["status"]):
                    refused.append((item["_id"], _reason(item.get("error"))))
        return refused

    def _msearch(self, asked: Mapping[str, Clause], depth: int) -> dict[str, list[dict[str, Any]]]:
        if not asked:
            return {}
        body: list[dict[str, Any]] = []
        for wanted in asked.values():
            body.append({"index": self._name, "ignore_unavailable": True})
            body.append({"query": wanted, "size": depth, "track_total_hits": False, **query.SEEN})
        with self._answering():
            answers = self._client.msearch(body=body)["responses"]
        return {name: self._hits(answer) for name, answer in zip(asked, answers, strict=True)}

    def _hits(self, answer: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The hits of one answer, which is whole or none."""
        failed = answer.get("error") or (answer["_shards"].get("failures") or [{}])[0].get("reason")
        if not failed:
            hits: list[dict[str, Any]] = answer["hits"]["hits"]
            return hits
        reason = _reason(failed)
        if "invalid dimension" in reason:
            raise ConfigurationError(
                f"EMBEDDINGS_MODEL is not the one that the index {self._name} was made with: {reason}"
            )
        raise SearchUnavailable(f"The search index did not answer a part of the search: {reason}")

    def _sorted(
        self, wanted: Clause, order: list[dict[str, str]], limit: int, after: list[Any] | None, *, source: bool = True
    ) -> list[dict[str, Any]]:
        body = {
            "query": wanted,
            "size": limit,
            "sort": order,
            **(query.SEEN if source else {"_source": False}),
        }
        if after is not None:
            body["search_after"] = after
        with self._answering():
            answer = self._client.search(index=self._name, body=body, params={"ignore_unavailable": "true"})
        return self._hits(answer)

    def _ask_speakers(self, scope: Scope) -> frozenset[str]:
        names = {"terms": {"field": "speaker", "size": MAX_SPEAKERS}}
        body = {"query": query.filtered(query.restriction(scope)), "size": 0, "aggs": {"names": names}}
        with self._answering():
            answer = self._client.search(index=self._name, body=body, params={"ignore_unavailable": "true"})
        found = answer.get("aggregations", {"names": {"buckets": []}})
        return frozenset(bucket["key"] for bucket in found["names"]["buckets"])

    def _cosine(self, score: float) -> float:
        """The cosine that a score stands for: Lucene gives (1 + cosine) / 2, faiss 1 + product, or less below 0."""
        if not self._serverless:
            return 2 * score - 1
        return score - 1 if score >= 1 else 1 - 1 / score

    @contextmanager
    def _answering(self) -> Iterator[None]:
        try:
            yield
        except OpenSearchException as error:
            if self._serverless and is_asleep(error):
                raise SearchAsleep(_said(error)) from error
            raise SearchUnavailable(f"The search index does not answer: {_said(error)}") from error


def _signer(url: str, service: str) -> Urllib3AWSV4SignerAuth | None:
    """The signer of requests to AWS, with the credentials and the region of this process."""
    parts = urlsplit(url)
    if parts.scheme == "http" or parts.username or parts.hostname in {"localhost", "127.0.0.1", "::1"}:
        return None
    from botocore.session import get_session

    session = get_session()
    credentials, region = session.get_credentials(), session.get_config_variable("region")
    if credentials is None:
        raise ConfigurationError(f"OPENSEARCH_URL {parts.hostname} needs AWS credentials, and there are none.")
    if not region:
        raise ConfigurationError(f"OPENSEARCH_URL {parts.hostname} needs AWS_REGION.")
    return Urllib3AWSV4SignerAuth(credentials, region, service)


def _tries(wake_s: float) -> dict[str, Any]:
    """How a collection is asked that may sleep."""
    return {"transport_class": WakingTransport, "wake_s": wake_s, "max_retries": 0}


def _scores(
    found: Mapping[str, list[dict[str, Any]]],
    name: str,
    documents: Mapping[str, Document],
    score: Callable[[float], float],
) -> dict[str, float]:
    return {documents[hit["_id"]].memory_id: score(hit["_score"]) for hit in found.get(name, [])}


def _reason(error: Any) -> str:
    """What an error says: its root cause, in a line."""
    if not isinstance(error, Mapping):
        return str(error)
    cause = (error.get("root_cause") or [error])[0]
    return f"{cause.get('type')}: {cause.get('caused_by', cause).get('reason')}"


def _said(error: OpenSearchException) -> str:
    """The status and the kind of error; not its body, which may hold what was asked."""
    status, *rest = error.args or ("",)
    return " ".join(str(each) for each in (type(error).__name__, status, *rest[:1]) if each)
