"""Appending for a caller: to a conversation that is there, or to one that is made on the way, with what is appended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from annals.access.caller import Caller
from annals.conversations.create import NewConversation, create_if_missing, create_with_messages_if_missing
from annals.conversations.genesis import AGENT_AGENT, Genesis, find_genesis, get_genesis
from annals.conversations.read import get_tail, require_conversation_access
from annals.errors import ConversationNotFound, MemorySpaceMismatch, ParticipantMismatch
from annals.ledger.append import AppendResult, NewRecord
from annals.ledger.idempotency import IdempotentRequest
from annals.ledger.message_append import append_messages

WITHIN = "conversation.participants."
"""Where a request to append names the participants of its conversation."""


def append_for(
    caller: Caller,
    conversation_id: str,
    records: Sequence[NewRecord],
    *,
    new: NewConversation | None = None,
    expected_seq: int | None = None,
    request: IdempotentRequest | None = None,
    thread_id: str | None = None,
    also: Sequence[Mapping[str, Any]] = (),
) -> AppendResult:
    """Append messages to a conversation that is open to a caller; a missing one is made with them, or not at all.

    Parameters
    ----------
    new : the conversation that is made if it is missing, of this id; without it, it must exist. One that exists must
        have fitting participants, and keeps its metadata
    also : more writes for the entry's transaction, where the conversation exists

    Raises
    ------
    ConversationNotFound : it is missing, or in a memory space that is not open to the caller
    NotFound : the new one's memory space is not open to the caller
    SessionAlreadyExists : another conversation is the session that the new one would be
    MemorySpaceMismatch, ParticipantMismatch : the one that exists is another one's
    and what ``append_messages`` raises
    """
    if new is None:
        require_conversation_access(caller, conversation_id)
    else:
        caller.require_space(new.participants.get("memorySpaceId"))
        # A conversation that is missing is at no seq but the one at which it begins.
        begins = expected_seq in (None, 0) and all(record.supersedes is None for record in records)
        if begins and (
            created := create_with_messages_if_missing(caller.tenant, new, caller.key_id, records, request, thread_id)
        ):
            return created[1]
        if genesis := find_genesis(caller.tenant, conversation_id):
            require_fitting(caller, genesis, new)
    return append_messages(
        caller.tenant,
        conversation_id,
        records,
        expected_seq=expected_seq,
        request=request,
        thread_id=thread_id,
        also=also,
    )


def require_or_create(caller: Caller, conversation_id: str, new: NewConversation | None) -> None:
    """Require a conversation that is open to a caller; a missing one is made, where a new one is given.

    Raises what ``append_for`` raises of conversations, but for those that are missing, and those that are erased.
    """
    if new is None:
        require_conversation_access(caller, conversation_id)
        return
    caller.require_space(new.participants.get("memorySpaceId"))
    if create_if_missing(caller.tenant, new, caller.key_id) is None:
        require_fitting(caller, get_genesis(caller.tenant, conversation_id), new)


def require_fitting(caller: Caller, genesis: Genesis, new: NewConversation, within: str = WITHIN) -> None:
    """Refuse a conversation that exists where a request would have made another one of its id.

    Raises ConversationNotFound, ConversationErased, MemorySpaceMismatch, ParticipantMismatch, whose field is within
    ``within``, but for that of another session.
    """
    require_same_space(caller, genesis, new.participants.get("memorySpaceId"), within)
    if genesis.type == new.type == AGENT_AGENT:
        if set(genesis.members) != {new.participants["agent1"], new.participants["agent2"]}:
            raise mismatch(genesis, f"{within}agents")
    elif genesis.type != new.type:
        raise mismatch(genesis, within.removesuffix("."))
    else:
        require_participants(genesis, new.participants.get("userId"), new.participants.get("agentId"), within)
    if new.session_id is not None and genesis.session_id != new.session_id:
        raise mismatch(genesis, "conversation.sessionId")


def require_same_space(caller: Caller, genesis: Genesis, memory_space_id: str | None, within: str = "") -> None:
    """Raise ConversationNotFound for a conversation that the caller may not see, MemorySpaceMismatch in another space.

    Raises ConversationErased, too, where a mismatch would speak of what is gone.
    """
    if not caller.may_see(genesis.memory_space_id):
        raise ConversationNotFound(genesis.conversation_id)
    if genesis.memory_space_id != memory_space_id:
        get_tail(genesis.tenant, genesis.conversation_id)
        raise MemorySpaceMismatch(genesis.conversation_id, f"{within}memorySpaceId")


def require_participants(genesis: Genesis, user_id: str | None, agent_id: str | None, within: str = "") -> None:
    """Raise ParticipantMismatch where a conversation has another user or agent than these; None fits any.

    Raises ConversationErased, too, as ``require_same_space`` does.
    """
    for name, expected in (("userId", user_id), ("agentId", agent_id)):
        if expected is not None and genesis.participants.get(name, expected) != expected:
            raise mismatch(genesis, f"{within}{name}")


def mismatch(genesis: Genesis, field: str) -> ParticipantMismatch:
    """The refusal of a conversation of others. Raises ConversationErased for one that is gone."""
    get_tail(genesis.tenant, genesis.conversation_id)
    return ParticipantMismatch(genesis.conversation_id, field)
