"""Requests to one index of OpenSearch, or to the alias that names its generation in service.

Whatever fails is SearchUnavailable: no answer, an error, or an answer of which a part is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from opensearchpy import OpenSearch, helpers
from opensearchpy.exceptions import NotFoundError, OpenSearchException

from annals.errors import ConfigurationError, SearchAsleep, SearchUnavailable
from annals.search.opensearch.query import DOCUMENT_ONLY, Clause
from annals.search.opensearch.waking import is_asleep

BULK_DOCUMENTS = 200
BULK_BYTES = 5_000_000

JsonHit = dict[str, Any]
"""A hit as OpenSearch gives it."""


class IndexRequests:
    """Requests to an index by its name; without an index, reads find nothing.

    Parameters
    ----------
    client : for the cluster
    name : of the index, or of an alias
    may_sleep : whether it is a Serverless collection
    """

    def __init__(self, client: OpenSearch, name: str, *, may_sleep: bool) -> None:
        self.client = client
        self.name = name
        self._may_sleep = may_sleep

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Raise SearchUnavailable where OpenSearch does not answer, SearchAsleep where it may be waking."""
        try:
            yield
        except OpenSearchException as error:
            if self._may_sleep and is_asleep(error):
                raise SearchAsleep(_failure_detail(error)) from error
            raise SearchUnavailable(f"The search index does not answer: {_failure_detail(error)}") from error

    def find_meta(self) -> dict[str, str] | None:
        """What is stored with the index' mapping; None where there is no index, empty where somebody else made it."""
        with self.answering():
            try:
                response = self.client.indices.get_mapping(index=self.name)
            except NotFoundError:
                return None
        meta: dict[str, str] = next(iter(response.values()))["mappings"].get("_meta", {})
        return meta

    def put_meta(self, meta: Mapping[str, str]) -> None:
        """Store this with the index' mapping, instead of what is there."""
        with self.answering():
            self.client.indices.put_mapping(index=self.name, body={"_meta": dict(meta)})

    def find_sources(self, ids: Sequence[str], fields: Sequence[str]) -> list[dict[str, Any]]:
        """These fields of the documents that are there, also of those that no search finds yet."""
        if not ids:
            return []
        with self.answering():
            try:
                params = {"_source_includes": ",".join(fields)}
                response = self.client.mget(index=self.name, body={"ids": ids}, params=params)
            except NotFoundError:
                return []
        return [each["_source"] for each in response["docs"] if each.get("found")]

    def bulk(self, actions: Iterable[dict[str, Any]], is_failure: Callable[[int], bool]) -> list[tuple[str, str]]:
        """Send actions; returns the ids of those that failed, with the reason."""
        failures = []
        with self.answering():
            results = helpers.streaming_bulk(
                self.client,
                actions,
                index=self.name,
                chunk_size=BULK_DOCUMENTS,
                max_chunk_bytes=BULK_BYTES,
                raise_on_error=False,
            )
            for _, result in results:
                (item,) = result.values()
                if is_failure(item["status"]):
                    failures.append((item["_id"], _reason(item.get("error"))))
        return failures

    def search_many(self, queries: Mapping[str, Clause], size: int) -> dict[str, list[JsonHit]]:
        """The hits of several queries, by name, in one request."""
        if not queries:
            return {}
        body: list[dict[str, Any]] = []
        for query in queries.values():
            body.append({"index": self.name, "ignore_unavailable": True})
            body.append({"query": query, "size": size, "track_total_hits": False, **DOCUMENT_ONLY})
        with self.answering():
            responses = self.client.msearch(body=body)["responses"]
        return {name: self._hits(response) for name, response in zip(queries, responses, strict=True)}

    def search_sorted(
        self,
        query: Clause,
        order: Sequence[Mapping[str, str]],
        limit: int,
        after: Sequence[Any] | None,
        *,
        with_document: bool = True,
    ) -> list[JsonHit]:
        """A page of hits in an order, those after a hit's ``sort``."""
        body: dict[str, Any] = {
            "query": query,
            "size": limit,
            "sort": list(order),
            **(DOCUMENT_ONLY if with_document else {"_source": False}),
        }
        if after is not None:
            body["search_after"] = list(after)
        return self._hits(self._search(body))

    def list_values(self, query: Clause, field: str, limit: int) -> frozenset[str]:
        """The values that a field has in what a query finds, the most frequent ones."""
        body = {"query": query, "size": 0, "aggs": {"values": {"terms": {"field": field, "size": limit}}}}
        aggregations = self._search(body).get("aggregations", {"values": {"buckets": []}})
        return frozenset(bucket["key"] for bucket in aggregations["values"]["buckets"])

    def count(self, query: Clause) -> int:
        """How many documents a query finds."""
        with self.answering():
            try:
                return int(self.client.count(index=self.name, body={"query": query})["count"])
            except NotFoundError:
                return 0

    def refresh(self) -> None:
        """Make what was written searchable."""
        with self.answering():
            self.client.indices.refresh(index=self.name, params={"ignore_unavailable": "true"})

    def _search(self, body: dict[str, Any]) -> Any:
        with self.answering():
            return self.client.search(index=self.name, body=body, params={"ignore_unavailable": "true"})

    def _hits(self, response: Mapping[str, Any]) -> list[JsonHit]:
        """The hits of one response, which is whole or none."""
        error = response.get("error") or (response["_shards"].get("failures") or [{}])[0].get("reason")
        if not error:
            hits: list[JsonHit] = response["hits"]["hits"]
            return hits
        reason = _reason(error)
        if "invalid dimension" in reason:
            raise ConfigurationError(
                f"EMBEDDINGS_MODEL is not the one that the index {self.name} was made with: {reason}"
            )
        raise SearchUnavailable(f"The search index did not answer a part of the search: {reason}")


def _reason(error: Any) -> str:
    """The root cause of an error, in a line."""
    if not isinstance(error, Mapping):
        return str(error)
    cause = (error.get("root_cause") or [error])[0]
    return f"{cause.get('type')}: {cause.get('caused_by', cause).get('reason')}"


def _failure_detail(error: OpenSearchException) -> str:
    """The status and the kind of error; not its body, which may hold what was searched for."""
    status, *rest = error.args or ("",)
    return " ".join(str(each) for each in (type(error).__name__, status, *rest[:1]) if each)
