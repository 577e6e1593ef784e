"""Withdrawing a message: its content goes from the ledger, and with it all that was made of it."""

from __future__ import annotations

from annals.conversations.summaries import summary_delete
from annals.ledger.keys import conversation_pk
from annals.ledger.messages import seq_of
from annals.ledger.redact import redact
from annals.memory.facts.store import forget_facts_of
from annals.memory.memories import forget_memory
from annals.memory.streaming.draft_table import forget_drafts
from annals.search.turns import memory_id


def withdraw(tenant: str, conversation_id: str, message_id: str, reason: str, by: str) -> None:
    """Redact a message, and forget its memory, its facts, its conversation's summary and drafts. It can be done again.

    Raises what ``ledger.redact`` raises.
    """
    pk = conversation_pk(tenant, conversation_id)
    redact(tenant, conversation_id, message_id, reason, by, also=[summary_delete(pk)])
    forget_memory(tenant, memory_id(conversation_id, seq_of(message_id) or 0))
    forget_facts_of(tenant, conversation_id, message_id)
    forget_drafts(tenant, conversation_id)
