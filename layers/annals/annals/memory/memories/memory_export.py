"""Exports of memories: which there are says the search index, page by page; what each says, the tables.

So a file holds no word that was redacted, erased or deleted before its page was read, however late the index is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from annals.access.caller import Caller
from annals.api.query import read_flag
from annals.conversations.formats import CSV, keeps_formulas
from annals.conversations.genesis import get_genesis
from annals.conversations.read import get_tail
from annals.database.damage import decode_readable
from annals.database.state import read_items
from annals.errors import ConversationErased, ConversationNotFound, DamagedEntry, DamagedItem, InvalidInput
from annals.ledger.keys import conversation_pk
from annals.ledger.read import read_readable_records
from annals.memory.facts.fact_documents import from_fact_document, is_fact, to_fact_document
from annals.memory.facts.fact_items import SUPERSEDED, find_dated_fact
from annals.memory.memories.memory_export_formats import FORMATS, UNGUARDED_CSV, Format
from annals.memory.memories.memory_items import ARCHIVED, Address, StoredMemory, from_memory_item, split_raw_id
from annals.memory.memories.memory_lists import pages_of, read_filter, scope_of
from annals.memory.memories.presenters import present_document, present_memory
from annals.memory.memories.raw_memories import memories_of
from annals.memory.memories.store import previous_versions
from annals.memory.sources import source_ref_of, with_existing_sources
from annals.search.documents import Document
from annals.search.protocol import Scope

PAGE = 100
"""How many memories are held at once: as many as DynamoDB brings by their keys in one request."""

READERS = 8
"""How many facts, and versions of memories, are read side by side."""

NEAR = 20
"""How many messages between two wanted ones are read along; a longer gap takes another request."""

BESIDE = {"includeArchived": ARCHIVED, "includeSuperseded": SUPERSEDED}
"""The query parameters that ask for memories of another status, too."""

OPTIONS = ("format", "formulas", "includeVersions", "memorySpaceId", *BESIDE)
"""The query parameters that are no filter."""


@dataclass(frozen=True)
class MemoryExport:
    """Which memories are exported, those of which statuses, and how they are written."""

    scope: Scope
    statuses: tuple[str, ...]
    format: Format
    with_versions: bool

    def pieces(self) -> Iterator[str]:
        """The pieces of the file, the newest memories first. Raises SearchUnavailable."""
        filters = replace(self.scope.filters, status=self.statuses)
        pages = pages_of(replace(self.scope, filters=filters), PAGE)
        return self.format.write(memory for page in pages for memory in self._as_stored(page))

    def _as_stored(self, page: Sequence[Document]) -> Iterator[Mapping[str, Any]]:
        """The memories of a page as they are stored now, but for those that are gone, or of another status since."""
        page = with_existing_sources(self.scope.tenant, page, source_ref_of)
        stored = _read_stored(self.scope.tenant, page)
        with ThreadPoolExecutor(READERS) as readers:
            for shown in readers.map(lambda document: self._show(document, stored), page):
                if shown and shown["status"] in self.statuses:
                    yield shown

    def _show(self, document: Document, stored: Mapping[str, StoredMemory]) -> Mapping[str, Any] | None:
        if is_fact(document):
            return _show_fact(document)
        memory = stored.get(document.memory_id)
        if memory is None:
            return None
        shown = present_memory(memory)
        if not self.with_versions:
            return shown
        previous = previous_versions(memory) if memory.version > 1 else []
        return {
            **shown,
            "previousVersions": [present_memory(each) for each in previous if each.version < memory.version],
        }


def read_export(caller: Caller, query: Mapping[str, str]) -> MemoryExport:
    """The export that query parameters ask for. Raises InvalidInput: INVALID_FORMAT, or what ``read_filter`` raises."""
    name = query.get("format", "json")
    if name not in FORMATS:
        raise InvalidInput("INVALID_FORMAT", f"format must be one of {', '.join(FORMATS)}.", field="format")
    said = read_filter(query, OPTIONS)
    beside = [status for option, status in BESIDE.items() if read_flag(query, option)]
    return MemoryExport(
        scope_of(caller, query.get("memorySpaceId"), said),
        (said.status, *beside),
        UNGUARDED_CSV if keeps_formulas(query) and name == CSV else FORMATS[name],
        read_flag(query, "includeVersions"),
    )


def _show_fact(document: Document) -> Mapping[str, Any] | None:
    """A fact as it is stored now; its place follows from what never changes of it. One that is damaged is left out."""
    fact = from_fact_document(document)[0]
    try:
        known = find_dated_fact(fact.pk, fact.sk)
    except DamagedItem:
        return None
    return {**present_document(to_fact_document(known))} if known else None


def _read_stored(tenant: str, page: Sequence[Document]) -> dict[str, StoredMemory]:
    """The memories of a page, but for facts, as they are stored now, by id; those that are gone are left out.

    An item of its own speaks for a message that was changed, as long as the message's words are there.
    """
    keys = [Address.of(tenant, each.memory_id).current for each in page if not is_fact(each)]
    items = {each.memory_id: each for each in decode_readable(read_items(keys, consistent=True), from_memory_item)}
    stored = _read_messages(tenant, page)
    return stored | {name: each for name, each in items.items() if name in stored or split_raw_id(name) is None}


def _read_messages(tenant: str, page: Sequence[Document]) -> dict[str, StoredMemory]:
    """The memories of a page that are messages, as the ledger has them, by id."""
    wanted: dict[str, list[int]] = {}
    for each in page:
        if raw := split_raw_id(each.memory_id):
            wanted.setdefault(raw[0], []).append(raw[1])
    found = (memory for name, seqs in wanted.items() for memory in _messages_of(tenant, name, sorted(seqs)))
    return {memory.memory_id: memory for memory in found}


def _messages_of(tenant: str, conversation_id: str, seqs: Sequence[int]) -> Iterator[StoredMemory]:
    """Messages of a conversation as memories, these and some near them; none of one that is erased."""
    try:
        get_tail(tenant, conversation_id)
        genesis = get_genesis(tenant, conversation_id)
    except (ConversationErased, ConversationNotFound, DamagedEntry):
        return
    for first, last in _ranges(seqs):
        for entry in read_readable_records(conversation_pk(tenant, conversation_id), first, last):
            yield from memories_of(entry, genesis)


def _ranges(seqs: Sequence[int]) -> Iterator[tuple[int, int]]:
    """The ranges that hold all of these seqs, which ascend, and no long gap."""
    first = last = seqs[0]
    for seq in seqs[1:]:
        if seq - last > NEAR:
            yield first, last
            first = seq
        last = seq
    yield first, last
