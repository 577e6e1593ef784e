"""How the sort keys of memories and facts begin, in whichever partition they are."""

from __future__ import annotations

from annals.ledger.message_state import MESSAGE_STATE_PREFIX

MEMORY_PREFIX = MESSAGE_STATE_PREFIX


def is_memory_sk(sk: str) -> bool:
    """Whether a sort key is that of a memory, or of a fact: of what has a document in the search index."""
    return sk.startswith(MEMORY_PREFIX)
