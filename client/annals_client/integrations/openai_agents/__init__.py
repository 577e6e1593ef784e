"""OpenAI Agents 0.24 with Annals: ``AnnalsSession`` is a Session, whose items are messages of the ledger.

from annals_client.integrations.openai_agents import AnnalsSession

session = AnnalsSession("trip-7", user_id="ada")
result = await Runner.run(agent, "Which train goes to Faro?", session=session)
"""

from annals_client.integrations.openai_agents.session import AnnalsSession

__all__ = ["AnnalsSession"]
