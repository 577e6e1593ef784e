"""Annals as LangGraph's checkpointer and store (``langgraph-checkpoint`` 4.3).

    graph = builder.compile(checkpointer=AnnalsSaver(), store=AnnalsStore())
    graph.invoke({"messages": [("user", "Hello.")]}, {"configurable": {"thread_id": "trip", "user_id": "ada"}})

Without ``client=``, or ``url=`` and ``key=``, ``ANNALS_URL`` and ``ANNALS_KEY`` say where Annals is.
"""

from annals_client.integrations.support import framework

with framework("langgraph"):
    from annals_client.integrations.langgraph.migration import copy_history
    from annals_client.integrations.langgraph.reading import CheckpointDamaged
    from annals_client.integrations.langgraph.saver import AnnalsSaver
    from annals_client.integrations.langgraph.store import AnnalsStore

__all__ = ["AnnalsSaver", "AnnalsStore", "CheckpointDamaged", "copy_history"]
