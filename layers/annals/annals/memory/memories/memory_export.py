"""Exports of memories: which there are says the search index, page by page; what each says, the tables.

So a file holds no word that was redacted, erased or deleted before its page was read, however late the index is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from annals.access.caller import Caller
from annals.conversations.genesis import get_genesis
from annals.conversations.read import get_tail
from annals.database.damage import decode_readable
from annals.database.state import read_items
from annals.errors import ConversationErased, ConversationNotFound, DamagedEntry, DamagedItem
from annals.ledger.keys import conversation_pk
from annals.ledger.read import read_readable_records
from annals.memory.facts.fact_documents import from_fact_document, is_fact, to_fact_document
from annals.memory.facts.fact_items import find_dated_fact
from annals.memory.index_pages import walk_pages
from annals.memory.memories.memory_export_formats import Format, PresentedMemory
from annals.memory.memories.memory_items import Address, StoredMemory, from_memory_item, split_raw_id
from annals.memory.memories.memory_presenters import present_document, present_memory
from annals.memory.memories.memory_reads import previous_versions
from annals.memory.memories.models import SearchFilter
from annals.memory.memories.raw_memories import seq_ranges, to_raw_memories
from annals.memory.memories.search_filters import memory_scope
from annals.memory.sources import with_existing_documents
from annals.search.documents import Document

PAGE = 100
"""How many memories are held at once: as many as DynamoDB brings by their keys in one request."""

READERS = 8
"""How many facts, and versions of memories, are read side by side."""

MAX_GAP = 20
"""How many messages between two exported ones are read along; a longer gap takes another request."""


@dataclass(frozen=True, kw_only=True)
class MemoryExportOptions:
    """Which memories are exported, and how they are written; ``more_statuses`` are beside the filter's own."""

    memory_space_id: str | None
    filter: SearchFilter
    more_statuses: tuple[str, ...]
    format: Format
    with_versions: bool

    @property
    def statuses(self) -> tuple[str, ...]:
        return (self.filter.status, *self.more_statuses)


def export_memories(caller: Caller, options: MemoryExportOptions) -> Iterator[str]:
    """The pieces of the file, the newest memories first. Raises SearchUnavailable."""
    scope = memory_scope(caller, options.memory_space_id, options.filter)
    pages = walk_pages(replace(scope, filters=replace(scope.filters, status=options.statuses)), PAGE)
    return options.format.write(memory for page in pages for memory in _present_page(caller.tenant, page, options))


def _present_page(tenant: str, page: Sequence[Document], options: MemoryExportOptions) -> Iterator[PresentedMemory]:
    """The memories of a page as they are stored now, but for those that are gone, or of another status since."""
    page = with_existing_documents(tenant, page, lambda each: each)
    stored = _read_stored(tenant, page)
    with ThreadPoolExecutor(READERS) as readers:
        for memory in readers.map(lambda document: _present(document, stored, options), page):
            if memory and memory["status"] in options.statuses:
                yield memory


def _present(
    document: Document, stored: Mapping[str, StoredMemory], options: MemoryExportOptions
) -> PresentedMemory | None:
    if is_fact(document):
        return _present_fact(document)
    memory = stored.get(document.memory_id)
    if memory is None:
        return None
    if not options.with_versions:
        return {**present_memory(memory)}
    return {**present_memory(memory), "previousVersions": [present_memory(each) for each in previous_versions(memory)]}


def _present_fact(document: Document) -> PresentedMemory | None:
    """A fact as it is stored now; its key follows from what never changes of it. One that is damaged is left out."""
    fact = from_fact_document(document)[0]
    try:
        dated = find_dated_fact(fact.pk, fact.sk)
    except DamagedItem:
        return None
    return {**present_document(to_fact_document(dated))} if dated else None


def _read_stored(tenant: str, page: Sequence[Document]) -> dict[str, StoredMemory]:
    """The memories of a page, but for facts, as they are stored now, by id; those that are gone are left out.

    An item of its own speaks for a message that was changed, as long as the message's words are there.
    """
    keys = [Address.of(tenant, each.memory_id).current for each in page if not is_fact(each)]
    items = {each.memory_id: each for each in decode_readable(read_items(keys, consistent=True), from_memory_item)}
    raw = _read_raw_memories(tenant, page)
    return raw | {name: each for name, each in items.items() if name in raw or split_raw_id(name) is None}


def _read_raw_memories(tenant: str, page: Sequence[Document]) -> dict[str, StoredMemory]:
    """The memories of a page that are messages, as the ledger has them, by id."""
    seqs_by_conversation: dict[str, list[int]] = {}
    for each in page:
        if raw := split_raw_id(each.memory_id):
            seqs_by_conversation.setdefault(raw[0], []).append(raw[1])
    return {
        memory.memory_id: memory
        for conversation_id, seqs in seqs_by_conversation.items()
        for memory in _read_messages(tenant, conversation_id, sorted(seqs))
    }


def _read_messages(tenant: str, conversation_id: str, seqs: Sequence[int]) -> Iterator[StoredMemory]:
    """Messages of a conversation as memories, these and some near them; none of one that is erased."""
    try:
        get_tail(tenant, conversation_id)
        genesis = get_genesis(tenant, conversation_id)
    except (ConversationErased, ConversationNotFound, DamagedEntry):
        return
    for first, last in seq_ranges(seqs, MAX_GAP):
        for entry in read_readable_records(conversation_pk(tenant, conversation_id), first, last):
            yield from to_raw_memories(entry, genesis)
