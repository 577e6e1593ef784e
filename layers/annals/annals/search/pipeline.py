"""From documents to the index: what is new is embedded and stored, what is known is left alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from annals.errors import EmbeddingUnavailable
from annals.models.embedding import Embedder
from annals.search import words
from annals.search.documents import Document, vector_digest
from annals.search.port import Failure, SearchIndex

BATCH = 64
EMBEDDED_CHARACTERS = 16_000
ALL_DOWN = 2
"""So many documents in a row that the model refuses, and none that it takes, mean that the model is down."""

Fresh = tuple[Document, str]
"""A document that the index lacks, and its fingerprint."""


def index_documents(
    index: SearchIndex, embedder: Embedder, documents: Sequence[Document], *, windows: bool = True
) -> list[Failure]:
    """Embed and store documents; those that the index holds just so already are not embedded again.

    Parameters
    ----------
    documents : of any tenants; of two with the same tenant and id the later one counts
    windows : whether windows are embedded too, the second embedding of a turn

    Returns
    -------
    list of Failure
        The documents that were not stored, with the reason; the others were.

    Raises
    ------
    SearchUnavailable : the index does not answer
    EmbeddingUnavailable : the model does not answer
    ConfigurationError : the index was made with another model
    """
    index.ensure(model=embedder.model, dimensions=embedder.dimensions)
    made_by = f"{embedder.model} {'own and window' if windows else 'own'}"
    failures: list[Failure] = []
    for batch in _batches(_fresh(index, made_by, documents)):
        embedded, failed = _embedded(embedder, batch, windows=windows)
        failures += failed
        failures += index.upsert(embedded)
    return failures


def _fresh(index: SearchIndex, made_by: str, documents: Sequence[Document]) -> list[Fresh]:
    """The documents that the index holds otherwise or not at all."""
    by_tenant: dict[str, dict[str, Fresh]] = defaultdict(dict)
    for document in documents:
        by_tenant[document.tenant][document.memory_id] = (document, document.fingerprint(made_by))
    fresh: list[Fresh] = []
    for tenant, found in by_tenant.items():
        known = index.fingerprints(tenant, list(found))
        fresh += (each for memory_id, each in found.items() if known.get(memory_id) != each[1])
    return fresh


def _batches(fresh: Sequence[Fresh]) -> Iterator[Sequence[Fresh]]:
    for start in range(0, len(fresh), BATCH):
        yield fresh[start : start + BATCH]


def _embedded(embedder: Embedder, batch: Sequence[Fresh], *, windows: bool) -> tuple[list[Fresh], list[Failure]]:
    """A batch with its vectors, and what could not be embedded though the rest could."""
    try:
        return _with_vectors(embedder, batch, windows=windows), []
    except EmbeddingUnavailable:
        if len(batch) == 1:
            raise
    embedded: list[Fresh] = []
    failures: list[Failure] = []
    for each in batch:
        try:
            embedded += _with_vectors(embedder, [each], windows=windows)
        except EmbeddingUnavailable as error:
            failures.append(Failure(each[0].memory_id, error.detail))
            if not embedded and len(failures) >= ALL_DOWN:
                raise
    return embedded, failures


def _with_vectors(embedder: Embedder, batch: Sequence[Fresh], *, windows: bool) -> list[Fresh]:
    """A batch with its vectors, from one call. Vectors that a document came with stay; no words, no vector."""
    texts: dict[tuple[int, str], str] = {}
    for place, (document, _) in enumerate(batch):
        if not words.has_words(document.content):
            continue
        if not document.vectors:
            texts[place, "vectors"] = document.spoken[:EMBEDDED_CHARACTERS]
        if windows and document.window and document.window_vector is None:
            texts[place, "window_vector"] = document.window[:EMBEDDED_CHARACTERS]
    vectors = dict(zip(texts, embedder.embed(list(texts.values())), strict=True)) if texts else {}
    found: dict[int, dict[str, Any]] = defaultdict(dict)
    for (place, name), vector in vectors.items():
        digest = vector_digest(embedder.model, texts[place, name])
        if name == "vectors":
            found[place] |= {"vectors": (tuple(vector),), "vector_digests": (digest,)}
        else:
            found[place] |= {"window_vector": tuple(vector), "window_digest": digest}
    return [(replace(document, **found[place]), fingerprint) for place, (document, fingerprint) in enumerate(batch)]
