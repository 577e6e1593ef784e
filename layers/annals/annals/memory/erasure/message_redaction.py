"""Redaction of a message: its content goes from the ledger, and with it all that was made of it.

The change of its entry reaches the stream's function, which finishes what the request had no time for.
"""

from __future__ import annotations

from collections.abc import Iterable

from annals.conversations.heads import analytics_delete
from annals.conversations.read import find_conversation_space
from annals.conversations.redaction_version import redaction_version_update
from annals.conversations.summary_store import summary_delete
from annals.errors import DamagedEntry, MessageNotFound, WriteConflict
from annals.ledger.entry import ERASED, MESSAGE, PREAMBLE
from annals.ledger.keys import conversation_pk, split_conversation_pk
from annals.ledger.message_reads import read_messages
from annals.ledger.messages import message_id, seq_of
from annals.ledger.part_deletion import delete_parts_of_message
from annals.ledger.read import walk
from annals.ledger.redact import redact
from annals.ledger.scrub import scrubbed_seqs
from annals.ledger.tail import salvage_tail
from annals.ledger.versions import versions_of
from annals.memory.facts.fact_deletion import delete_facts_of
from annals.memory.memories.memory_deletion import delete_memories_of, delete_memory_versions
from annals.memory.memories.memory_items import StoredMemory, redaction_put, split_raw_id
from annals.memory.message_drafts.ending import delete_drafts_of_message
from annals.memory.streaming.draft_table import delete_drafts
from annals.retries import tries
from annals.search.message_documents import memory_id
from annals.settings import settings


def redact_with_derived(tenant: str, conversation_id: str, message_id: str, reason: str, by: str) -> None:
    """Redact a message, and delete what was made of it: memories, facts, its conversation's summary and drafts.

    With it go all versions of the message: what it superseded, and what superseded it. It can be done again. Raises
    ConversationNotFound, and what ``ledger.redact`` raises.

    The redaction's own transaction puts tombstones in the memories' places, and a new redaction version beside the
    conversation: whoever makes something of the conversation at this moment stores it on the condition that these are
    as they were, so that nothing comes back.
    """
    seq = seq_of(message_id)
    if not seq:
        raise MessageNotFound(message_id)
    pk, space = conversation_pk(tenant, conversation_id), find_conversation_space(tenant, conversation_id) or ""
    for _ in tries(settings().append_patience_s):
        versions = versions_of(pk, seq)
        tombstones = [
            redaction_put(tenant, memory_id(conversation_id, version), space, superseded_by)
            for version, superseded_by in versions.items()
        ]
        also = [redaction_version_update(pk), *tombstones, summary_delete(pk), analytics_delete(pk)]
        if redact(tenant, conversation_id, [*versions], reason, by, also=also):
            break
    else:
        raise WriteConflict(f"message {message_id!r}")
    for version in versions:
        delete_derived(tenant, conversation_id, version)


def delete_derived(tenant: str, conversation_id: str, seq: int) -> None:
    """Delete what was made of a message that is redacted.

    Whoever reads of the redaction in the stream does it again, so that it is done even if the process that redacted the
    message dies.
    """
    delete_parts_of_message(conversation_pk(tenant, conversation_id), seq)
    delete_memory_versions(tenant, memory_id(conversation_id, seq))
    delete_memories_of(tenant, conversation_id, message_id(seq))
    delete_facts_of(tenant, conversation_id, message_id(seq))
    delete_drafts(tenant, conversation_id, seq)
    delete_drafts_of_message(tenant, conversation_id, seq)


def delete_if_source_redacted(memory: StoredMemory) -> None:
    """Delete a memory that was made of messages which are gone, and that a former version let stay."""
    if memory.conversation_id is None or split_raw_id(memory.memory_id):
        return
    pk = conversation_pk(memory.tenant, memory.conversation_id)
    tail = salvage_tail(pk)
    if tail and tail.state == ERASED:
        delete_memories_of(memory.tenant, memory.conversation_id)
    elif tail:
        for message in read_messages(pk, memory.message_ids):
            if message.get("status") == "redacted":
                delete_memories_of(memory.tenant, memory.conversation_id, message["messageId"])


def finish_redactions(pk: str, seqs: Iterable[int]) -> None:
    """Delete what was made of the messages that are redacted in the entries which begin at these seqs.

    An erased conversation is left to whoever goes on by its receipt.
    """
    tail = salvage_tail(pk)
    if tail is None or tail.state == ERASED:
        return
    tenant, conversation_id = split_conversation_pk(pk)
    for entry_seq in seqs:
        for seq in _redacted_seqs(pk, entry_seq):
            delete_derived(tenant, conversation_id, seq)


def _redacted_seqs(pk: str, entry_seq: int) -> list[int]:
    """The seqs of the messages whose words are gone in the entry that begins at this one."""
    try:
        records = [record for entry in walk(pk, first=entry_seq, last=entry_seq) for record in entry.records]
    except DamagedEntry:
        return scrubbed_seqs(pk, entry_seq)
    return [record.seq for record in records if record.body is None and record.kind in (MESSAGE, PREAMBLE)]
