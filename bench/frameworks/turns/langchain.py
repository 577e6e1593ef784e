"""LangChain: the history of a session, read before each turn and added to after it: the community's, and ours.

Every turn is a new process' as far as LangChain is concerned: a new history, a new client.
"""

from __future__ import annotations

from collections.abc import Callable

import boto3
from langchain_community.chat_message_histories import DynamoDBChatMessageHistory
from langchain_core.chat_history import BaseChatMessageHistory
from langchain_core.messages import AIMessage, HumanMessage

from annals_client.integrations.langchain import AnnalsChatMessageHistory
from bench.frameworks.turns import AWS, Store, Take, create_table, dynamodb_url, run

TABLE = "langchain-sessions"


def turns_with(history: Callable[[], BaseChatMessageHistory]) -> Take:
    """Takes turns with a history that is made anew each time."""

    def take(number: int, user: str, reply: str) -> None:
        session = history()
        if len(session.messages) != 2 * (number - 1):
            raise RuntimeError(f"There are {len(session.messages)} messages before turn {number}.")
        session.add_messages([HumanMessage(user), AIMessage(reply)])

    return take


def dynamodb() -> Take:
    """The community's store, with the table that its documentation describes."""
    session = boto3.Session(**AWS)
    create_table(session.client("dynamodb", endpoint_url=dynamodb_url()), TABLE, "SessionId")
    return turns_with(
        lambda: DynamoDBChatMessageHistory(TABLE, "trip", endpoint_url=dynamodb_url(), boto3_session=session)
    )


def annals() -> Take:
    """Our history."""
    return turns_with(lambda: AnnalsChatMessageHistory("trip", user_id="ada"))


if __name__ == "__main__":
    run(
        [
            Store("DynamoDBChatMessageHistory", dynamodb),
            Store("AnnalsChatMessageHistory", annals, is_ours=True),
        ]
    )
