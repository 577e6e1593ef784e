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
    """How documents are embedded; a document of another profile counts as another document.

    Parameters
    ----------
    model : the embedding model's name
    windows : whether windows are embedded too, the second embedding of a message
    max_chars : characters of a text that go into one vector
    """

    model: str
    windows: bool = True
    max_chars: int = MAX_VECTOR_CHARS

    @property
    def name(self) -> str:
        """The profile as it goes into a document's fingerprint."""
        return f"{self.model} {'own and window' if self.windows else 'own'} {self.max_chars}"

    def own_texts(self, document: Document) -> list[str]:
        """What the document's own vectors are made of; nothing where it has some already, or no words."""
        if document.vectors or not words.has_words(document.content):
            return []
        return split_text(document.spoken, self.max_chars)

    def window_text(self, document: Document) -> str:
        """What its window's vector is made of; empty for none."""
        if not self.windows or document.window_vector or not words.has_words(document.content):
            return ""
        return document.window[: self.max_chars]

    def texts(self, document: Document) -> list[str]:
        """All that its vectors are made of."""
        return [text for text in (*self.own_texts(document), self.window_text(document)) if text]

    def digest(self, text: str) -> str:
        """The digest by which a text's vector is found again."""
        return vector_digest(self.model, text)

    def with_vectors(self, document: Document, vectors: Mapping[str, Vector]) -> Document:
        """The document with its vectors, which are given by digest; a blank text has none."""
        digests = [digest for text in self.own_texts(document) if vectors[digest := self.digest(text)]]
        if digests:
            own = tuple(vectors[digest] for digest in digests)
            document = replace(document, vectors=own, vector_digests=tuple(digests))
        window = self.window_text(document)
        if window and vectors[digest := self.digest(window)]:
            document = replace(document, window_vector=vectors[digest], window_digest=digest)
        return document


def index_profile(model: str, dimensions: int) -> dict[str, str]:
    """What an index is made with: documents of one version, vectors of one model."""
    return {"version": str(INDEX_VERSION), "model": model, "dimensions": str(dimensions)}


def require_owners(name: str, profile: Mapping[str, str]) -> None:
    """Raise SearchUnavailable for an index whose documents don't say to whom they belong."""
    if profile and int(profile.get("version", 0)) < OWNED_SINCE:
        raise SearchUnavailable(
            f"The index {name} is of an older version, and does not know whose memories it holds: "
            "`annals rebuild index` makes it anew (docs/search-index.md)."
        )


def require_profile(name: str, stored: Mapping[str, str], expected: Mapping[str, str]) -> None:
    """Raise ConfigurationError for an index that was made with something else than it is to be used with."""
    if dict(stored) != dict(expected):
        made_with, used_with = (
            f"{each.get('model')} ({each.get('dimensions')} dimensions, version {each.get('version')})"
            for each in (stored, expected)
        )
        raise ConfigurationError(
            f"The index {name} was made with {made_with}, not {used_with}: set EMBEDDINGS_MODEL and "
            "EMBEDDINGS_DIMENSIONS back, or build another index (docs/search-index.md)."
        )


def require_vector_profile(name: str, stored: Mapping[str, str], model: str, dimensions: int | None = None) -> None:
    """Raise ConfigurationError where a query's vector is of another model than the index, or of other dimensions.

    Parameters
    ----------
    stored : what the index was made with
    model : of the vector; empty where it is not known
    dimensions : of the vector; None where the index looks at them itself
    """
    has_model = not model or model == stored.get("model", "")
    has_dimensions = dimensions is None or dimensions == int(stored.get("dimensions", 0))
    if not (has_model and has_dimensions):
        made_with = f"{stored.get('model')} ({stored.get('dimensions')} dimensions)"
        given = f"{model or 'an unknown model'}{f' ({dimensions} dimensions)' if dimensions else ''}"
        raise ConfigurationError(
            f"The index {name} was made with {made_with}, the query's vector with {given}: set EMBEDDINGS_MODEL back, "
            "or build another index (docs/search-index.md)."
        )
