"""LangGraph: a graph's checkpoints, in AWS's saver and in ours.

Every turn is a new process' as far as LangGraph is concerned: a new graph, a new saver, a new client.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import boto3
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph_checkpoint_aws import DynamoDBSaver

from annals_client.integrations.langgraph import AnnalsSaver
from bench.frameworks.turns import AWS, Store, Take, dynamodb_url, run

TABLE = "checkpoints"


def turns_with(saver: Callable[[], BaseCheckpointSaver[Any]]) -> Take:
    """Takes turns of a graph of one node, with a saver that is made anew each time."""

    def take(number: int, user: str, reply: str) -> None:
        def answer(state: MessagesState) -> dict[str, Any]:
            return {"messages": [AIMessage(reply, id=f"reply-{number}")]}

        graph = StateGraph(MessagesState).add_node(answer).add_edge(START, "answer").compile(checkpointer=saver())
        said: Any = {"messages": [HumanMessage(user, id=f"said-{number}")]}
        state = graph.invoke(said, {"configurable": {"thread_id": "trip", "user_id": "ada"}})
        if len(state["messages"]) != 2 * number:
            raise RuntimeError(f"{len(state['messages'])} messages after {number} turns")

    return take


def dynamodb(**options: Any) -> Callable[[], Take]:
    """AWS's saver, with the table that its documentation describes."""

    def prepare() -> Take:
        keys = {"PK": "HASH", "SK": "RANGE"}
        boto3.client("dynamodb", endpoint_url=dynamodb_url(), **AWS).create_table(
            TableName=TABLE,
            KeySchema=[{"AttributeName": name, "KeyType": kind} for name, kind in keys.items()],
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in keys],
            BillingMode="PAY_PER_REQUEST",
        )
        return turns_with(lambda: DynamoDBSaver(TABLE, boto3.Session(**AWS), endpoint_url=dynamodb_url(), **options))

    return prepare


def annals(**options: Any) -> Callable[[], Take]:
    """Ours."""
    return lambda: turns_with(lambda: AnnalsSaver(**options))


if __name__ == "__main__":
    run(
        [
            Store("DynamoDBSaver", dynamodb()),
            Store("DynamoDBSaver, compression", dynamodb(enable_checkpoint_compression=True)),
            Store("AnnalsSaver", annals(), is_ours=True),
            Store("AnnalsSaver, remember", annals(remember=True), is_ours=True),
        ]
    )
