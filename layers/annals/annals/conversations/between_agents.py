"""Messages between agents: each pair has one conversation per memory space."""

from __future__ import annotations

from typing import Any

from annals.access.caller import Caller
from annals.conversations.create import NewConversation, append_or_create
from annals.conversations.genesis import AGENT_AGENT
from annals.conversations.models import SendBetweenAgents, SentBetweenAgents
from annals.errors import InvalidInput
from annals.ledger.external_ids import EXTERNAL_ID
from annals.ledger.idempotency import IdempotentRequest
from annals.ledger.messages import appended_messages, new_message


def send(caller: Caller, body: SendBetweenAgents, request: IdempotentRequest | None) -> tuple[SentBetweenAgents, bool]:
    """Append a message to the conversation of its two agents; also whether an earlier try of the request did.

    Raises InvalidInput DUPLICATE_VALUES, and what ``append`` raises.
    """
    if body.from_ == body.to:
        raise InvalidInput("DUPLICATE_VALUES", "An agent cannot write to itself.", field="to")
    first, second = sorted((body.from_, body.to))
    space = {"memorySpaceId": body.memory_space_id} if body.memory_space_id else {}
    new = NewConversation(AGENT_AGENT, {"agent1": first, "agent2": second, **space}, body.conversation.metadata)
    fields: dict[str, Any] = {
        "role": "assistant",
        "content": body.text,
        "from": body.from_,
        "to": body.to,
        "threadId": body.thread_id,
        "runId": body.run_id,
        EXTERNAL_ID: body.external_id,
        "metadata": body.metadata,
    }
    record = new_message({name: value for name, value in fields.items() if value is not None})
    genesis, stored = append_or_create(caller.tenant, new, caller.key_id, [record], request, body.thread_id)
    (message,) = appended_messages(stored)
    return {**message, "conversationId": genesis.conversation_id}, stored.replayed
