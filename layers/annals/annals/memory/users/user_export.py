"""All that there is of a user as JSON lines: what an erasure would take, as far as the caller may see it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain

from annals.access.caller import Caller
from annals.conversations.formats import FORMATS
from annals.conversations.presenters import present_summary
from annals.conversations.snapshot import take_snapshot
from annals.conversations.summary_store import find_summary
from annals.database.dynamodb import Item
from annals.database.state import read_partition
from annals.documents.document_items import StoredDocument
from annals.documents.presenters import present_document as show_document
from annals.documents.reading import read_document
from annals.documents.user_documents import list_documents_of_conversation
from annals.errors import ConversationErased, ConversationNotFound, DamagedEntry, DamagedItem
from annals.json_text import dump
from annals.ledger.entry import ERASED
from annals.ledger.keys import MAX_SEQ, conversation_pk, seq_of_sk
from annals.ledger.messages import message_id, present_message
from annals.ledger.read import walk_all
from annals.ledger.rewound import Rewound
from annals.ledger.tail import salvage_tail
from annals.ledger.versions import is_rewound
from annals.memory.facts.fact_documents import to_fact_document
from annals.memory.facts.fact_items import DatedFact
from annals.memory.facts.fact_reads import list_facts_of
from annals.memory.keys import MEMORY_PREFIX
from annals.memory.memories.memory_items import (
    DELETED,
    from_memory_item,
    read_changed_items,
    seq_of_changed_item,
    split_memory_key,
    split_raw_id,
    split_user_memory_id,
    user_memories_pk,
)
from annals.memory.memories.memory_presenters import present_document, present_memory
from annals.memory.memories.memory_reads import list_memories_of, previous_versions
from annals.memory.sources import SourceRef, with_existing_sources
from annals.memory.spaces import find_participant
from annals.memory.users.user_data import MemoryOrFact, UserData
from annals.memory.users.user_memories import present_user_memory
from annals.search.documents import Document
from annals.search.message_documents import memory_id


def export_user(caller: Caller, user_id: str) -> Iterator[str]:
    """The lines of a file of all that there is of a user. What fails at once is raised by the first of them."""
    user_data = UserData(caller, user_id)
    # Its first page before the first line: where the search index does not answer, there is no file.
    documents = user_data.documents()
    first = next(documents, None)
    yield _line("person", {"userId": user_id})
    yield from _UserExport(user_data).lines(documents if first is None else chain([first], documents))


@dataclass(frozen=True)
class _UserExport:
    """The lines of one user. "They" is the user."""

    user_data: UserData

    def lines(self, documents: Iterable[Document]) -> Iterator[str]:
        """All lines after the first, with what only the search index leads to."""
        own: set[str] = set()
        for conversation_id in self.user_data.conversations():
            own.add(conversation_id)
            yield from self._own_conversation(conversation_id)
        yield from self._own_memories()
        # Dicts, since they have an order: what the tables lead to first, then what the index adds.
        others = dict.fromkeys(self.user_data.conversations_of_others())
        standalone = dict.fromkeys(self.user_data.standalone_ids())
        for document in documents:
            if raw := split_raw_id(document.memory_id):
                others.setdefault(raw[0])
            elif not split_user_memory_id(document.memory_id) and document.conversation_id not in {*own, *others}:
                standalone.setdefault(document.memory_id)
        for conversation_id in others:
            if conversation_id not in own:
                yield from self._conversation_of_others(conversation_id)
        for name in standalone:
            yield from _lines_or_damage({"memoryId": name}, self._standalone(name))
        for memory_space_id in self.user_data.spaces():
            yield from _lines_or_damage({"memorySpaceId": memory_space_id}, self._space(memory_space_id))
        yield from self._documents(self.user_data.own_documents())
        for name in self.user_data.document_traces():
            yield from _lines_or_damage({"document": name}, self._traced_document(name, own))

    def _own_conversation(self, conversation_id: str) -> Iterator[str]:
        """A conversation of theirs, and all that was made of it."""
        tenant, pk = self.user_data.tenant, conversation_pk(self.user_data.tenant, conversation_id)
        try:
            yield from _lines_or_damage({"conversationId": conversation_id}, self._messages(conversation_id))
        except (ConversationErased, ConversationNotFound):
            return
        yield from self._summary(conversation_id)
        yield from self._changed(conversation_id, read_changed_items(pk, 1, MAX_SEQ))
        yield from self._derived(list_facts_of(tenant, conversation_id))
        yield from self._derived(list_memories_of(tenant, conversation_id))
        yield from self._documents(list_documents_of_conversation(tenant, conversation_id))
        yield from self._damaged(conversation_id)

    def _documents(self, documents: Iterable[StoredDocument]) -> Iterator[str]:
        for document in documents:
            name = {"collection": document.address.collection, "key": document.address.key}
            yield from _lines_or_damage(name, _document_line(document))

    def _traced_document(self, name: str, own: Collection[str]) -> Iterator[str]:
        """A document of another owner's; those of their own conversations are there already."""
        document = self.user_data.find_traced_document(name)
        if document and not (document.address.owner.kind == "conversation" and document.address.owner.id in own):
            yield from _document_line(document)

    def _messages(self, conversation_id: str) -> Iterator[str]:
        snapshot = take_snapshot(self.user_data.tenant, conversation_id, with_damage=True, with_rewound=True)
        yield from FORMATS["jsonl"].write(snapshot)

    def _summary(self, conversation_id: str) -> Iterator[str]:
        if summary := find_summary(conversation_pk(self.user_data.tenant, conversation_id)):
            yield _line("summary", {"conversationId": conversation_id, **present_summary(summary)})

    def _own_memories(self) -> Iterator[str]:
        pk = user_memories_pk(self.user_data.tenant, self.user_data.user_id)
        for item in read_partition(pk, MEMORY_PREFIX):
            name = {"memoryId": split_memory_key(pk, item["sk"]["S"])[1]}
            yield from _lines_or_damage(name, self._own_memory(item))

    def _own_memory(self, item: Item) -> Iterator[str]:
        memory = from_memory_item(item)
        if memory.status != DELETED and self.user_data.caller.may_see(memory.memory_space_id):
            values = {**present_user_memory(memory), "status": memory.status}
            yield _line("userMemory", _with_versions(values, map(present_user_memory, previous_versions(memory))))

    def _conversation_of_others(self, conversation_id: str) -> Iterator[str]:
        """What they said in another one's conversation, and what was made of them there."""
        pk = conversation_pk(self.user_data.tenant, conversation_id)
        tail = salvage_tail(pk)
        if tail is None or tail.state == ERASED:
            return
        theirs: set[int] = set()
        rewound = Rewound.at(pk, tail)
        for entry in walk_all(pk, first=1):
            if isinstance(entry, DamagedEntry):
                yield _damaged_entry(conversation_id, entry)
                continue
            for record in self.user_data.records_in(entry):
                theirs.add(record.seq)
                is_back = is_rewound(rewound, pk, record)
                message = present_message(record, entry, tail.archived, rewound=is_back, with_embedding=True)
                yield _line("message", {"conversationId": conversation_id, **message})
        changed = read_changed_items(pk, 1, MAX_SEQ)
        yield from self._changed(conversation_id, (item for item in changed if seq_of_changed_item(item) in theirs))
        yield from self._derived(self.user_data.memories_made_in(conversation_id))
        yield from self._damaged(conversation_id)

    def _changed(self, conversation_id: str, items: Iterable[Item]) -> Iterator[str]:
        """Messages that say something else as memories."""
        for item in items:
            name = {"memoryId": memory_id(conversation_id, seq_of_changed_item(item))}
            yield from _lines_or_damage(name, _changed_memory(item))

    def _derived(self, items: Iterable[MemoryOrFact]) -> Iterator[str]:
        """What was made of words that are still there."""
        return map(_memory_line, with_existing_sources(self.user_data.tenant, list(items), _source_ref_of))

    def _damaged(self, conversation_id: str) -> Iterator[str]:
        """What was made of a conversation and cannot be read."""
        for each in self.user_data.damaged_ids_in(conversation_id):
            yield _line("damaged", {"conversationId": conversation_id, "memoryId": each})

    def _standalone(self, name: str) -> Iterator[str]:
        if item := self.user_data.find_memory_or_fact(name):
            yield from self._derived([item])

    def _space(self, memory_space_id: str) -> Iterator[str]:
        if participant := find_participant(self.user_data.tenant, memory_space_id, self.user_data.user_id):
            yield _line("space", {"memorySpaceId": memory_space_id, "participant": participant})


def _lines_or_damage(name: Mapping[str, object], lines: Iterator[str]) -> Iterator[str]:
    """Lines, and in the place of what cannot be read one that names it."""
    try:
        yield from lines
    except DamagedItem as damaged:
        yield _line("damaged", {**name, "reason": damaged.reason})


def _document_line(document: StoredDocument) -> Iterator[str]:
    if read := read_document(document):
        yield _line("document", {**show_document(*read)})


def _changed_memory(item: Item) -> Iterator[str]:
    memory = from_memory_item(item)
    if memory.status != DELETED:
        yield _memory_line(memory)


def _damaged_entry(conversation_id: str, entry: DamagedEntry) -> str:
    seq = seq_of_sk(entry.sk) or 0
    values = {"conversationId": conversation_id, "messageId": message_id(seq), "seq": seq, "status": "damaged"}
    return _line("message", values)


def _source_ref_of(item: MemoryOrFact) -> SourceRef:
    return item.source_ref


def _memory_line(item: MemoryOrFact) -> str:
    if isinstance(item, DatedFact):
        return _line("memory", {**present_document(to_fact_document(item))})
    return _line("memory", _with_versions({**present_memory(item)}, map(present_memory, previous_versions(item))))


def _with_versions(values: Mapping[str, object], versions: Iterable[Mapping[str, object]]) -> dict[str, object]:
    previous = list(versions)
    return {**values, **({"previousVersions": previous} if previous else {})}


def _line(kind: str, values: Mapping[str, object]) -> str:
    return dump({"type": kind, **values}) + "\n"
