"""Search: documents, the protocol of an index and its two adapters, ranking, and the pipeline that fills an index.

Importing this imports neither opensearch-py nor SQLite: ``from_settings`` does, for the adapter that it picks.
"""

from __future__ import annotations

from annals.errors import ConfigurationError
from annals.search.documents import Document
from annals.search.engine import Hit, SearchRequest, search
from annals.search.pipeline import index_documents
from annals.search.protocol import Candidates, Failure, Filters, RebuildableIndex, Scope, SearchIndex
from annals.settings import Settings

__all__ = [
    "Candidates",
    "Document",
    "Failure",
    "Filters",
    "Hit",
    "RebuildableIndex",
    "Scope",
    "SearchIndex",
    "SearchRequest",
    "from_settings",
    "index_documents",
    "search",
]


def from_settings(settings: Settings) -> RebuildableIndex:
    """The index that the settings name. Raises ConfigurationError where they name none."""
    if settings.embedded_index:
        from annals.search.embedded.index import EmbeddedIndex

        return EmbeddedIndex(settings.embedded_index)
    if settings.opensearch_url:
        from annals.search.opensearch.index import OpenSearchIndex

        return OpenSearchIndex(
            settings.opensearch_url,
            name=settings.opensearch_index,
            service=settings.opensearch_service,
            wake_s=settings.opensearch_wake_s,
        )
    raise ConfigurationError("OPENSEARCH_URL is missing: the URL of the search index (or EMBEDDED_INDEX, a file).")
