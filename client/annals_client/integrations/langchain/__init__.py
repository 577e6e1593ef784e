"""Annals as the message history of LangChain (``langchain-core`` 1.7).

    history = AnnalsChatMessageHistory("trip", user_id="ada")
    chain = RunnableWithMessageHistory(runnable, lambda session_id: AnnalsChatMessageHistory(session_id, user_id="ada"))
    chain.invoke({"input": "Hello."}, {"configurable": {"session_id": "trip"}})

Without ``client=``, or ``url=`` and ``key=``, ``ANNALS_URL`` and ``ANNALS_KEY`` say where Annals is. LangChain advises
to use LangGraph for new programs: see ``annals_client.integrations.langgraph``.
"""

from annals_client.integrations.support import framework

with framework("langchain"):
    from annals_client.integrations.langchain.history import AnnalsChatMessageHistory

__all__ = ["AnnalsChatMessageHistory"]
