"""Whether a caller may see an owner's documents, and whether there is such an owner."""

from __future__ import annotations

from annals.access.caller import Caller
from annals.conversations.read import get_conversation_space, require_conversation_access
from annals.conversations.receipts import find_receipt, receipt_id
from annals.documents.addresses import Owner
from annals.errors import ConversationErased, Forbidden
from annals.ledger.keys import conversation_pk


def require_owner(caller: Caller, owner: Owner) -> None:
    """Require that the owner's documents are open to a caller, and that a conversation exists whose they are.

    Raises
    ------
    Forbidden : the caller is limited to memory spaces, and the owner is neither one nor a conversation in one
    NotFound : the memory space is not open to the caller
    ConversationNotFound : there is no such conversation, or it is not open to the caller
    """
    if owner.kind == "conversation":
        require_conversation_access(caller, owner.id)
        get_conversation_space(owner.tenant, owner.id)
    elif owner.kind == "space":
        caller.require_space(owner.id)
    elif caller.spaces is not None:
        detail = "This key is limited to memory spaces: name the memorySpaceId or the conversationId of the documents."
        raise Forbidden(detail, field="memorySpaceId")


def is_erased(owner: Owner) -> bool:
    """Whether the erasure of the conversation has begun whose documents these are. Strongly consistent."""
    if owner.kind != "conversation":
        return False
    return find_receipt(owner.tenant, receipt_id(conversation_pk(owner.tenant, owner.id))) is not None


def require_not_erased(owner: Owner) -> None:
    """Raise ConversationErased where the erasure of the conversation has begun whose documents these are."""
    if is_erased(owner):
        raise ConversationErased(owner.id)
