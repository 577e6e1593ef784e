"""From documents to the index: what is new is embedded and stored, what the index holds already is left alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from annals import telemetry
from annals.batches import batches
from annals.errors import EmbeddingUnavailable, OutOfTime
from annals.providers.embedding import Embedder
from annals.search.documents import Document, Vector
from annals.search.profiles import EmbeddingProfile
from annals.search.protocol import Failure, SearchIndex

BATCH = 128
"""About so many texts are embedded and stored together."""

PROBE = "Does the model answer?"

PendingDocument = tuple[Document, str]
"""A document that the index lacks, and its fingerprint."""


def always() -> bool:
    """Whether there is time, for those who have no end to it: yes."""
    return True


def index_documents(
    index: SearchIndex,
    embedder: Embedder,
    documents: Sequence[Document],
    *,
    profile: EmbeddingProfile | None = None,
    reuse_from: Sequence[SearchIndex] = (),
    batch: int = BATCH,
    has_time: Callable[[], bool] = always,
) -> list[Failure]:
    """Embed and store documents; no text is embedded of which the index holds the vector already.

    Parameters
    ----------
    documents : of any tenants; of two with the same tenant and id the later one counts
    profile : how they are embedded, with the embedder's model; by default with windows
    reuse_from : further indexes of the same model, whose vectors are used, too
    batch : how many texts are embedded and stored together, unless one document has more
    has_time : says before each batch whether there is time for it

    Returns
    -------
    list of Failure
        The documents that were not stored, with the reason; the others were.

    Raises
    ------
    SearchUnavailable : the index does not answer
    EmbeddingUnavailable : the model does not answer
    ConfigurationError : the index was made with another model
    OutOfTime : the time is over before all are stored
    """
    index.ensure(model=embedder.model, dimensions=embedder.dimensions)
    profile = profile or EmbeddingProfile(embedder.model)
    failures: list[Failure] = []
    for pending in batches(find_pending(index, profile, documents), lambda each: len(profile.texts(each[0])), batch):
        if not has_time():
            raise OutOfTime
        known_vectors = _find_vectors(pending, [index, *reuse_from])
        embedded, failed = _embed_each(embedder, profile, pending, known_vectors)
        refused = index.upsert(embedded)
        telemetry.count("IndexedDocuments", len(embedded) - len(refused))
        failures += [*failed, *refused]
    return failures


def find_pending(index: SearchIndex, profile: EmbeddingProfile, documents: Iterable[Document]) -> list[PendingDocument]:
    """The documents that the index holds otherwise or not at all, each with its fingerprint."""
    by_tenant: dict[str, dict[str, PendingDocument]] = defaultdict(dict)
    for document in documents:
        by_tenant[document.tenant][document.memory_id] = (document, document.fingerprint(profile.name))
    pending: list[PendingDocument] = []
    for tenant, by_id in by_tenant.items():
        stored = index.find_fingerprints(tenant, list(by_id))
        pending += (each for memory_id, each in by_id.items() if stored.get(memory_id) != each[1])
    return pending


def _find_vectors(batch: Sequence[PendingDocument], indexes: Iterable[SearchIndex]) -> dict[str, Vector]:
    """The vectors that the indexes hold of these documents, by digest: of a changed one, what did not change."""
    by_tenant: dict[str, list[str]] = defaultdict(list)
    for document, _ in batch:
        by_tenant[document.tenant].append(document.memory_id)
    vectors: dict[str, Vector] = {}
    for index in indexes:
        for tenant, memory_ids in by_tenant.items():
            vectors |= index.find_vectors(tenant, memory_ids)
    return vectors


def _embed_each(
    embedder: Embedder, profile: EmbeddingProfile, batch: Sequence[PendingDocument], known: Mapping[str, Vector]
) -> tuple[list[PendingDocument], list[Failure]]:
    """A batch with its vectors, and what the model refuses.

    A model that refuses a batch is probed: where it answers, one of the texts is at fault, and each document is
    embedded by itself, so that the others are stored.
    """
    try:
        return _embed(embedder, profile, batch, known), []
    except EmbeddingUnavailable as error:
        embedder.embed([PROBE])
        if len(batch) == 1:
            return _embed_without_window(embedder, profile, batch[0][0], known, error.detail)
    embedded: list[PendingDocument] = []
    failures: list[Failure] = []
    for each in batch:
        stored, failed = _embed_each(embedder, profile, [each], known)
        embedded += stored
        failures += failed
    return embedded, failures


def _embed_without_window(
    embedder: Embedder, profile: EmbeddingProfile, document: Document, known: Mapping[str, Vector], reason: str
) -> tuple[list[PendingDocument], list[Failure]]:
    """A document that the model refuses as it is: where its window is at fault, it is stored without the window.

    The fingerprint says so, so that it is embedded anew when it is indexed again, and counts as stale until then.
    """
    without_windows = replace(profile, windows=False)
    try:
        if profile.windows:
            pending = [(document, document.fingerprint(without_windows.name))]
            return _embed(embedder, without_windows, pending, known), []
    except EmbeddingUnavailable as error:
        reason = error.detail
    return [], [Failure(document.memory_id, reason)]


def _embed(
    embedder: Embedder, profile: EmbeddingProfile, batch: Sequence[PendingDocument], known: Mapping[str, Vector]
) -> list[PendingDocument]:
    """A batch with its vectors, those that are not known from one call; equal texts are embedded once."""
    texts: dict[str, str] = {}
    for document, _ in batch:
        for text in profile.texts(document):
            if (digest := profile.digest(text)) not in known:
                texts[digest] = text
    new = zip(texts, map(tuple, embedder.embed(list(texts.values()))), strict=True) if texts else ()
    vectors = {**known, **dict(new)}
    return [(profile.with_vectors(document, vectors), fingerprint) for document, fingerprint in batch]
