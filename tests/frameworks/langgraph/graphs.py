"""Graphs for tests: an agent that answers without a model."""

from __future__ import annotations

from typing import Any

from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.types import interrupt


def config_of(thread_id: str, **more: Any) -> RunnableConfig:
    """The configuration of a thread."""
    return {"configurable": {"thread_id": thread_id, **more}}


def chat(saver: BaseCheckpointSaver[Any], answer: str = "Noted: ") -> Any:
    """A graph with one node, which repeats what it is told."""

    def reply(state: MessagesState) -> dict[str, Any]:
        said = state["messages"][-1]
        return {"messages": [AIMessage(answer + str(said.content), id=f"re-{said.id}")]}

    return StateGraph(MessagesState).add_node(reply).add_edge(START, "reply").compile(checkpointer=saver)


def asking(saver: BaseCheckpointSaver[Any]) -> Any:
    """A graph that asks a person before it answers."""

    def ask(state: MessagesState) -> dict[str, Any]:
        return {"messages": [AIMessage(f"You said {interrupt('Which tea?')}.")]}

    graph = StateGraph(MessagesState).add_node(ask)
    return graph.add_edge(START, "ask").add_edge("ask", END).compile(checkpointer=saver)


def say(graph: Any, config: RunnableConfig, text: str, number: int) -> list[Any]:
    """One turn; all messages after it."""
    messages: list[Any] = graph.invoke({"messages": [HumanMessage(text, id=f"m-{number}")]}, config)["messages"]
    return messages
