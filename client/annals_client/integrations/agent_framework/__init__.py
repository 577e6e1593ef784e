"""Annals as the memory of Microsoft Agent Framework 1.x (``agent-framework-core`` 1.23): history, memories, sessions,
checkpoints.

    history = AnnalsHistoryProvider(user_id="ada")
    agent = Agent(client=chat_client, context_providers=[history])
    await agent.run("Hello.", session=agent.create_session(session_id="s-1"))

Without ``client=``, or ``url=`` and ``key=``, ``ANNALS_URL`` and ``ANNALS_KEY`` say where Annals is.
"""

import warnings

from annals_client.integrations.support import framework

with framework("agent-framework"), warnings.catch_warnings():
    warnings.simplefilter("ignore", FutureWarning)  # that stores of sessions are experimental: not for all who import
    from annals_client.integrations.agent_framework.checkpoints import AnnalsCheckpointStorage
    from annals_client.integrations.agent_framework.history import AnnalsHistoryProvider
    from annals_client.integrations.agent_framework.memories import AnnalsContextProvider
    from annals_client.integrations.agent_framework.session_store import AnnalsSessionStore

__all__ = ["AnnalsCheckpointStorage", "AnnalsContextProvider", "AnnalsHistoryProvider", "AnnalsSessionStore"]
