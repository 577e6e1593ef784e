"""Keys of the ledger's items. Every key begins with the tenant; an id can never reach beyond its own."""

from __future__ import annotations

MAX_SEQ = 10**12 - 1
"""The last seq that twelve digits can name."""


def escape(part: str) -> str:
    """Make an id safe inside a key: ``#`` separates the parts of a key, so it may not occur in one."""
    return part.replace("%", "%25").replace("#", "%23")


def unescape(part: str) -> str:
    return part.replace("%23", "#").replace("%25", "%")


def conversation_pk(tenant: str, conversation_id: str) -> str:
    """``T#<tenant>#C#<conversationId>``: the partition key of a conversation in both tables."""
    return f"T#{escape(tenant)}#C#{escape(conversation_id)}"


def split_conversation_pk(pk: str) -> tuple[str, str]:
    """The tenant and the conversation id of a conversation's partition key."""
    _, tenant, _, conversation_id = pk.split("#")
    return unescape(tenant), unescape(conversation_id)


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
    digits = sk.removeprefix("E#")
    return int(digits) if sk.startswith("E#") and len(digits) == 12 and _is_decimal(digits) else None


def _is_decimal(text: str) -> bool:
    return text.isascii() and text.isdigit()


def entry_sk(seq: int) -> str:
    """The sort key of the entry whose first record is ``seq``; twelve digits, so that keys sort as numbers do."""
    return f"E#{seq:012d}"
