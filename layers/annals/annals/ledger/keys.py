"""Keys of the ledger's items. Every key begins with the tenant; an id can never reach beyond its own."""

from __future__ import annotations

from annals.database.keys import escape, partition_key, split_partition_key, unescape

MAX_SEQ = 10**12 - 1
"""The last seq that twelve digits can name."""


ENTRY_PREFIX = "E#"
"""How the sort keys of entries begin."""


def conversation_pk(tenant: str, conversation_id: str) -> str:
    """``T#<tenant>#C#<conversationId>``: the partition key of a conversation in both tables."""
    return partition_key(tenant, "C", conversation_id)


def split_conversation_pk(pk: str) -> tuple[str, str]:
    """The tenant and the conversation id of a conversation's partition key."""
    tenant, _, [conversation_id] = split_partition_key(pk)
    return tenant, conversation_id


def is_conversation_pk(pk: str) -> bool:
    """Whether a key is a conversation's."""
    parts = pk.split("#")
    return len(parts) == 4 and (parts[0], parts[2]) == ("T", "C")


def thread_key(tenant: str, conversation_id: str, thread_id: str) -> str:
    """The partition key of a thread in the index ``byThread``."""
    return f"{conversation_pk(tenant, conversation_id)}#H#{escape(thread_id)}"


def thread_of(key: str) -> str:
    """The thread id of a key of the index ``byThread``."""
    return unescape(key.rsplit("#", 1)[1])


def seq_of_sk(sk: str) -> int | None:
    """The seq at which the entry of a sort key begins, or None where the key is no entry's."""
    digits = sk.removeprefix(ENTRY_PREFIX)
    return int(digits) if sk.startswith(ENTRY_PREFIX) and len(digits) == 12 and _is_decimal(digits) else None


def is_entry_sk(sk: str) -> bool:
    """Whether a sort key is that of an entry."""
    return seq_of_sk(sk) is not None


def is_entry_key(pk: str, sk: str) -> bool:
    """Whether a key is that of an entry of a conversation."""
    return is_conversation_pk(pk) and is_entry_sk(sk)


def _is_decimal(text: str) -> bool:
    return text.isascii() and text.isdigit()


def entry_sk(seq: int) -> str:
    """The sort key of the entry whose first record is ``seq``; twelve digits, so that keys sort as numbers do."""
    return f"{ENTRY_PREFIX}{seq:012d}"
