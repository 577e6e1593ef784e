"""A graph of LangGraph that remembers in Annals, without a model: its thread, and what it was told in others.

pip install 'annals-client[langgraph]'
export ANNALS_URL=http://127.0.0.1:8000 ANNALS_KEY=local
python examples/integrations/langgraph_chat.py monday "I like oolong."
python examples/integrations/langgraph_chat.py tuesday "What do I like?"

The first word names the thread. Each sentence is a turn, for which the graph is made anew, as in a Lambda function.
"""

from __future__ import annotations

import sys
from typing import Any

from langchain_core.messages import AIMessage
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.store.base import BaseStore

from annals_client.integrations.langgraph import AnnalsSaver, AnnalsStore

USER = "ada"


def answer(state: MessagesState, *, store: BaseStore) -> dict[str, Any]:
    """Say what was said in this thread before, and what is remembered of all; remember what was said now."""
    *earlier, said = [message.text for message in state["messages"] if message.type == "human"]
    notes = [item.value["text"] for item in store.search(("notes", USER), limit=100)]
    store.put(("notes", USER), said, {"text": said})
    return {"messages": [AIMessage(f"You said before: {earlier}. I remember: {notes}.")]}


def turn(thread: str, said: str) -> str:
    """One turn of a thread, by a new graph."""
    store = AnnalsStore(user_id=lambda namespace: namespace[1])
    graph = StateGraph(MessagesState).add_node(answer).add_edge(START, "answer")
    chat = graph.compile(checkpointer=AnnalsSaver(remember=True), store=store)
    state: Any = {"messages": [("user", said)]}
    done = chat.invoke(state, {"configurable": {"thread_id": thread, "user_id": USER}})
    return str(done["messages"][-1].text)


if __name__ == "__main__":
    for sentence in sys.argv[2:]:
        print(turn(sys.argv[1], sentence))
