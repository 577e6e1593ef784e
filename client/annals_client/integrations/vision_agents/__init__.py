"""Vision Agents (0.6.9) with Annals: a call's conversation is kept, and goes on where it stopped.

``AnnalsConversation`` implements ``vision_agents.core.agents.conversation.Conversation``; ``with_annals`` has an edge
make one for each call that an agent joins::

    from annals_client.integrations.vision_agents import with_annals

    agent = Agent(edge=with_annals(getstream.Edge(), user_id="ada", memory_space_id="demo"), ...)
    async with agent.join(call): ...
"""

from annals_client.integrations.vision_agents.conversation import AnnalsConversation, NotStored
from annals_client.integrations.vision_agents.edges import with_annals

__all__ = ["AnnalsConversation", "NotStored", "with_annals"]
