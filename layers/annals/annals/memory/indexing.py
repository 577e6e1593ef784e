"""Indexing: what the ledger holds of a conversation, brought into the search index."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from annals.conversations.genesis import read_genesis
from annals.errors import ConversationNotFound, SearchUnavailable
from annals.ledger.entry import ERASED, Entry
from annals.ledger.keys import is_conversation_pk, split_conversation_pk
from annals.ledger.read import read_records
from annals.ledger.tail import read_tail
from annals.memory.facts.documents import fact_document
from annals.memory.facts.items import is_facts_pk, read_around, split_fact_key
from annals.memory.items import DELETED, Address, StoredMemory, read_changed, read_item, split_memory_key
from annals.memory.raw import conversation_of, turns_of
from annals.models.embedding import Embedder
from annals.search.documents import Document
from annals.search.pipeline import index_documents
from annals.search.port import SearchIndex
from annals.search.turns import WINDOW_TURNS, Turn, documents_of, memory_id

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
    start = max(1, first - LOOK_BACK)
    entries, changed = list(read_records(pk, start, last)), read_changed(pk, start, last + LOOK_BACK)
    if any(turn.redacted and turn.seq >= first for turn in _turns(entries, changed)):
        # The turns behind a withdrawn one hold its words in their windows.
        entries = list(read_records(pk, start, last + LOOK_BACK))
    if not entries:
        return []
    if entries[-1].state == ERASED:
        index.delete_conversation(tenant, conversation_id)
        return []
    failed = _index(index, embedder, tenant, conversation_id, entries, changed, first)
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


def index_changed(index: SearchIndex, embedder: Embedder, pk: str, sk: str) -> None:
    """Index the memory or fact whose item has changed; other items are passed over. Raises SearchUnavailable."""
    if not sk.startswith("M#"):
        return
    if is_facts_pk(pk):
        _index_lineage(index, embedder, pk, sk)
    elif is_conversation_pk(pk):
        seq = int(sk.removeprefix("M#"))
        if index_range(index, embedder, pk, seq, seq):
            raise SearchUnavailable(f"Message {seq} of a conversation could not be indexed.")
    else:
        tenant, memory_id = split_memory_key(pk, sk)
        _index_memory(index, embedder, tenant, memory_id)


def _index_lineage(index: SearchIndex, embedder: Embedder, pk: str, sk: str) -> None:
    """Index a fact as it is stored now, take it out where it is not; the one in front of it holds otherwise now."""
    tenant, fact_id = split_fact_key(pk, sk)
    around = read_around(pk, sk)
    if all(known.fact.sk != sk for known in around):
        index.delete(tenant, [fact_id])
    if failures := index_documents(index, embedder, [fact_document(known) for known in around]):
        raise SearchUnavailable(f"Fact {failures[0].memory_id!r} could not be indexed: {failures[0].reason}")


def _index_memory(index: SearchIndex, embedder: Embedder, tenant: str, memory_id: str) -> None:
    """Index an explicit memory as it is stored now; take it out where it is not."""
    memory = read_item(Address.of(tenant, memory_id).current)
    if memory is None:
        index.delete(tenant, [memory_id])
    elif failures := index_documents(index, embedder, [_document(memory)]):
        raise SearchUnavailable(f"Memory {memory_id!r} could not be indexed: {failures[0].reason}")


def _document(memory: StoredMemory) -> Document:
    return Document(
        tenant=memory.tenant,
        memory_id=memory.memory_id,
        memory_space_id=memory.memory_space_id,
        content=memory.content,
        window=memory.content,
        content_type=memory.content_type,
        source_type=memory.source_type,
        user_id=memory.user_id,
        agent_id=memory.agent_id,
        participant_id=memory.participant_id,
        importance=memory.importance,
        tags=memory.tags,
        metadata=memory.metadata,
        conversation_id=memory.conversation_id,
        message_ids=memory.message_ids,
        version=memory.version,
        at=memory.created_at,
        updated_at=memory.updated_at,
        status=memory.status,
    )


def _turns(entries: Iterable[Entry], changed: Mapping[int, StoredMemory]) -> list[Turn]:
    """The turns of some entries; what was deleted as a memory is no more searched than what was redacted."""
    deleted = {seq for seq, memory in changed.items() if memory.status == DELETED}
    turns = (turn for entry in entries for turn in turns_of(entry))
    return [replace(turn, redacted=True) if turn.seq in deleted else turn for turn in turns]


def _as_changed(document: Document, memory: StoredMemory | None) -> Document:
    """A message's document as its memory was changed; its window stays what was said."""
    if memory is None:
        return document
    return replace(
        document,
        content=memory.content,
        importance=memory.importance,
        tags=memory.tags,
        metadata=memory.metadata,
        version=memory.version,
        status=memory.status,
        updated_at=memory.updated_at,
    )


def _index(
    index: SearchIndex,
    embedder: Embedder,
    tenant: str,
    conversation_id: str,
    entries: list[Entry],
    changed: Mapping[int, StoredMemory],
    first: int,
) -> set[str]:
    """Index what was said from seq ``first`` on, and take out what was withdrawn. Returns the ids that failed."""
    try:
        conversation = conversation_of(read_genesis(tenant, conversation_id))
    except ConversationNotFound:
        return set()
    turns = _turns(entries, changed)
    gone = [memory_id(conversation_id, turn.seq) for turn in turns if turn.redacted]
    if gone:
        index.delete(tenant, gone)
    documents = [
        _as_changed(document, changed.get(document.seq or 0))
        for document in documents_of(conversation, turns, first_seq=first)
    ]
    return {failure.memory_id for failure in index_documents(index, embedder, documents)}


def _memory_ids(conversation_id: str, entry: Entry) -> set[str]:
    return {memory_id(conversation_id, record.seq) for record in entry.records}
