"""The protocols of a search index, what its adapters implement: searching and writing it, and building it anew."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, Self

from annals.search.dates import DateRange
from annals.search.documents import NOBODY, Document, Vector, user_owner

SERVERLESS = "aoss"
"""The service of a Serverless collection, as requests to it are signed; it sleeps when it is idle."""

DocumentKey = tuple[str, str]
"""The tenant and the memory id of a document."""

OneOf = str | tuple[str, ...] | None
"""A filter on a name: this one, one of these, or (None) any."""


@dataclass(frozen=True, kw_only=True)
class Filters:
    """What a hit has to be. All apply together; times are Unix milliseconds, and both ends are included.

    Parameters
    ----------
    metadata : a value by dotted path; a tuple means one of these values; a list equals the whole list
    """

    user_id: OneOf = None
    agent_id: OneOf = None
    participant_id: OneOf = None
    conversation_id: OneOf = None
    thread_id: OneOf = None
    run_id: OneOf = None
    role: OneOf = None
    speaker: OneOf = None
    content_type: OneOf = None
    source_type: OneOf = None
    status: OneOf = "active"
    tags_any: tuple[str, ...] = ()
    tags_all: tuple[str, ...] = ()
    importance_min: int | None = None
    importance_max: int | None = None
    since: int | None = None
    until: int | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


NAMED_FILTERS = (
    "user_id", "agent_id", "participant_id", "conversation_id", "thread_id", "run_id", "role", "speaker",
    "content_type", "source_type", "status",
)  # fmt: skip


NO_SPACE = ""
"""The space of what is in none."""

USER_MEMORY = "user"
"""The source type of users' memories, and of no others."""


@dataclass(frozen=True, kw_only=True)
class Scope:
    """What a query may see: a tenant's documents in some spaces (None: in all of them) that pass the filters.

    Parameters
    ----------
    for_user : a user, and then only what belongs to that user or to nobody; None for any owner's
    with_spaceless : whether the user's own user memories that are in no space are seen beside the spaces
    """

    tenant: str
    spaces: frozenset[str] | None = None
    filters: Filters = field(default_factory=Filters)
    for_user: str | None = None
    with_spaceless: bool = False

    @property
    def owners(self) -> tuple[str, str] | None:
        """To whom a document may belong; None for anybody."""
        return None if self.for_user is None else (user_owner(self.for_user), NOBODY)

    @property
    def adds_spaceless(self) -> bool:
        """Whether user memories of no space are seen beside the spaces that are named."""
        lacks_spaceless = self.spaces is not None and NO_SPACE not in self.spaces
        return lacks_spaceless and self.with_spaceless and self.for_user is not None


@dataclass(frozen=True)
class Candidates:
    """The documents that may answer a query, from one round trip, with the scores of each list that they are in.

    Parameters
    ----------
    documents : each candidate by its memory id
    lexical : BM25 of own text and window, by memory id
    own, window : cosine of the query's vector and the document's, by memory id; of several own ones the best
    """

    documents: Mapping[str, Document] = field(default_factory=dict)
    lexical: Mapping[str, float] = field(default_factory=dict)
    own: Mapping[str, float] = field(default_factory=dict)
    window: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Failure:
    """A document that was not indexed, and why."""

    memory_id: str
    reason: str


class SearchIndex(Protocol):
    """An index of documents. Every method raises SearchUnavailable where the index doesn't answer."""

    def ensure(self, *, model: str, dimensions: int) -> None:
        """Create the index where it is missing.

        Raises
        ------
        ConfigurationError
            It was made with another model, with other dimensions, or for documents of another version.
        """
        ...

    def upsert(self, documents: Sequence[tuple[Document, str]]) -> list[Failure]:
        """Store documents with their fingerprints, each instead of what has its tenant and memory id.

        All vectors of a document are stored with their digests, and any of them finds it.
        """
        ...

    def delete(self, tenant: str, memory_ids: Collection[str]) -> None:
        """Remove documents; those that aren't there are no error."""
        ...

    def delete_conversation(self, tenant: str, conversation_id: str) -> None:
        """Remove every document of a conversation."""
        ...

    def find_fingerprints(self, tenant: str, memory_ids: Collection[str]) -> dict[str, str]:
        """The fingerprints with which documents were stored, by memory id, of those that are there."""
        ...

    def find_vectors(self, tenant: str, memory_ids: Collection[str]) -> dict[str, Vector]:
        """The vectors of stored documents, by the digest of the text that each was made of.

        Those of own texts and of windows, in single precision; those without a digest are left out.
        """
        ...

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
        """The best documents by words and by each vector, and those of the dates, in one round trip.

        Without an index there are none.

        Parameters
        ----------
        terms : words, of which a document has to hold one
        vector : the query's vector, of unit length
        dates : when something was said that is to be among the candidates, too
        depth : how many documents each list holds at most
        model : the model that made the vector; empty where that is not known

        Raises
        ------
        ConfigurationError
            The vector has not the index' dimensions, or is of another model than the index.
        SearchUnavailable
            The scope is a user's, and the documents, of an older version, don't say to whom they belong.
        """
        ...

    def list_speakers(self, scope: Scope) -> frozenset[str]:
        """The names of those who spoke in the scope's spaces, at most 1,000; possibly a minute old."""
        ...

    def list_documents(self, scope: Scope, *, limit: int, after: tuple[int, str] | None = None) -> list[Document]:
        """Documents by time, newest first; those after the position ``(at, memory_id)``."""
        ...

    def count(self, scope: Scope) -> int:
        """How many documents are in the scope."""
        ...

    def refresh(self) -> None:
        """Make what was written searchable from now on, where the index allows it."""
        ...

    def drop(self) -> None:
        """Remove the index with everything in it; ``ensure`` creates it anew."""
        ...


class RebuildableIndex(SearchIndex, Protocol):
    """A search index of which there may be two generations: the one in service, and the next, which is being built.

    Whoever writes the one in service writes the next one, too. Every method raises SearchUnavailable where the index
    does not answer.
    """

    def find_profile(self) -> Mapping[str, str]:
        """What the index was made with, as ``index_profile`` gives it; empty where there is no index."""
        ...

    def find_next(self) -> Self | None:
        """The generation that is being built to replace this one, if there is one."""
        ...

    def ensure_next(self, *, model: str, dimensions: int, beside: str = "") -> Self:
        """The next generation: a new one, or the one that was begun before.

        Parameters
        ----------
        beside : the name of another index in service, of which it is the next generation as well
        """
        ...

    def switch_to(self, new: Self) -> None:
        """Put the next generation in service in one step; every read and write meets the one or the other.

        Does nothing where somebody else has put it in service already. Raises SearchUnavailable where it was given up
        meanwhile, also where another one has been begun since.
        """
        ...

    def drop_former(self) -> None:
        """Remove the generations that were in service before this one."""
        ...

    def drop_next(self) -> None:
        """Remove the generation that is being built."""
        ...

    def save_progress(self, position: str) -> None:
        """Store with the index how far its rebuild has come: a position that only the rebuild understands."""
        ...

    def get_progress(self) -> str:
        """How far the rebuild has come, as ``save_progress`` stored it last; empty at first."""
        ...

    def list_keys(self, *, limit: int, after: DocumentKey | None = None) -> list[DocumentKey]:
        """The keys of all tenants' documents in order, those after ``after``."""
        ...
