"""From documents to the index: what is new is embedded and stored, what is known is left alone."""

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

Fresh = tuple[Document, str]
"""A document that the index lacks, and its fingerprint."""


def always() -> bool:
    """There is no end to the time."""
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
    has_time : asked before each batch whether there is time for it

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
    for part in batches(fresh(index, profile, documents), lambda each: len(profile.texts(each[0])), batch):
        if not has_time():
            raise OutOfTime
        known = _known(part, [index, *reuse_from])
        embedded, failed = _embedded(embedder, profile, part, known)
        refused = index.upsert(embedded)
        telemetry.count("IndexedDocuments", len(embedded) - len(refused))
        failures += [*failed, *refused]
    return failures


def fresh(index: SearchIndex, profile: EmbeddingProfile, documents: Iterable[Document]) -> list[Fresh]:
    """The documents that the index holds otherwise or not at all, each with its fingerprint."""
    by_tenant: dict[str, dict[str, Fresh]] = defaultdict(dict)
    for document in documents:
        by_tenant[document.tenant][document.memory_id] = (document, document.fingerprint(profile.name))
    found: list[Fresh] = []
    for tenant, wanted in by_tenant.items():
        known = index.find_fingerprints(tenant, list(wanted))
        found += (each for memory_id, each in wanted.items() if known.get(memory_id) != each[1])
    return found


def _known(batch: Sequence[Fresh], indexes: Iterable[SearchIndex]) -> dict[str, Vector]:
    """The vectors that the indexes hold of these documents, by digest: of a changed one, what did not change."""
    by_tenant: dict[str, list[str]] = defaultdict(list)
    for document, _ in batch:
        by_tenant[document.tenant].append(document.memory_id)
    known: dict[str, Vector] = {}
    for index in indexes:
        for tenant, memory_ids in by_tenant.items():
            known |= index.find_vectors(tenant, memory_ids)
    return known


def _embedded(
    embedder: Embedder, profile: EmbeddingProfile, batch: Sequence[Fresh], known: Mapping[str, Vector]
) -> tuple[list[Fresh], list[Failure]]:
    """A batch with its vectors, and what the model does not take though it answers."""
    try:
        return _with_vectors(embedder, profile, batch, known), []
    except EmbeddingUnavailable as error:
        embedder.embed([PROBE])
        if len(batch) == 1:
            return _without_window(embedder, profile, batch[0][0], known, error.detail)
    embedded: list[Fresh] = []
    failures: list[Failure] = []
    for each in batch:
        stored, failed = _embedded(embedder, profile, [each], known)
        embedded += stored
        failures += failed
    return embedded, failures


def _without_window(
    embedder: Embedder, profile: EmbeddingProfile, document: Document, known: Mapping[str, Vector], reason: str
) -> tuple[list[Fresh], list[Failure]]:
    """A document that the model does not take as it is: where its window is at fault, it goes without that.

    The fingerprint says so, so that it is embedded anew when it is indexed again, and counts as stale until then.
    """
    alone = replace(profile, windows=False)
    try:
        if profile.windows:
            return _with_vectors(embedder, alone, [(document, document.fingerprint(alone.name))], known), []
    except EmbeddingUnavailable as error:
        reason = error.detail
    return [], [Failure(document.memory_id, reason)]


def _with_vectors(
    embedder: Embedder, profile: EmbeddingProfile, batch: Sequence[Fresh], known: Mapping[str, Vector]
) -> list[Fresh]:
    """A batch with its vectors, from one call for what is not known; equal texts are embedded once."""
    texts: dict[str, str] = {}
    for document, _ in batch:
        for text in profile.texts(document):
            if (digest := profile.digest(text)) not in known:
                texts[digest] = text
    made = zip(texts, map(tuple, embedder.embed(list(texts.values()))), strict=True) if texts else ()
    vectors = {**known, **dict(made)}
    return [(profile.with_vectors(document, vectors), fingerprint) for document, fingerprint in batch]
