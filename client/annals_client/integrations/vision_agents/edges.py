"""How an edge of Vision Agents comes by conversations that are kept."""

from __future__ import annotations

import logging
from typing import Any, TypeVar

from annals_client.client import Annals, AsyncAnnals
from annals_client.integrations.support import Clients, framework
from annals_client.integrations.vision_agents.conversation import (
    DRAFT_INTERVAL_S,
    HISTORY,
    AnnalsConversation,
    NotStored,
)

with framework("vision-agents"):
    from vision_agents.core.edge.call import Call
    from vision_agents.core.edge.edge_transport import EdgeTransport
    from vision_agents.core.edge.types import User

E = TypeVar("E", bound=EdgeTransport[Any])

logger = logging.getLogger(__name__)


class CallConversation(AnnalsConversation):
    """The conversation of an agent's call, which ends when the agent leaves it."""

    async def wait_for_pending_syncs(self) -> None:
        """Store all that was said.

        What fails is logged, and tried again beside: an agent that is about to leave a call must come to do it.
        """
        try:
            await self.close()
        except NotStored:
            logger.exception("Messages of a call are not stored yet")


def with_annals(
    edge: E,
    client: Annals | AsyncAnnals | None = None,
    *,
    url: str | None = None,
    key: str | None = None,
    user_id: str | None = None,
    memory_space_id: str | None = None,
    history: int | None = HISTORY,
    draft_interval_s: float | None = DRAFT_INTERVAL_S,
) -> E:
    """Have an edge keep its calls' conversations with Annals; gives back the edge.

    An agent that joins a call begins with what was said in it earlier.

    Parameters
    ----------
    client : shared by all calls of a process; else ``url`` and ``key``
    user_id, memory_space_id : whose calls they are, and where
    history : how many earlier messages an agent begins with; None for all of them
    draft_interval_s : see AnnalsConversation
    """
    clients = Clients(client, url=url, key=key)

    async def create_conversation(call: Call, user: User, instructions: str) -> CallConversation:
        return await CallConversation.load(
            instructions,
            history=history,
            session_id=call.id,
            client=clients,
            user_id=user_id,
            memory_space_id=memory_space_id,
            agent_id=user.id or None,
            draft_interval_s=draft_interval_s,
        )

    edge.create_conversation = create_conversation  # type: ignore[method-assign]
    return edge
