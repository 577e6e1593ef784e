"""Google's Agent Development Kit (google-adk 2.13): its sessions, states and memories, in Annals.

``AnnalsSessionService`` is a ``BaseSessionService``, ``AnnalsMemoryService`` a ``BaseMemoryService``::

    from annals_client.integrations.google_adk import AnnalsMemoryService, AnnalsSessionService

    sessions = AnnalsSessionService(url="http://127.0.0.1:8000", key="local")
    runner = Runner(app_name="tea", agent=agent, session_service=sessions, memory_service=AnnalsMemoryService(sessions))
"""

from annals_client.integrations.google_adk.memory_service import AnnalsMemoryService
from annals_client.integrations.google_adk.session_service import AnnalsSessionService

__all__ = ["AnnalsMemoryService", "AnnalsSessionService"]
