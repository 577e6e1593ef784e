"""Indexing: what the tables hold, brought into the search index."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from annals.errors import SearchUnavailable
from annals.ledger.entry import Tail
from annals.ledger.keys import split_conversation_pk
from annals.ledger.read import walk_readable
from annals.ledger.rewound import Rewound
from annals.ledger.tail import read_tail
from annals.memory.caller_vectors import with_given_vectors
from annals.memory.indexing.projection import IndexProjection, project_entries, project_item
from annals.memory.indexing.table_scan import TableRange
from annals.memory.memories.memory_items import split_raw_id
from annals.providers.embedding import Embedder
from annals.search.message_documents import memory_id
from annals.search.pipeline import BATCH, always, index_documents
from annals.search.profiles import EmbeddingProfile
from annals.search.protocol import Failure, SearchIndex
from annals.settings import settings

LOOKUP_SIZE = 200
"""How many messages are looked up in the index at once."""

MAX_NAMED = 5
"""How many documents that could not be indexed are named."""

MAX_READS = 5
"""How often the tables are read again, until they still say what was indexed."""


@dataclass(frozen=True)
class IndexTarget:
    """An index to be written, and how.

    Parameters
    ----------
    embedder : the model that it was made with; None where that is another one, and then only removals reach it
    reuse_from : indexes of the same model, whose vectors need no second embedding
    batch : about how many texts are embedded and stored together
    has_time : whether there is time for another batch
    """

    index: SearchIndex
    embedder: Embedder | None
    reuse_from: Sequence[SearchIndex] = ()
    batch: int = BATCH
    has_time: Callable[[], bool] = field(default=always)


@dataclass
class IndexFailures:
    """How many documents could not be indexed, and why the first of them, by memory id."""

    count: int = 0
    first: dict[str, str] = field(default_factory=dict)

    def add(self, failures: Iterable[Failure]) -> None:
        """Count failures."""
        for failure in failures:
            self.count += 1
            if len(self.first) < MAX_NAMED:
                self.first[failure.memory_id] = failure.reason


def index_entries(target: IndexTarget, pk: str, first: int, last: int) -> dict[int, str]:
    """Index what the ledger now holds of a conversation's entries that begin at seq ``first`` to ``last``.

    Returns
    -------
    dict
        Why messages could not be indexed, by the first seq of their entry; another try may succeed. Messages after
        the last entry, whose windows held a redacted one, count as the last entry's.

    Raises
    ------
    SearchUnavailable : the index or the model does not answer
    OutOfTime : the target's time is over; what was done is kept
    """
    failures = _settle(target, lambda: project_entries(pk, first, last))
    if not failures:
        return {}
    starts = [entry.seq for entry in walk_readable(pk, first=first, last=last)]
    return {_entry_start(failure, starts): failure.reason for failure in failures}


def index_item(target: IndexTarget, pk: str, sk: str) -> list[Failure]:
    """Index the memory or fact whose item has changed. Returns what could not be indexed."""
    return _settle(target, lambda: project_item(pk, sk))


def index_table_range(target: IndexTarget, table_range: TableRange) -> list[Failure]:
    """Index what a range of a table now holds. Returns what could not be indexed; raises as ``index_entries``."""
    return _settle(target, table_range.project)


def embedding_profile_of(embedder: Embedder) -> EmbeddingProfile:
    """How this process embeds documents."""
    return EmbeddingProfile(embedder.model, settings().embed_windows, settings().embeddings_max_characters)


def catch_up(index: SearchIndex, embedder: Embedder, pk: str) -> None:
    """Have the index hold, and find, all that the ledger holds of a conversation. Raises SearchUnavailable.

    The ledger's stream brings entries in order, so that what is missing is missing at the end: the index is looked
    through from the newest message back, until it holds the first of those that are looked up. What is rewound is not
    looked for: nothing of it is to be there.
    """
    tail = read_tail(pk)
    if tail is None:
        return
    first = _first_missing(index, pk, tail)
    if first <= tail.seq and index_entries(IndexTarget(index, embedder), pk, first, tail.seq):
        raise SearchUnavailable("Some messages of the conversation cannot be searched yet. Send the request again.")
    index.refresh()


def _first_missing(index: SearchIndex, pk: str, tail: Tail) -> int:
    """The seq from which on messages are missing in the index; that after the tail where none is."""
    tenant, conversation_id = split_conversation_pk(pk)
    rewound = Rewound.at(pk, tail)
    first = end = tail.seq + 1
    while end > 1:
        start = max(1, end - LOOKUP_SIZE)
        memory_ids = {seq: memory_id(conversation_id, seq) for seq in range(start, end) if not rewound.hides(seq)}
        indexed = index.find_fingerprints(tenant, [*memory_ids.values()]) if memory_ids else {}
        first = next((seq for seq, name in memory_ids.items() if name not in indexed), first)
        if memory_ids and next(iter(memory_ids.values())) in indexed:
            return first
        span = rewound.find_span(start)
        end = span.after + 1 if span else start
    return first


def _settle(target: IndexTarget, read: Callable[[], IndexProjection]) -> list[Failure]:
    """Write what the tables say, until a second read finds that they still say it.

    Between the read and the write somebody may have redacted what is written here, and have cleared the index of it
    already: without the second read it would come back.
    """
    projection = read()
    for _ in range(MAX_READS):
        failures = _write(target, projection)
        current = read()
        if current == projection:
            return failures
        projection = current
    raise SearchUnavailable("What is to be indexed changes faster than it can be indexed.")


def _write(target: IndexTarget, projection: IndexProjection) -> list[Failure]:
    if projection.erased is not None:
        target.index.delete_conversation(projection.tenant, projection.erased)
    if projection.gone:
        target.index.delete(projection.tenant, projection.gone)
    if target.embedder is None:
        return []
    return index_documents(
        target.index,
        target.embedder,
        with_given_vectors(projection.documents, target.embedder),
        profile=embedding_profile_of(target.embedder),
        reuse_from=target.reuse_from,
        batch=target.batch,
        has_time=target.has_time,
    )


def _entry_start(failure: Failure, starts: Iterable[int]) -> int:
    """The first seq of the entry that a message is in, or of the last one before it."""
    raw = split_raw_id(failure.memory_id)
    seq = raw[1] if raw else 0
    return max((start for start in starts if start <= seq), default=seq)
