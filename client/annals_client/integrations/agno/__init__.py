"""agno's databases, for agno 3.1.10 and later of 3: ``BaseDb`` and ``AsyncBaseDb`` on Annals.

Sessions, runs, memories of users, summaries and metrics; other parts of agno's databases raise NotImplementedError.

    from annals_client.integrations.agno import AnnalsDb
    agent = Agent(model=..., db=AnnalsDb(), add_history_to_context=True, update_memory_on_run=True)
    agent.run("I like tea.", session_id="tea", user_id="ada")

A session is a conversation; the messages of its runs are messages of the ledger, under agno's ids.
"""

from annals_client.integrations.support import framework

with framework("agno"):
    from annals_client.integrations.agno.async_db import AsyncAnnalsDb
    from annals_client.integrations.agno.db import AnnalsDb

__all__ = ["AnnalsDb", "AsyncAnnalsDb"]
