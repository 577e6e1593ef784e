"""What the index holds: one document for each searchable memory."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

from annals.times import local_moment

INDEX_VERSION = 5
"""Rises when documents of an older version have to be indexed anew."""

OWNED_SINCE = 5
"""The first version whose documents say to whom they belong."""

NOBODY = "nobody"
"""The owner of what belongs to no user: what a space or an agent knows."""

SOMEBODY = "somebody"
"""The owner of what may be some user's, of whom nobody knows any more who. No user is recalled it."""

MAX_FACETS = 1_000
MAX_FACET_LENGTH = 256
MAX_DEPTH = 20
"""How deep metadata are looked through for facets."""

MAX_SPEAKER_CHARS = 256
"""How much of a name is indexed: no index takes a term of any length, and every query looks at all names."""

Vector = tuple[float, ...]
_LATEST = 253_402_300_799_999  # the last millisecond of the year 9999

_NOT_STORED = frozenset({"window", "vectors", "vector_digests", "window_vector", "window_digest", "given_vector"})


class Embedding(NamedTuple):
    """A vector of a document.

    Parameters
    ----------
    kind : whether it is of its own text, or a part of that, or of its window
    digest : ``vector_digest`` of the text that it was made of; empty where none was given
    """

    kind: Literal["own", "window"]
    vector: Vector
    digest: str


@dataclass(frozen=True, kw_only=True)
class Document:
    """One searchable memory.

    Parameters
    ----------
    tenant, memory_id : together they name it; ``mem:<conversationId>:<seq>`` for a raw message
    memory_space_id : the space whose members may see it
    content : its own text; what search returns
    window : the two messages before it and its own text, without names; searched, not returned
    speaker : the name of who said it
    sender : the agent who wrote it to another one
    owner : to whom it belongs: ``user_owner`` of a user, NOBODY or SOMEBODY
    importance : 0..100
    at : when it was said, Unix milliseconds
    local_time : the same as it was said, where that was in another zone than UTC
    digest : the hex digest of the ledger's record, if it was made from one
    vectors : embeddings of ``spoken``, of unit length: of the whole of it, or of each part of what is too long for the
        model; none without words
    window_vector : the embedding of ``window``
    vector_digests, window_digest : ``vector_digest`` of the text of each vector, or nothing
    given_vector : the vector that a caller brought, as it was brought, instead of those of the model
    """

    tenant: str
    memory_id: str
    memory_space_id: str
    content: str
    at: int
    local_time: str | None = None
    window: str = ""
    conversation_id: str | None = None
    seq: int | None = None
    message_ids: tuple[str, ...] = ()
    speaker: str | None = None
    sender: str | None = None
    role: str | None = None
    user_id: str | None = None
    agent_id: str | None = None
    participant_id: str | None = None
    owner: str = SOMEBODY
    thread_id: str | None = None
    run_id: str | None = None
    content_type: str = "raw"
    source_type: str = "conversation"
    status: str = "active"
    importance: int = 50
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    version: int = 1
    updated_at: int | None = None
    external_id: str | None = None
    digest: str = ""
    vectors: tuple[Vector, ...] = ()
    vector_digests: tuple[str, ...] = ()
    window_vector: Vector | None = None
    window_digest: str = ""
    given_vector: Vector | None = None

    @property
    def spoken(self) -> str:
        """The text with the name of who said it, as it is embedded."""
        return f"{self.speaker}: {self.content}" if self.speaker else self.content

    @property
    def is_question(self) -> bool:
        """Whether the content ends with a question mark."""
        return self.content.rstrip().endswith("?")

    @property
    def moment(self) -> datetime:
        """When it was said, by the clock there or else UTC, within the years that a calendar has."""
        if self.local_time is not None:
            return local_moment(self.local_time)
        return datetime.fromtimestamp(min(max(self.at, 0), _LATEST) / 1000, UTC)

    def embeddings(self) -> list[Embedding]:
        """All its vectors, the window's last."""
        digests = self.vector_digests or ("",) * len(self.vectors)
        own = [Embedding("own", vector, digest) for vector, digest in zip(self.vectors, digests, strict=True)]
        return [*own, Embedding("window", self.window_vector, self.window_digest)] if self.window_vector else own

    def facets(self) -> list[str]:
        """The terms by which filters on tags and metadata find it."""
        terms = [tag_facet(tag) for tag in self.tags]
        terms += (metadata_facet(path, value) for path, value in _leaves(self.metadata))
        return list(dict.fromkeys(terms))[:MAX_FACETS]

    def source(self) -> dict[str, Any]:
        """The document as JSON that any index can store: all but window and vectors, which are only searched."""
        fields = {name: value for name, value in asdict(self).items() if name not in _NOT_STORED}
        for added in ("external_id", "local_time"):
            if fields[added] is None:
                # So that documents from before there was such a field are still what they would be now.
                del fields[added]
        lists = {"tags": list(self.tags), "message_ids": list(self.message_ids)}
        source: dict[str, Any] = encodable_json({**fields, **lists})
        return source

    def fingerprint(self, profile_name: str) -> str:
        """A digest of everything that the index would hold: where it holds the same, there is nothing to do."""
        parts = [INDEX_VERSION, profile_name, self.window, self.source()]
        if self.given_vector:
            parts.append(self.given_vector)
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def from_source(source: Mapping[str, Any]) -> Document:
    """The document that ``Document.source`` wrote, without window and vectors."""
    return Document(**{**source, "tags": tuple(source["tags"]), "message_ids": tuple(source["message_ids"])})


def vector_digest(model: str, text: str) -> str:
    """The hex digest by which an embedding is found again: of the model, and of the text that it was given."""
    return hashlib.sha256(json.dumps([model, text]).encode()).hexdigest()


def user_owner(user_id: str) -> str:
    """The owner of what belongs to a user."""
    return _shorten(f"user={user_id}")


def tag_facet(tag: str) -> str:
    """The term of a tag."""
    return _shorten(f"tag={tag}")


def metadata_facet(path: str, value: Any) -> str:
    """The term of a metadata value at a dotted path; 1 and 1.0 are the same."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return _shorten(f"metadata.{path}={json.dumps(value, sort_keys=True)}")


def encodable_json(value: Any) -> Any:
    """A JSON value without lone surrogates, which no index can encode."""
    text = json.dumps(value, ensure_ascii=False)
    return json.loads(text.encode("utf-8", "replace"))


def encodable(text: str) -> str:
    """A text without lone surrogates."""
    return text.encode("utf-8", "replace").decode()


def _leaves(value: Any, path: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Each value of a JSON object with its dotted path; a list counts as a whole and by its elements."""
    if isinstance(value, Mapping) and depth < MAX_DEPTH:
        for key, inner in value.items():
            yield from _leaves(inner, f"{path}.{key}" if path else str(key), depth + 1)
    elif isinstance(value, list | tuple):
        yield path, list(value)
        yield from ((path, element) for element in value if not isinstance(element, list | tuple | Mapping))
    else:
        yield path, value


def _shorten(term: str) -> str:
    """A term, or its digest where it is longer than an index takes."""
    term = encodable(term)
    if len(term) <= MAX_FACET_LENGTH:
        return term
    return f"sha256={hashlib.sha256(term.encode()).hexdigest()}"
