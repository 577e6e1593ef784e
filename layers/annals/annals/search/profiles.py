"""What an index is made with: how its documents are embedded, and in which version they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from annals.errors import ConfigurationError, SearchUnavailable
from annals.search import words
from annals.search.documents import INDEX_VERSION, OWNED_SINCE, Document, Vector, vector_digest
from annals.search.splitting import split_text

MAX_VECTOR_CHARS = 8_000
"""Characters of a text that go into one vector.

The models that Annals is made for read about 8,000 tokens, and in no common script is a token less than a character.
"""


@dataclass(frozen=True)
class EmbeddingProfile:
    """How documents are embedded; another form makes other documents.

    Parameters
    ----------
    windows : whether windows are embedded too, the second embedding of a turn
    max_chars : characters of a text that go into one vector
    """

    model: str
    windows: bool = True
    max_chars: int = MAX_VECTOR_CHARS

    @property
    def name(self) -> str:
        """What a document's fingerprint says of it."""
        return f"{self.model} {'own and window' if self.windows else 'own'} {self.max_chars}"

    def own_texts(self, document: Document) -> list[str]:
        """What its own vectors are made of, unless it came with some; no words, no vector."""
        if document.vectors or not words.has_words(document.content):
            return []
        return split_text(document.spoken, self.max_chars)

    def window_text(self, document: Document) -> str:
        """What its window's vector is made of, or nothing."""
        if not self.windows or document.window_vector or not words.has_words(document.content):
            return ""
        return document.window[: self.max_chars]

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


def index_profile(model: str, dimensions: int) -> dict[str, str]:
    """What an index is made with: documents of one version, vectors of one model."""
    return {"version": str(INDEX_VERSION), "model": model, "dimensions": str(dimensions)}


def require_owners(name: str, found: Mapping[str, str]) -> None:
    """Raise SearchUnavailable for an index whose documents don't say to whom they belong."""
    if found and int(found.get("version", 0)) < OWNED_SINCE:
        raise SearchUnavailable(
            f"The index {name} is of an older version, and does not know whose memories it holds: "
            "`annals rebuild index` makes it anew (docs/search-index.md)."
        )


def require_profile(name: str, found: Mapping[str, str], wanted: Mapping[str, str]) -> None:
    """Raise ConfigurationError for an index that was made with something else."""
    if dict(found) != dict(wanted):
        made, asked = (
            f"{each.get('model')} ({each.get('dimensions')} dimensions, form {each.get('version')})"
            for each in (found, wanted)
        )
        raise ConfigurationError(
            f"The index {name} was made with {made}, not {asked}: set EMBEDDINGS_MODEL and EMBEDDINGS_DIMENSIONS back, "
            "or build another index (docs/search-index.md)."
        )
