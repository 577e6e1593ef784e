"""Reading a conversation: whether a caller may see it, its tail, its memory space, and its head as of now."""

from __future__ import annotations

from dataclasses import dataclass, replace

from annals.access.caller import Caller
from annals.conversations.genesis import get_genesis
from annals.conversations.heads import Head, find_stored_head, head_fields_at, initial_head
from annals.conversations.receipts import find_receipt, receipt_id
from annals.errors import ConversationErased, ConversationNotFound, DamagedEntry, DamagedItem
from annals.ledger.entry import ERASED, Tail
from annals.ledger.keys import conversation_pk
from annals.ledger.tail import find_last_message, read_tail


def get_tail(tenant: str, conversation_id: str) -> Tail:
    """The tail of a conversation that can be read. Raises ConversationNotFound or ConversationErased."""
    tail = read_tail(conversation_pk(tenant, conversation_id))
    if tail is None:
        raise ConversationNotFound(conversation_id)
    if tail.state == ERASED:
        raise ConversationErased(conversation_id)
    return tail


@dataclass(frozen=True)
class OpenConversation:
    """A conversation that a caller may see and that can be read: its partition key, and the tail of its ledger."""

    pk: str
    tail: Tail


def open_conversation(caller: Caller, conversation_id: str) -> OpenConversation:
    """A conversation for a caller to read. Raises ConversationNotFound or ConversationErased."""
    require_conversation_access(caller, conversation_id)
    tail = get_tail(caller.tenant, conversation_id)
    return OpenConversation(conversation_pk(caller.tenant, conversation_id), tail)


def require_conversation_access(caller: Caller, conversation_id: str) -> None:
    """Raise ConversationNotFound unless the conversation is in a memory space that is open to the caller.

    It may be erased. Nothing is read for a caller to whom all spaces are open.
    """
    if caller.spaces is not None and not caller.may_see(get_conversation_space(caller.tenant, conversation_id)):
        raise ConversationNotFound(conversation_id)


def get_conversation_space(tenant: str, conversation_id: str) -> str | None:
    """The memory space that a conversation is in; of an erased one only its receipt still knows.

    Of one whose genesis cannot be read, its head knows it. Raises ConversationNotFound, DamagedItem.
    """
    try:
        return get_genesis(tenant, conversation_id).memory_space_id
    except (ConversationNotFound, DamagedEntry):
        pk = conversation_pk(tenant, conversation_id)
        if receipt := find_receipt(tenant, receipt_id(pk)):
            return receipt.space
        if (head := find_stored_head(pk)) is None:
            raise
        return head.genesis.memory_space_id


def find_conversation_space(tenant: str, conversation_id: str) -> str | None:
    """The same, or None where nothing that can be read says it."""
    try:
        return get_conversation_space(tenant, conversation_id)
    except (ConversationNotFound, DamagedItem):
        return None


def get_head(tenant: str, conversation_id: str) -> Head:
    """A conversation as it is now. Raises ConversationNotFound or ConversationErased."""
    return get_head_at(tenant, conversation_id, get_tail(tenant, conversation_id))


def get_head_at(tenant: str, conversation_id: str, tail: Tail) -> Head:
    """A conversation as it is at a tail. Raises ConversationNotFound."""
    pk = conversation_pk(tenant, conversation_id)
    head = find_stored_head(pk) or initial_head(get_genesis(tenant, conversation_id), tail)
    return replace(
        head,
        **head_fields_at(tail, find_last_message(pk, tail)),
    )
