"""Projections: what the search index has to hold, derived from what the tables hold now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from annals.conversations.genesis import get_genesis
from annals.errors import ConversationNotFound, DamagedEntry
from annals.ledger.entry import ERASED, REWIND, Entry
from annals.ledger.keys import is_conversation_pk, split_conversation_pk
from annals.ledger.message_state import walk_superseded
from annals.ledger.read import read_readable_records
from annals.ledger.rewound import Rewound, taken_back
from annals.ledger.tail import read_tail, salvage_tail
from annals.ledger.versions import is_rewound, is_rewound_at
from annals.memory.facts.fact_documents import to_fact_document
from annals.memory.facts.fact_items import (
    DatedFact,
    find_affected_facts,
    find_fact_key,
    has_fact,
    is_facts_pk,
    split_fact_key,
)
from annals.memory.keys import MEMORY_PREFIX
from annals.memory.memories.memory_items import (
    DELETED,
    Address,
    StoredMemory,
    find_memory_item,
    read_changed_memories,
    split_memory_key,
)
from annals.memory.memories.owners import owner_of
from annals.memory.memories.raw_memories import to_source_conversation, to_source_messages
from annals.packed_vectors import unpack
from annals.search.documents import Document, Vector
from annals.search.message_documents import (
    MAX_ANSWER_DISTANCE,
    WINDOW_MESSAGES,
    SourceMessage,
    memory_id,
    to_message_documents,
)

LOOK_BACK = 4 * WINDOW_MESSAGES
"""How many records around a message are read for windows: some of them may be no messages.

In a conversation without a user more are read, to tell whom a message answers.
"""


@dataclass(frozen=True, kw_only=True)
class IndexProjection:
    """What an index has to hold of a part of the tables.

    Parameters
    ----------
    documents : what it has to hold
    gone : the memory ids of which it has to hold nothing
    erased : the conversation of which it has to hold nothing
    """

    tenant: str
    documents: tuple[Document, ...] = ()
    gone: frozenset[str] = frozenset()
    erased: str | None = None


def project_entries(pk: str, first: int, last: int, *, with_following: bool = True) -> IndexProjection:
    """What follows from a conversation's entries that begin at seq ``first`` to ``last``.

    ``with_following``: where one of their messages was redacted, also from the messages after them, whose windows held
    its words. Entries that cannot be read are left out; of a conversation whose first or last one is damaged, all are.
    """
    tenant, conversation_id = split_conversation_pk(pk)
    try:
        return _project_entries(pk, first, last, with_following=with_following)
    except DamagedEntry:
        if (tail := salvage_tail(pk)) and tail.state == ERASED:
            return IndexProjection(tenant=tenant, erased=conversation_id)
        # It is reported. Whose words these are, and whether they are erased, nobody can tell: the index stays as it is.
        return IndexProjection(tenant=tenant)


def _project_entries(pk: str, first: int, last: int, *, with_following: bool) -> IndexProjection:
    tenant, conversation_id = split_conversation_pk(pk)
    reach = _reach(tenant, conversation_id)
    start = max(1, first - reach)
    entries, changed = _read(pk, start, last)
    messages = _source_messages(entries, changed)
    if with_following and any(message.redacted and message.seq >= first for message in messages):
        entries, changed = _read(pk, start, last + reach)
        messages = _source_messages(entries, changed)
    if not entries:
        return IndexProjection(tenant=tenant)
    tail = read_tail(pk)
    if entries[-1].state == ERASED or (tail is not None and tail.state == ERASED):
        # It is gone before all its entries are scrubbed.
        seqs = (record.seq for entry in entries for record in entry.records)
        gone = frozenset(memory_id(conversation_id, seq) for seq in seqs)
        return IndexProjection(tenant=tenant, gone=gone, erased=conversation_id)
    if tail is None or not tail.rewind:
        return _project_messages(tenant, conversation_id, messages, changed, first)
    rewound = Rewound.at(pk, tail)
    hidden = {record.seq for entry in entries for record in entry.records if is_rewound(rewound, pk, record)}
    left = [message for message in messages if message.seq not in hidden]
    projection = _project_messages(tenant, conversation_id, left, changed, first)
    return _with_rewinds(_with_gone(projection, conversation_id, hidden), pk, rewound, entries, first)


def _with_rewinds(
    projection: IndexProjection, pk: str, rewound: Rewound, entries: Iterable[Entry], first: int
) -> IndexProjection:
    """The same with what follows from the rewinds among some entries, from seq ``first`` on.

    All that they take back is gone, but for later versions of messages that stay; what these hold of the messages
    before them is another thing now.
    """
    rewinds = [record for entry in entries for record in entry.records if record.kind == REWIND and record.seq >= first]
    seqs = {seq for record in rewinds for seq in taken_back(record)}
    if not seqs:
        return projection
    kept = {later for _, later in walk_superseded(pk) if later in seqs and not is_rewound_at(rewound, pk, later)}
    projection = _with_gone(projection, split_conversation_pk(pk)[1], seqs - kept)
    for seq in sorted(kept):
        anew = _project_entries(pk, seq, seq, with_following=False)
        projection = replace(projection, documents=(*projection.documents, *anew.documents))
    return projection


def _with_gone(projection: IndexProjection, conversation_id: str, seqs: Iterable[int]) -> IndexProjection:
    return replace(projection, gone=projection.gone | {memory_id(conversation_id, seq) for seq in seqs})


def _reach(tenant: str, conversation_id: str) -> int:
    """How many records before and after a message its document may depend on."""
    try:
        has_user = get_genesis(tenant, conversation_id).user_id is not None
    except ConversationNotFound:
        has_user = True
    return LOOK_BACK if has_user else MAX_ANSWER_DISTANCE


def _read(pk: str, first: int, last: int) -> tuple[list[Entry], dict[int, StoredMemory]]:
    """The entries that hold the records ``first`` to ``last``, and which of all their messages were changed."""
    entries = read_readable_records(pk, first, last)
    last_seq = entries[-1].last_seq if entries else 0
    return entries, read_changed_memories(pk, first, last_seq) if first <= last_seq else {}


def project_item(pk: str, sk: str) -> IndexProjection:
    """What follows from an item of the state table whose sort key begins with ``M#``: a memory or a fact."""
    if is_facts_pk(pk):
        return _project_lineage(pk, sk)
    if is_conversation_pk(pk):
        seq = int(sk.removeprefix(MEMORY_PREFIX))
        return project_entries(pk, seq, seq)
    return project_memory(*split_memory_key(pk, sk))


def project_memory(tenant: str, memory_id: str) -> IndexProjection:
    """What follows from an explicit memory, or from a user's, as it is stored now."""
    memory = find_memory_item(Address.of(tenant, memory_id).current)
    if memory is None or memory.status == DELETED:
        return IndexProjection(tenant=tenant, gone=frozenset({memory_id}))
    return IndexProjection(tenant=tenant, documents=(_memory_document(memory),))


def project_fact(tenant: str, fact_id: str) -> IndexProjection:
    """What follows from the fact of an id, and from the one before it."""
    key = find_fact_key(tenant, fact_id)
    return _project_lineage(*key) if key else IndexProjection(tenant=tenant, gone=frozenset({fact_id}))


def _project_lineage(pk: str, sk: str) -> IndexProjection:
    """What follows from a fact as it is stored now, and from the one before it, which holds until this one begins."""
    tenant, fact_id = split_fact_key(pk, sk)
    facts = find_affected_facts(pk, sk)
    # A fact that is there and cannot be read stays in the index as it was, so that it can be found and deleted.
    gone: frozenset[str] = frozenset() if has_fact(pk, sk) else frozenset({fact_id})
    return IndexProjection(tenant=tenant, documents=tuple(map(_fact_document, facts)), gone=gone)


def _project_messages(
    tenant: str, conversation_id: str, messages: list[SourceMessage], changed: Mapping[int, StoredMemory], first: int
) -> IndexProjection:
    """What follows from the messages from seq ``first`` on, without those that were redacted."""
    try:
        conversation = to_source_conversation(get_genesis(tenant, conversation_id))
    except ConversationNotFound:
        return IndexProjection(tenant=tenant)
    return IndexProjection(
        tenant=tenant,
        documents=tuple(
            _with_changes(document, changed.get(document.seq or 0))
            for document in to_message_documents(conversation, messages, first_seq=first)
        ),
        gone=frozenset(memory_id(conversation_id, message.seq) for message in messages if message.redacted),
    )


def _source_messages(entries: Iterable[Entry], changed: Mapping[int, StoredMemory]) -> list[SourceMessage]:
    """The messages of some entries; one that was deleted as a memory is searched no more than one that was redacted."""
    deleted = {seq for seq, memory in changed.items() if memory.status == DELETED}
    messages = (message for entry in entries for message in to_source_messages(entry))
    return [replace(message, redacted=True) if message.seq in deleted else message for message in messages]


def _with_changes(document: Document, memory: StoredMemory | None) -> Document:
    """A message's document with the changes of its memory; its window stays as the messages are."""
    if memory is None:
        return document
    return replace(
        document,
        content=memory.content,
        importance=memory.importance,
        tags=memory.tags,
        metadata=memory.metadata,
        message_ids=memory.message_ids,
        version=memory.version,
        status=memory.status,
        updated_at=memory.updated_at,
        given_vector=_given_vector(memory),
    )


def _fact_document(dated_fact: DatedFact) -> Document:
    fact = dated_fact.fact
    return to_fact_document(dated_fact, owner_of(fact.tenant, fact.user_id, fact.conversation_id, fact.message_ids))


def _memory_document(memory: StoredMemory) -> Document:
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
        owner=owner_of(memory.tenant, memory.user_id, memory.conversation_id, memory.message_ids),
        importance=memory.importance,
        tags=memory.tags,
        metadata=memory.metadata,
        conversation_id=memory.conversation_id,
        message_ids=memory.message_ids,
        version=memory.version,
        at=memory.created_at,
        updated_at=memory.updated_at,
        external_id=memory.external_id,
        status=memory.status,
        given_vector=_given_vector(memory),
    )


def _given_vector(memory: StoredMemory) -> Vector | None:
    return unpack(memory.embedding) if memory.embedding else None
