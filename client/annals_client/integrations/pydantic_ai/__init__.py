"""Pydantic AI (2.68 and later) with Annals: chats are kept, and come back as they were.

``AnnalsMessageHistory`` is what ``message_history=`` takes and ``new_messages()`` gives; ``AnnalsConversationStore``
implements ``pydantic_ai.conversation_store.ConversationStore``::

    from annals_client.integrations.pydantic_ai import AnnalsMessageHistory

    history = AnnalsMessageHistory("chat-7", user_id="ada", memory_space_id="demo")
    result = agent.run_sync("Which tea?", message_history=history.load())
    history.append(result.new_messages())
"""

from annals_client.integrations.pydantic_ai.history import AnnalsMessageHistory
from annals_client.integrations.pydantic_ai.store import AnnalsConversationStore

__all__ = ["AnnalsConversationStore", "AnnalsMessageHistory"]
