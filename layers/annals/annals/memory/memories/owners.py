"""To whom belongs what is remembered: a user, or nobody.

A message belongs to the user of its conversation, whoever spoke it (``search.message_documents.message_owners``). A
memory or a fact belongs to the user whom it names, and one that names none to whom the messages belong that it comes
from.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from annals.conversations.genesis import Genesis, get_genesis
from annals.conversations.read import get_tail
from annals.errors import ConversationErased, ConversationNotFound, DamagedEntry
from annals.ledger.keys import conversation_pk
from annals.ledger.messages import seq_of
from annals.ledger.read import read_readable_records
from annals.memory.memories.raw_memories import seq_ranges, to_source_messages
from annals.search.documents import NOBODY, SOMEBODY, user_owner
from annals.search.message_documents import MAX_ANSWER_DISTANCE, message_owners


def owner_of(tenant: str, user_id: str | None, conversation_id: str | None, message_ids: Sequence[str]) -> str:
    """To whom a memory or a fact belongs that names a user, or messages, or neither."""
    if user_id is not None:
        return user_owner(user_id)
    if conversation_id is None:
        return NOBODY
    try:
        get_tail(tenant, conversation_id)
        genesis = get_genesis(tenant, conversation_id)
    except (ConversationErased, ConversationNotFound, DamagedEntry):
        return SOMEBODY
    if genesis.user_id is not None:
        return user_owner(genesis.user_id)
    seqs = {seq for each in message_ids if (seq := seq_of(each)) is not None}
    message_owners = set(owners_of(genesis, seqs).values()) - {NOBODY}
    if not message_owners:
        return NOBODY
    return message_owners.pop() if len(message_owners) == 1 else SOMEBODY


def owners_of(genesis: Genesis, seqs: Collection[int]) -> dict[int, str]:
    """To whom messages of a conversation belong, by their seqs; those that are not there are left out."""
    if genesis.user_id is not None:
        return dict.fromkeys(seqs, user_owner(genesis.user_id))
    pk = conversation_pk(genesis.tenant, genesis.conversation_id)
    by_seq: dict[int, str] = {}
    for first, last in seq_ranges(sorted(seqs), MAX_ANSWER_DISTANCE):
        entries = read_readable_records(pk, max(1, first - MAX_ANSWER_DISTANCE), last)
        by_seq |= message_owners(None, [turn for entry in entries for turn in to_source_messages(entry)])
    return {seq: owner for seq, owner in by_seq.items() if seq in seqs}
