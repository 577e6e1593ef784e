"""What there is of a user, and where: an erasure takes it, an export writes it, and both look it up here.

The ledger and the tables say what is theirs: the conversations of which they are the user, by the participants' list
and by what the ledger's stream noted; their own memories and documents; what they said in the conversations of others,
by the messages' ``userId``; memories, facts and documents with their id; the spaces in which they take part. The search
index adds what was stored before there were traces of it, so that ``annals rebuild people`` can come later.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain

from annals.access.caller import Caller
from annals.conversations.filters import ConversationFilter
from annals.conversations.lists import Selection, walk_matches
from annals.conversations.read import get_conversation_space
from annals.database.dynamodb import Item
from annals.documents.access import require_owner
from annals.documents.document_items import StoredDocument
from annals.documents.user_documents import find_traced_document, list_document_traces, list_own_documents
from annals.errors import ConversationNotFound, DamagedItem, Forbidden, NotFound
from annals.ledger.entry import MESSAGE, PREAMBLE, Entry, Record
from annals.ledger.keys import seq_of_sk
from annals.ledger.salvage import salvage_bodies
from annals.ledger.scrub import is_scrubbed
from annals.memory.facts.fact_items import DatedFact, is_fact_id
from annals.memory.facts.fact_reads import get_dated_fact, list_damaged_facts_of, list_facts_of
from annals.memory.index_pages import IndexPosition, walk_pages
from annals.memory.memories.memory_items import StoredMemory
from annals.memory.memories.memory_reads import get_stored_memory
from annals.memory.memories.memory_references import list_memory_ids_of
from annals.memory.memories.raw_memories import message_body
from annals.memory.user_traces import CONVERSATION, SPACE, STANDALONE, is_conversation_user, read_traces
from annals.search.documents import Document
from annals.search.protocol import Filters, Scope

PAGE = 200
"""How many documents one round trip to the index brings."""

MemoryOrFact = StoredMemory | DatedFact


@dataclass(frozen=True)
class UserData:
    """All that there is of one user, as far as a caller may see it. "They" is the user."""

    caller: Caller
    user_id: str

    @property
    def tenant(self) -> str:
        return self.caller.tenant

    def conversations(self) -> Iterator[str]:
        """The ids of the conversations of which they are the user, erased ones among them, each once."""
        seen: set[str] = set()
        for conversation_id in read_traces(self.tenant, self.user_id, CONVERSATION):
            if self._is_user_of(conversation_id) and self._may_look_into(conversation_id):
                seen.add(conversation_id)
                yield conversation_id
        for head in walk_matches(Selection(self.tenant, self.caller.spaces, ConversationFilter.of_user(self.user_id))):
            if head.genesis.conversation_id not in seen:
                yield head.genesis.conversation_id

    def conversations_of_others(self) -> Iterator[str]:
        """The ids of other conversations in which they spoke, or something was made of them."""
        for conversation_id in read_traces(self.tenant, self.user_id, CONVERSATION):
            if not self._is_user_of(conversation_id) and self._may_look_into(conversation_id):
                yield conversation_id

    def records_in(self, entry: Entry) -> list[Record]:
        """What they said in an entry, but for what was redacted."""
        kinds = (MESSAGE, PREAMBLE)
        return [
            record
            for record in entry.records
            if record.kind in kinds and message_body(record).get("userId") == self.user_id
        ]

    def possible_seqs(self, item: Item) -> list[int]:
        """The seqs of what they said in an item of the ledger, or of what nobody can tell any more who said it."""
        first = seq_of_sk(item["sk"]["S"])
        if first is None or is_scrubbed(item):
            return []
        return [
            first + index
            for index, body in enumerate(salvage_bodies(item))
            if body is None or (body.get("userId") == self.user_id and body.get("status") != "redacted")
        ]

    def memories_made_in(self, conversation_id: str) -> Iterator[MemoryOrFact]:
        """The facts and memories of theirs that were made of another one's conversation, and can be read."""
        yield from (fact for fact in list_facts_of(self.tenant, conversation_id) if self._is_theirs(fact))
        for memory_id in list_memory_ids_of(self.tenant, conversation_id):
            with suppress(DamagedItem):
                if memory := self.find_memory_or_fact(memory_id):
                    yield memory

    def damaged_ids_in(self, conversation_id: str) -> Iterator[str]:
        """The ids of what was made of a conversation and cannot be read, so that nobody can tell whose it is."""
        yield from list_damaged_facts_of(self.tenant, conversation_id)
        for memory_id in list_memory_ids_of(self.tenant, conversation_id):
            try:
                self.find_memory_or_fact(memory_id)
            except DamagedItem:
                yield memory_id

    def standalone_ids(self) -> Iterator[str]:
        """The ids of memories and facts that belong to no conversation; some may be gone."""
        return read_traces(self.tenant, self.user_id, STANDALONE)

    def spaces(self) -> Iterator[str]:
        """The ids of the spaces in which they may take part."""
        return (name for name in read_traces(self.tenant, self.user_id, SPACE) if self.caller.may_see(name))

    def own_documents(self) -> Iterator[StoredDocument]:
        """The documents that they own; a caller who is limited to memory spaces sees none."""
        return list_own_documents(self.tenant, self.user_id) if self.caller.spaces is None else iter(())

    def document_traces(self) -> Iterator[str]:
        """The names of what leads to documents of other owners that are their data; some may be gone."""
        return list_document_traces(self.tenant, self.user_id)

    def find_traced_document(self, name: str) -> StoredDocument | None:
        """The document to which a trace leads, if it is there, theirs, and open to the caller. Raises DamagedItem."""
        document = find_traced_document(self.tenant, self.user_id, name)
        with suppress(NotFound, Forbidden):
            if document:
                require_owner(self.caller, document.address.owner)
                return document
        return None

    def documents(self, after: IndexPosition | None = None) -> Iterator[Document]:
        """What the search index has of them, archived and superseded too. Raises SearchUnavailable."""
        filters = Filters(user_id=self.user_id, status=None)
        scope = Scope(tenant=self.tenant, spaces=self.caller.spaces, filters=filters)
        return chain.from_iterable(walk_pages(scope, PAGE, after))

    def find_memory_or_fact(self, memory_id: str) -> MemoryOrFact | None:
        """The memory or fact of an id as the tables hold it, if it is theirs; None for what is not, or is gone.

        Raises DamagedItem.
        """
        try:
            get = get_dated_fact if is_fact_id(memory_id) else get_stored_memory
            item = get(self.tenant, memory_id)
        except NotFound:
            return None
        return item if self._is_theirs(item) else None

    def _is_theirs(self, item: MemoryOrFact) -> bool:
        stored = item.fact if isinstance(item, DatedFact) else item
        return stored.user_id == self.user_id and self.caller.may_see(stored.memory_space_id)

    def _is_user_of(self, conversation_id: str) -> bool:
        return is_conversation_user(self.tenant, self.user_id, conversation_id)

    def _may_look_into(self, conversation_id: str) -> bool:
        try:
            return (
                self.caller.spaces is None or get_conversation_space(self.tenant, conversation_id) in self.caller.spaces
            )
        except (ConversationNotFound, DamagedItem):
            return False


def memory_id_of(item: MemoryOrFact) -> str:
    """The id of a memory or a fact."""
    return item.fact.fact_id if isinstance(item, DatedFact) else item.memory_id
