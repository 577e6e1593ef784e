"""Strands: the whole agent as a snapshot, in AWS's store and in ours; and message by message.

Every turn is a new process' as far as Strands is concerned: a new agent, a new session manager, a new client.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import boto3
from strands import Agent
from strands.agent.conversation_manager import NullConversationManager
from strands.models import Model
from strands.session import SessionManager, SnapshotSessionManager
from strands_dynamodb_storage import DynamoDBStorage

from annals_client.integrations.strands import AnnalsSessionManager, AnnalsStorage
from bench.frameworks.turns import AWS, Store, Take, create_table, dynamodb_url, run

TABLE = "strands-agents"


class Answering(Model):
    """A model that gives one answer."""

    def __init__(self, reply: str) -> None:
        self.reply = reply

    def update_config(self, **config: Any) -> None:
        """There is nothing to be set."""

    def get_config(self) -> Any:
        """Nor to be shown."""
        return {}

    async def structured_output(self, *args: Any, **kwargs: Any) -> Any:
        """Not asked for."""
        raise NotImplementedError
        yield

    async def stream(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        """The answer, as Bedrock streams it."""
        yield {"messageStart": {"role": "assistant"}}
        yield {"contentBlockStart": {"start": {}}}
        yield {"contentBlockDelta": {"delta": {"text": self.reply}}}
        yield {"contentBlockStop": {}}
        yield {"messageStop": {"stopReason": "end_turn"}}


def turns_with(manager: Callable[[], SessionManager[Any]], **agent: Any) -> Take:
    """Takes turns with a session manager that is made anew each time."""

    def take(number: int, user: str, reply: str) -> None:
        Agent(agent_id="guide", model=Answering(reply), session_manager=manager(), callback_handler=None, **agent)(user)

    return take


def dynamodb(**options: Any) -> Callable[[], Take]:
    """AWS's store, with the table that its documentation describes. Without trimming, as ours."""

    def prepare() -> Take:
        client = boto3.client("dynamodb", endpoint_url=dynamodb_url(), **AWS)
        create_table(client, TABLE, "pk", "sk")
        return turns_with(
            lambda: SnapshotSessionManager("trip", storage=DynamoDBStorage(TABLE, client=client, **options)),
            conversation_manager=NullConversationManager(),
        )

    return prepare


def annals_storage() -> Take:
    """Our store of snapshots, behind the same session manager."""
    return turns_with(
        lambda: SnapshotSessionManager("trip", storage=AnnalsStorage()),
        conversation_manager=NullConversationManager(),
    )


def annals_messages() -> Take:
    """Our session manager: each message in the ledger, where it is listed, searched and recalled."""
    return turns_with(
        lambda: AnnalsSessionManager("trip", user_id="ada"), conversation_manager=NullConversationManager()
    )


if __name__ == "__main__":
    run(
        [
            Store("strands-dynamodb-storage", dynamodb()),
            Store("strands-dynamodb-storage, gzip", dynamodb(compression="gzip")),
            Store("AnnalsStorage", annals_storage, is_ours=True),
            Store("AnnalsSessionManager", annals_messages, is_ours=True),
        ]
    )
