"""Messages between agents: each pair has one conversation per memory space."""

from __future__ import annotations

from typing import Any

from annals.access.caller import Caller
from annals.conversations.create import NewConversation, append_or_create
from annals.conversations.genesis import AGENT_AGENT
from annals.conversations.models import SendBetweenAgents, SentBetweenAgents
from annals.errors import InvalidInput
from annals.ledger.idempotency import IdempotentRequest
from annals.ledger.messages import messages_of, new_message


def send(caller: Caller, said: SendBetweenAgents, request: IdempotentRequest | None) -> tuple[SentBetweenAgents, bool]:
    """Append a message to the conversation of its two agents, and say whether an earlier request did.

    Raises InvalidInput DUPLICATE_VALUES, and what ``append`` raises.
    """
    if said.from_ == said.to:
        raise InvalidInput("DUPLICATE_VALUES", "An agent cannot write to itself.", field="to")
    first, second = sorted((said.from_, said.to))
    space = {"memorySpaceId": said.memory_space_id} if said.memory_space_id else {}
    new = NewConversation(AGENT_AGENT, {"agent1": first, "agent2": second, **space}, {})
    message: dict[str, Any] = {
        "role": "assistant",
        "content": said.text,
        "from": said.from_,
        "to": said.to,
        "threadId": said.thread_id,
        "metadata": said.metadata,
    }
    record = new_message({name: value for name, value in message.items() if value is not None})
    genesis, stored = append_or_create(caller.tenant, new, caller.key_id, [record], request, said.thread_id)
    (shown,) = messages_of(stored.entry)
    return {**shown, "conversationId": genesis.conversation_id}, stored.replayed
