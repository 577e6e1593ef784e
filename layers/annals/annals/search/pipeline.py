"""From documents to the index: what is new is embedded and stored, what is known is left alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from annals import telemetry
from annals.errors import EmbeddingUnavailable, OutOfTime
from annals.providers.embedding import Embedder
from annals.search import words
from annals.search.documents import Document, Vector, vector_digest
from annals.search.parts import parts_of
from annals.search.protocol import Failure, SearchIndex

BATCH = 128
"""About so many texts are embedded and stored together."""

LONGEST = 8_000
"""Characters of a text that go into one vector.

The models that Annals is made for read about 8,000 tokens, and in no common script is a token less than a character.
"""

PROBE = "Does the model answer?"

Fresh = tuple[Document, str]
"""A document that the index lacks, and its fingerprint."""


def always() -> bool:
    """There is no end to the time."""
    return True


@dataclass(frozen=True)
class Form:
    """How documents are embedded; another form makes other documents.

    Parameters
    ----------
    windows : whether windows are embedded too, the second embedding of a turn
    longest : characters of a text that go into one vector
    """

    model: str
    windows: bool = True
    longest: int = LONGEST

    @property
    def name(self) -> str:
        """What a document's fingerprint says of it."""
        return f"{self.model} {'own and window' if self.windows else 'own'} {self.longest}"

    def own_texts(self, document: Document) -> list[str]:
        """What its own vectors are made of, unless it came with some; no words, no vector."""
        if document.vectors or not words.has_words(document.content):
            return []
        return parts_of(document.spoken, self.longest)

    def window_text(self, document: Document) -> str:
        """What its window's vector is made of, or nothing."""
        if not self.windows or document.window_vector or not words.has_words(document.content):
            return ""
        return document.window[: self.longest]

    def texts(self, document: Document) -> list[str]:
        """All that its vectors are made of."""
        return [text for text in (*self.own_texts(document), self.window_text(document)) if text]

    def digest(self, text: str) -> str:
        """By what a text's vector is known again."""
        return vector_digest(self.model, text)

    def with_vectors(self, document: Document, vectors: Mapping[str, Vector]) -> Document:
        """The document with its vectors, which are given by digest; a blank text has none."""
        own = [digest for text in self.own_texts(document) if vectors[digest := self.digest(text)]]
        if own:
            document = replace(document, vectors=tuple(vectors[each] for each in own), vector_digests=tuple(own))
        window = self.window_text(document)
        if window and vectors[digest := self.digest(window)]:
            document = replace(document, window_vector=vectors[digest], window_digest=digest)
        return document


def index_documents(
    index: SearchIndex,
    embedder: Embedder,
    documents: Sequence[Document],
    *,
    form: Form | None = None,
    vectors_of: Sequence[SearchIndex] = (),
    batch: int = BATCH,
    has_time: Callable[[], bool] = always,
) -> list[Failure]:
    """Embed and store documents; no text is embedded of which the index holds the vector already.

    Parameters
    ----------
    documents : of any tenants; of two with the same tenant and id the later one counts
    form : how they are embedded, with the embedder's model; by default with windows
    vectors_of : further indexes of the same model, whose vectors are used, too
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
    form = form or Form(embedder.model)
    failures: list[Failure] = []
    for part in _batches(fresh(index, form, documents), form, batch):
        if not has_time():
            raise OutOfTime
        known = _known(part, [index, *vectors_of])
        embedded, failed = _embedded(embedder, form, part, known)
        refused = index.upsert(embedded)
        telemetry.count("IndexedDocuments", len(embedded) - len(refused))
        failures += [*failed, *refused]
    return failures


def fresh(index: SearchIndex, form: Form, documents: Iterable[Document]) -> list[Fresh]:
    """The documents that the index holds otherwise or not at all, each with its fingerprint."""
    by_tenant: dict[str, dict[str, Fresh]] = defaultdict(dict)
    for document in documents:
        by_tenant[document.tenant][document.memory_id] = (document, document.fingerprint(form.name))
    found: list[Fresh] = []
    for tenant, wanted in by_tenant.items():
        known = index.fingerprints(tenant, list(wanted))
        found += (each for memory_id, each in wanted.items() if known.get(memory_id) != each[1])
    return found


def _batches(documents: Iterable[Fresh], form: Form, size: int) -> Iterator[Sequence[Fresh]]:
    """The documents in batches of so many texts; one that has more is a batch of its own."""
    part: list[Fresh] = []
    texts = 0
    for each in documents:
        count = len(form.texts(each[0]))
        if part and texts + count > size:
            yield part
            part, texts = [], 0
        part.append(each)
        texts += count
    if part:
        yield part


def _known(batch: Sequence[Fresh], indexes: Iterable[SearchIndex]) -> dict[str, Vector]:
    """The vectors that the indexes hold of these documents, by digest: of a changed one, what did not change."""
    by_tenant: dict[str, list[str]] = defaultdict(list)
    for document, _ in batch:
        by_tenant[document.tenant].append(document.memory_id)
    known: dict[str, Vector] = {}
    for index in indexes:
        for tenant, memory_ids in by_tenant.items():
            known |= index.vectors(tenant, memory_ids)
    return known


def _embedded(
    embedder: Embedder, form: Form, batch: Sequence[Fresh], known: Mapping[str, Vector]
) -> tuple[list[Fresh], list[Failure]]:
    """A batch with its vectors, and what the model does not take though it answers."""
    try:
        return _with_vectors(embedder, form, batch, known), []
    except EmbeddingUnavailable as error:
        embedder.embed([PROBE])
        if len(batch) == 1:
            return _without_window(embedder, form, batch[0][0], known, error.detail)
    embedded: list[Fresh] = []
    failures: list[Failure] = []
    for each in batch:
        stored, failed = _embedded(embedder, form, [each], known)
        embedded += stored
        failures += failed
    return embedded, failures


def _without_window(
    embedder: Embedder, form: Form, document: Document, known: Mapping[str, Vector], reason: str
) -> tuple[list[Fresh], list[Failure]]:
    """A document that the model does not take as it is: where its window is at fault, it goes without that.

    The fingerprint says so, so that it is embedded anew when it is indexed again, and counts as stale until then.
    """
    alone = replace(form, windows=False)
    try:
        if form.windows:
            return _with_vectors(embedder, alone, [(document, document.fingerprint(alone.name))], known), []
    except EmbeddingUnavailable as error:
        reason = error.detail
    return [], [Failure(document.memory_id, reason)]


def _with_vectors(embedder: Embedder, form: Form, batch: Sequence[Fresh], known: Mapping[str, Vector]) -> list[Fresh]:
    """A batch with its vectors, from one call for what is not known; equal texts are embedded once."""
    texts: dict[str, str] = {}
    for document, _ in batch:
        for text in form.texts(document):
            if (digest := form.digest(text)) not in known:
                texts[digest] = text
    made = zip(texts, map(tuple, embedder.embed(list(texts.values()))), strict=True) if texts else ()
    vectors = {**known, **dict(made)}
    return [(form.with_vectors(document, vectors), fingerprint) for document, fingerprint in batch]
