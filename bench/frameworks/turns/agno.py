"""agno: its own databases on DynamoDB and SQLite, and ours. History is read, and memories are not made.

Every turn is a new process' as far as agno is concerned: a new agent, a new database, a new client.
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from agno.agent import Agent
from agno.db.base import BaseDb
from agno.db.dynamo import DynamoDb
from agno.db.sqlite import SqliteDb
from agno.models.base import Model
from agno.models.response import ModelResponse

from annals_client.integrations.agno import AnnalsDb
from bench.frameworks.turns import AWS, Store, Take, dynamodb_url, run


@dataclass
class Answering(Model):
    """A model that gives one answer."""

    id: str = "answering"
    reply: str = ""

    def _answer(self) -> ModelResponse:
        return ModelResponse(role="assistant", content=self.reply)

    def invoke(self, *args: Any, **kwargs: Any) -> ModelResponse:
        return self._answer()

    async def ainvoke(self, *args: Any, **kwargs: Any) -> ModelResponse:
        return self._answer()

    def invoke_stream(self, *args: Any, **kwargs: Any) -> Iterator[ModelResponse]:
        yield self._answer()

    async def ainvoke_stream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ModelResponse]:
        yield self._answer()

    def _parse_provider_response(self, response: Any, **kwargs: Any) -> ModelResponse:
        return ModelResponse(content=self.reply)

    def _parse_provider_response_delta(self, response: Any) -> ModelResponse:
        return ModelResponse(content=self.reply)


class NotKept(RuntimeError):
    """A turn is not in the database, whatever the agent said."""


def turns_with(new_db: Callable[[], BaseDb], **options: Any) -> Take:
    """Takes turns with a database that is made anew each time."""

    def take(number: int, user: str, reply: str) -> None:
        db = new_db()
        agent = Agent(id="guide", model=Answering(reply=reply), db=db, telemetry=False, **options)
        done = agent.run(user, session_id="trip", user_id="ada")
        if done.content != reply or done.run_id is None:
            raise NotKept(str(done.content))
        db.close()

    return take


def dynamodb() -> Take:
    """agno's own database, with the tables that it makes itself."""
    client = boto3.client("dynamodb", endpoint_url=dynamodb_url(), **AWS)
    return turns_with(lambda: DynamoDb(db_client=client), add_history_to_context=True)


def sqlite() -> Take:
    """agno's own database in a file, for the time that it takes."""
    file = Path(tempfile.mkdtemp(), "agno.db")
    return turns_with(lambda: SqliteDb(db_file=str(file)), add_history_to_context=True)


def annals() -> Take:
    """Ours, as its page shows it."""
    return turns_with(AnnalsDb, add_history_to_context=True)


if __name__ == "__main__":
    run([Store("DynamoDb", dynamodb), Store("SqliteDb", sqlite), Store("AnnalsDb", annals, is_ours=True)])
