"""Strands Agents 1.62 with Annals: sessions message by message, snapshots, and memory.

``AnnalsSessionManager`` (a RepositorySessionManager over ``AnnalsSessionRepository``) keeps each message in the ledger,
where it can be searched; ``AnnalsStorage`` is a Storage, for snapshots and all else that Strands stores;
``AnnalsMemoryStore`` is a MemoryStore::

    from annals_client.integrations.strands import AnnalsSessionManager

    agent = Agent(session_manager=AnnalsSessionManager("trip-7", user_id="ada"))
"""

from annals_client.integrations.strands.memory import AnnalsMemoryStore
from annals_client.integrations.strands.repository import (
    AnnalsSessionManager,
    AnnalsSessionRepository,
    StaleSession,
)
from annals_client.integrations.strands.storage import AnnalsStorage, StaleWrite

__all__ = [
    "AnnalsMemoryStore",
    "AnnalsSessionManager",
    "AnnalsSessionRepository",
    "AnnalsStorage",
    "StaleSession",
    "StaleWrite",
]
