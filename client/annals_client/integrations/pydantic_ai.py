"""Pydantic AI (2.x) with Annals: the messages of a chat are kept, and come back as they were.

``AnnalsMessageHistory`` is what ``message_history=`` takes and ``new_messages()`` gives::

    from annals_client.integrations.pydantic_ai import AnnalsMessageHistory

    history = AnnalsMessageHistory("chat-7", user_id="ada", memory_space_id="demo")
    result = agent.run_sync("Which tea?", message_history=history.load())
    history.append(result.new_messages())
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from annals_client.client import Annals, AsyncAnnals
from annals_client.integrations.histories import Histories, Row, value_of
from annals_client.integrations.support import Clients, Session, framework
from annals_client.models import Message

with framework("pydantic-ai"):
    from pydantic_ai.messages import (
        ModelMessage,
        ModelMessagesTypeAdapter,
        ModelRequest,
        ModelResponse,
        SystemPromptPart,
        TextPart,
        ToolReturnPart,
        UserPromptPart,
    )

KIND = "pydanticAi"
ID_CHARS = 40


class AnnalsMessageHistory:
    """The messages of one chat: loaded before a run, and appended after it.

    A message is known by its contents, its run and its times: appended twice, by a retry or with all that was said
    before, it is stored once. Threads, event loops and processes may share a chat.

    Parameters
    ----------
    session_id : the chat's id
    client : an Annals or AsyncAnnals; else ``url`` and ``key``
    user_id, memory_space_id : whose chat it is, and where; the same id of two users is two chats
    """

    def __init__(
        self,
        session_id: str,
        client: Annals | AsyncAnnals | None = None,
        *,
        url: str | None = None,
        key: str | None = None,
        user_id: str | None = None,
        memory_space_id: str | None = None,
    ) -> None:
        self._histories = Histories(Clients(client, url=url, key=key))
        self._session = Session(session_id, user_id=user_id, memory_space_id=memory_space_id)

    def load(self, limit: int | None = None) -> list[ModelMessage]:
        """All messages, or the newest ``limit``; none where there is no such chat. Raises AnnalsError."""
        return _messages(self._histories.read(self._session, limit))

    async def aload(self, limit: int | None = None) -> list[ModelMessage]:
        """``load`` for asyncio."""
        return _messages(await self._histories.aread(self._session, limit))

    def append(self, messages: Sequence[ModelMessage]) -> None:
        """Add messages; those that are stored already come first. Raises AnnalsError."""
        self._histories.append(self._session, _rows(messages))

    async def aappend(self, messages: Sequence[ModelMessage]) -> None:
        """``append`` for asyncio."""
        await self._histories.aappend(self._session, _rows(messages))

    def replace(self, messages: Sequence[ModelMessage]) -> None:
        """Have the history be these messages, after it was shortened or summarised, for example. Raises AnnalsError.

        What they begin with, and is stored, stays; the others are taken back by a rewind, and the new ones appended.
        """
        self._histories.replace(self._session, _rows(messages))

    async def areplace(self, messages: Sequence[ModelMessage]) -> None:
        """``replace`` for asyncio."""
        await self._histories.areplace(self._session, _rows(messages))

    def clear(self) -> None:
        """Take back all messages; the ledger keeps them. Raises AnnalsError."""
        self.replace([])

    async def aclear(self) -> None:
        """``clear`` for asyncio."""
        await self.areplace([])

    def delete(self) -> None:
        """Erase the chat. Its id is free for a new one. Raises AnnalsError."""
        self._histories.erase(self._session)

    async def adelete(self) -> None:
        """``delete`` for asyncio."""
        await self._histories.aerase(self._session)


def _rows(messages: Sequence[ModelMessage]) -> list[Row]:
    """Messages as they are stored, each under an id that is made of what it holds.

    They are stored as they are once they were read: then those that were loaded are known again.
    """
    times: Counter[str] = Counter()
    rows = []
    read = ModelMessagesTypeAdapter.validate_python(_json([*messages]))
    for message, value in zip(read, _json(read), strict=True):
        text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:ID_CHARS]
        times[digest] += 1
        external_id = digest if times[digest] == 1 else f"{digest}-{times[digest]}"
        rows.append(Row(external_id, KIND, value, _fields(message)))
    return rows


def _fields(message: ModelMessage) -> dict[str, Any]:
    fields: dict[str, Any] = {"role": _role(message), "content": _text(message)}
    said = message.timestamp or _first_time(message)
    if said is not None:
        fields["timestamp"] = said if said.tzinfo else said.astimezone()
    if message.run_id:
        fields["run_id"] = message.run_id
    return fields


def _role(message: ModelMessage) -> str:
    if isinstance(message, ModelResponse):
        return "assistant"
    if any(isinstance(part, UserPromptPart) for part in message.parts):
        return "user"
    return "tool" if any(isinstance(part, ToolReturnPart) for part in message.parts) else "system"


def _first_time(message: ModelMessage) -> datetime | None:
    times = (getattr(part, "timestamp", None) for part in message.parts)
    return next((time for time in times if isinstance(time, datetime)), None)


def _text(message: ModelMessage) -> str:
    """The words of a message, by which it is found; thoughts and calls are not among them."""
    said: list[str] = []
    for part in message.parts:
        if isinstance(part, TextPart | SystemPromptPart):
            said.append(part.content)
        elif isinstance(part, ToolReturnPart):
            said.append(part.model_response_str())
        elif isinstance(part, UserPromptPart):
            contents = [part.content] if isinstance(part.content, str) else part.content
            said += [text for content in contents if isinstance(text := getattr(content, "content", content), str)]
    return "\n".join(said)


def _messages(stored: Sequence[Message] | None) -> list[ModelMessage]:
    values = [value if (value := value_of(each, KIND)) is not None else _foreign(each) for each in stored or ()]
    return ModelMessagesTypeAdapter.validate_python(values)


def _foreign(stored: Message) -> dict[str, Any]:
    """A message that something else than Pydantic AI stored, by its words."""
    said = stored.timestamp
    message: ModelMessage
    if stored.role == "assistant":
        message = ModelResponse([TextPart(stored.content)], timestamp=said)
    elif stored.role == "system":
        message = ModelRequest([SystemPromptPart(stored.content, timestamp=said)], timestamp=said)
    else:
        message = ModelRequest([UserPromptPart(stored.content, timestamp=said)], timestamp=said)
    return _json([message])[0]


def _json(messages: list[ModelMessage]) -> list[dict[str, Any]]:
    values: list[dict[str, Any]] = ModelMessagesTypeAdapter.dump_python(messages, mode="json")
    return values
