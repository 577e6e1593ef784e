"""Messages between agents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from typing_extensions import TypedDict

from annals_client import wire
from annals_client.calls import Repeat, RequestSpec
from annals_client.methods import Resource, S, call
from annals_client.models import AgentMessage


class ConversationOfPair(TypedDict, total=False):
    """What the conversation of two agents gets where their first message makes it."""

    metadata: Mapping[str, Any]


class AgentMessages(Resource[S]):
    """Send messages from agent to agent."""

    @call("POST /v1/a2a/messages", AgentMessage, Repeat.WITH_KEY)
    def send(
        self,
        text: str,
        *,
        from_: str,
        to: str,
        memory_space_id: str | None = None,
        thread_id: str | None = None,
        run_id: str | None = None,
        external_id: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        conversation: ConversationOfPair | None = None,
        idempotency_key: str | None = None,
    ) -> RequestSpec:
        """Send a message. Two agents share one conversation, whoever writes first.

        ``external_id`` is an id of your own, unique in that conversation: a message that is sent again with it is
        stored once.

        Raises
        ------
        Conflict : EXTERNAL_ID_TAKEN
        ValidationFailed : DUPLICATE_VALUES for an agent that writes to itself
        """
        body = wire.body(
            from_=from_,
            to=to,
            text=text,
            memory_space_id=memory_space_id,
            thread_id=thread_id,
            run_id=run_id,
            external_id=external_id,
            metadata=metadata,
            conversation=conversation,
        )
        return RequestSpec(body=body, key=idempotency_key)
