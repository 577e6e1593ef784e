"""Indexing: what the ledger holds of a conversation, brought into the search index."""

from __future__ import annotations

from annals.conversations.genesis import read_genesis
from annals.errors import ConversationNotFound, SearchUnavailable
from annals.ledger.entry import ERASED, Entry
from annals.ledger.keys import split_conversation_pk
from annals.ledger.read import read_records
from annals.ledger.tail import read_tail
from annals.memory.raw import conversation_of, turns_of
from annals.models.embedding import Embedder
from annals.search.pipeline import index_documents
from annals.search.port import SearchIndex
from annals.search.turns import WINDOW_TURNS, documents_of, memory_id

LOOK_BACK = 4 * WINDOW_TURNS
"""How many records around a message are read for windows: some of them may be no messages."""

BATCH = 200
"""How many records are indexed at once, where a whole conversation is."""


def index_range(index: SearchIndex, embedder: Embedder, pk: str, first: int, last: int) -> list[int]:
    """Index what the ledger now holds of a conversation's entries that begin at seq ``first`` to ``last``.

    Returns
    -------
    list of int
        The first seq of each entry of which a message could not be indexed; another try may succeed.
    """
    tenant, conversation_id = split_conversation_pk(pk)
    entries = list(read_records(pk, max(1, first - LOOK_BACK), last))
    if any(turn.redacted and turn.seq >= first for entry in entries for turn in turns_of(entry)):
        # The turns behind a redacted one hold its words in their windows.
        entries = list(read_records(pk, max(1, first - LOOK_BACK), last + LOOK_BACK))
    if not entries:
        return []
    if entries[-1].state == ERASED:
        index.delete_conversation(tenant, conversation_id)
        return []
    failed = _index(index, embedder, tenant, conversation_id, entries, first)
    return [entry.seq for entry in entries if failed & _memory_ids(conversation_id, entry)]


def index_conversation(index: SearchIndex, embedder: Embedder, pk: str) -> list[int]:
    """Index a whole conversation, in batches. Returns the entries that failed."""
    tail = read_tail(pk)
    starts = range(1, tail.seq + 1, BATCH) if tail else ()
    return [seq for first in starts for seq in index_range(index, embedder, pk, first, first + BATCH - 1)]


def catch_up(index: SearchIndex, embedder: Embedder, pk: str) -> None:
    """Have the index hold, and find, all that the ledger holds of a conversation. Raises SearchUnavailable."""
    tail = read_tail(pk)
    if tail is None:
        return
    tenant, conversation_id = split_conversation_pk(pk)
    first = tail.seq + 1
    while first > 1:
        start = max(1, first - BATCH)
        asked = [memory_id(conversation_id, seq) for seq in range(start, first)]
        known = index.fingerprints(tenant, asked)
        if asked[0] in known:
            first = next((seq for seq in range(start, first) if memory_id(conversation_id, seq) not in known), first)
            break
        first = start
    if first <= tail.seq and index_range(index, embedder, pk, first, tail.seq):
        raise SearchUnavailable("Some messages of the conversation cannot be searched yet. Send the request again.")
    index.refresh()


def _index(
    index: SearchIndex, embedder: Embedder, tenant: str, conversation_id: str, entries: list[Entry], first: int
) -> set[str]:
    """Index what was said from seq ``first`` on, and take out what was redacted. Returns the ids that failed."""
    try:
        conversation = conversation_of(read_genesis(tenant, conversation_id))
    except ConversationNotFound:
        return set()
    turns = [turn for entry in entries for turn in turns_of(entry)]
    gone = [memory_id(conversation_id, turn.seq) for turn in turns if turn.redacted]
    if gone:
        index.delete(tenant, gone)
    documents = documents_of(conversation, turns, first_seq=first)
    return {failure.memory_id for failure in index_documents(index, embedder, documents)}


def _memory_ids(conversation_id: str, entry: Entry) -> set[str]:
    return {memory_id(conversation_id, record.seq) for record in entry.records}
