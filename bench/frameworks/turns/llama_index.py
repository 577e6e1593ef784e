"""LlamaIndex: a chat engine with a buffer over a chat store, its own for DynamoDB and ours.

Every turn is a new engine's and a new client's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import boto3
from llama_index.core.base.llms.types import ChatMessage, ChatResponse
from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.core.chat_engine import SimpleChatEngine
from llama_index.core.llms import MockLLM
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.storage.chat_store import BaseChatStore
from llama_index.storage.chat_store.dynamodb import DynamoDBChatStore

from annals_client import Annals
from annals_client.integrations.llama_index import AnnalsChatStore
from bench.frameworks.turns import AWS, Store, Take, dynamodb_url, run

TABLE = "chats"


class Answering(MockLLM):
    """A model that gives one answer."""

    _reply: str = PrivateAttr("")

    @staticmethod
    def with_reply(reply: str) -> Answering:
        """The model that gives this answer."""
        model = Answering()
        model._reply = reply
        return model

    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """The answer."""
        return ChatResponse(message=ChatMessage(self._reply, role="assistant"))


def turns_with(store: Callable[[], BaseChatStore]) -> Take:
    """Takes turns with a chat store that is made anew each time."""

    def take(number: int, user: str, reply: str) -> None:
        memory = ChatMemoryBuffer.from_defaults(chat_store=store(), chat_store_key="chat", token_limit=1_000_000)
        SimpleChatEngine.from_defaults(llm=Answering.with_reply(reply), memory=memory).chat(user)

    return take


def dynamodb() -> Take:
    """LlamaIndex' own store, with the table that its documentation describes."""
    resource = boto3.resource("dynamodb", endpoint_url=dynamodb_url(), **AWS)
    resource.create_table(
        TableName=TABLE,
        KeySchema=[{"AttributeName": "SessionId", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "SessionId", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    endpoint = {"endpoint_url": dynamodb_url()}
    return turns_with(lambda: DynamoDBChatStore(TABLE, resource_kwargs=endpoint, **AWS))


def annals() -> Take:
    """Ours."""
    return turns_with(lambda: AnnalsChatStore(Annals(), user_id="ada"))


if __name__ == "__main__":
    run([Store("DynamoDBChatStore", dynamodb), Store("AnnalsChatStore", annals, is_ours=True)])
