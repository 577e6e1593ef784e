"""All that there is of a person as JSON lines: what an erasure would take, as far as the caller may see it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from annals.access.caller import Caller
from annals.conversations.formats import FORMATS
from annals.conversations.snapshot import snapshot
from annals.conversations.summary_store import find_summary, present_summary
from annals.database.dynamodb import Item
from annals.database.state import read_partition
from annals.errors import ConversationErased, ConversationNotFound, DamagedEntry, DamagedItem
from annals.json_text import dump
from annals.ledger.entry import ERASED
from annals.ledger.keys import MAX_SEQ, conversation_pk, seq_of_sk
from annals.ledger.messages import message_id, present_message
from annals.ledger.read import walk_all
from annals.ledger.tail import salvage_tail
from annals.memory.facts.fact_documents import to_fact_document
from annals.memory.facts.fact_items import DatedFact
from annals.memory.facts.fact_reads import list_facts_of
from annals.memory.keys import MEMORY_PREFIX
from annals.memory.memories.memory_items import (
    DELETED,
    StoredMemory,
    from_memory_item,
    read_changed_items,
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


def export_person(caller: Caller, user_id: str) -> Iterator[str]:
    """The lines of a file of all that there is of a person. What fails at once is raised by the first of them."""
    person = UserData(caller, user_id)
    documents = person.documents()
    first = next(documents, None)
    yield _line("person", {"userId": user_id})
    yield from _Lines(person).lines(documents if first is None else _chained(first, documents))


def _chained(first: Document, others: Iterator[Document]) -> Iterator[Document]:
    yield first
    yield from others


@dataclass(frozen=True)
class _Lines:
    """The lines of one person."""

    person: UserData

    def lines(self, documents: Iterable[Document]) -> Iterator[str]:
        """All lines behind the first, with what only the search index leads to."""
        own: set[str] = set()
        for conversation_id in self.person.conversations():
            own.add(conversation_id)
            yield from self._own_conversation(conversation_id)
        yield from self._own_memories()
        others, singles = dict.fromkeys(self.person.conversations_of_others()), dict.fromkeys(self.person.singles())
        for document in documents:
            if raw := split_raw_id(document.memory_id):
                others.setdefault(raw[0])
            elif not split_user_memory_id(document.memory_id) and document.conversation_id not in {*own, *others}:
                singles.setdefault(document.memory_id)
        for conversation_id in others:
            if conversation_id not in own:
                yield from self._conversation_of_others(conversation_id)
        for single in singles:
            yield from _naming({"memoryId": single}, self._single(single))
        for space in self.person.spaces():
            yield from _naming({"memorySpaceId": space}, self._space(space))

    def _single(self, name: str) -> Iterator[str]:
        if thing := self.person.thing(name):
            yield from self._made([thing])

    def _space(self, space: str) -> Iterator[str]:
        if found := find_participant(self.person.tenant, space, self.person.user_id):
            yield _line("space", {"memorySpaceId": space, "participant": found})

    def _own_conversation(self, conversation_id: str) -> Iterator[str]:
        """A conversation of theirs, and all that was made of it."""
        tenant, pk = self.person.tenant, conversation_pk(self.person.tenant, conversation_id)
        named = {"conversationId": conversation_id}
        try:
            yield from _naming(named, self._words(conversation_id))
        except (ConversationErased, ConversationNotFound):
            return
        yield from self._summary(conversation_id)
        yield from self._changed(conversation_id, read_changed_items(pk, 1, MAX_SEQ))
        yield from self._made(list_facts_of(tenant, conversation_id))
        yield from self._made(list_memories_of(tenant, conversation_id))
        yield from self._damaged_in(conversation_id)

    def _words(self, conversation_id: str) -> Iterator[str]:
        found = snapshot(self.person.tenant, conversation_id, with_damage=True)
        yield from FORMATS["jsonl"].write(found)

    def _summary(self, conversation_id: str) -> Iterator[str]:
        if summary := find_summary(conversation_pk(self.person.tenant, conversation_id)):
            yield _line("summary", {"conversationId": conversation_id, **present_summary(summary)})

    def _damaged_in(self, conversation_id: str) -> Iterator[str]:
        """What was made of a conversation and cannot be read."""
        named = {"conversationId": conversation_id}
        return (_line("damaged", {**named, "memoryId": each}) for each in self.person.damaged_ids_in(conversation_id))

    def _own_memories(self) -> Iterator[str]:
        pk = user_memories_pk(self.person.tenant, self.person.user_id)
        for item in read_partition(pk, MEMORY_PREFIX):
            named = {"memoryId": split_memory_key(pk, item["sk"]["S"])[1]}
            yield from _naming(named, self._own_memory(item))

    def _own_memory(self, item: Item) -> Iterator[str]:
        memory = from_memory_item(item)
        if memory.status != DELETED and self.person.caller.may_see(memory.memory_space_id):
            before = [present_user_memory(each) for each in _versions_before(memory)]
            shown = {**present_user_memory(memory), "status": memory.status}
            yield _line("userMemory", {**shown, **({"previousVersions": before} if before else {})})

    def _conversation_of_others(self, conversation_id: str) -> Iterator[str]:
        """What they said in another one's conversation, and what was made of them there."""
        pk = conversation_pk(self.person.tenant, conversation_id)
        tail = salvage_tail(pk)
        if tail is None or tail.state == ERASED:
            return
        theirs: set[int] = set()
        for entry in walk_all(pk, first=1):
            if isinstance(entry, DamagedEntry):
                seq = seq_of_sk(entry.sk) or 0
                place = {"conversationId": conversation_id, "messageId": message_id(seq), "seq": seq}
                yield _line("message", {**place, "status": "damaged"})
                continue
            for record in self.person.said_in(entry):
                theirs.add(record.seq)
                yield _line(
                    "message", {"conversationId": conversation_id, **present_message(record, entry, tail.archived)}
                )
        changed = read_changed_items(pk, 1, MAX_SEQ)
        yield from self._changed(conversation_id, (item for item in changed if int(item["sk"]["S"][2:]) in theirs))
        yield from self._made(self.person.memories_made_in(conversation_id))
        yield from self._damaged_in(conversation_id)

    def _made(self, things: Iterable[MemoryOrFact]) -> Iterator[str]:
        """What was made of words that are still there."""
        return map(_thing, with_existing_sources(self.person.tenant, list(things), _ref_of))

    def _changed(self, conversation_id: str, items: Iterable[Item]) -> Iterator[str]:
        """Messages that say something else as memories."""
        for item in items:
            named = {"memoryId": memory_id(conversation_id, int(item["sk"]["S"][2:]))}
            yield from _naming(
                named, (_thing(each) for each in map(from_memory_item, [item]) if each.status != DELETED)
            )


def _naming(named: Mapping[str, object], lines: Iterator[str]) -> Iterator[str]:
    """Lines, and in the place of what cannot be read one that names it."""
    try:
        yield from lines
    except DamagedItem as damaged:
        yield _line("damaged", {**named, "reason": damaged.reason})


def _versions_before(memory: StoredMemory) -> list[StoredMemory]:
    return previous_versions(memory)


def _ref_of(thing: MemoryOrFact) -> SourceRef:
    made = thing.fact if isinstance(thing, DatedFact) else thing
    return made.conversation_id, made.message_ids


def _thing(thing: MemoryOrFact) -> str:
    if isinstance(thing, DatedFact):
        return _line("memory", {**present_document(to_fact_document(thing))})
    before = [present_memory(each) for each in _versions_before(thing)]
    return _line("memory", {**present_memory(thing), **({"previousVersions": before} if before else {})})


def _line(kind: str, values: dict[str, object]) -> str:
    return dump({"type": kind, **values}) + "\n"
