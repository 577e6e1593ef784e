"""LlamaIndex (0.14) with Annals: chat stores and a memory block.

``AnnalsChatStore`` implements ``BaseChatStore``; ``AnnalsMemoryBlock`` is a ``BaseMemoryBlock`` for ``Memory``::

    from annals_client.integrations.llama_index import AnnalsChatStore

    store = AnnalsChatStore(user_id="ada", memory_space_id="demo")
    memory = ChatMemoryBuffer.from_defaults(chat_store=store, chat_store_key="chat-7")
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from annals_client.client import Annals, AsyncAnnals
from annals_client.integrations.histories import Histories, Row, value_of
from annals_client.integrations.support import Clients, Session, framework
from annals_client.models import Conversation, Message

with framework("llama-index"):
    from llama_index.core.base.llms.types import ChatMessage, MessageRole
    from llama_index.core.bridge.pydantic import Field, PrivateAttr
    from llama_index.core.memory import BaseMemoryBlock
    from llama_index.core.storage.chat_store.base import BaseChatStore

KIND = "llamaIndex"
MARK = {"framework": "llama_index"}
"""The metadata of conversations that are lists of a chat store."""
ROLES = ("user", "assistant", "system", "tool", "developer", "function", "model")
"""The roles that the ledger has, too; others are kept in the message's JSON."""
SESSION = "session_id"


class AnnalsChatStore(BaseChatStore):
    """Lists of chat messages by key; each is a conversation.

    A list that is set anew keeps what it begins with, and takes back the others. Threads, event loops and processes may
    share a store.

    Parameters
    ----------
    client : an Annals or AsyncAnnals; else ``url`` and ``key``
    user_id, memory_space_id : whose lists they are, and where; the same key of two users is two lists
    """

    _histories: Histories = PrivateAttr()
    _owner: dict[str, str | None] = PrivateAttr()

    def __init__(
        self,
        client: Annals | AsyncAnnals | None = None,
        *,
        url: str | None = None,
        key: str | None = None,
        user_id: str | None = None,
        memory_space_id: str | None = None,
    ) -> None:
        super().__init__()
        self._histories = Histories(Clients(client, url=url, key=key))
        self._owner = {"user_id": user_id, "memory_space_id": memory_space_id}

    @classmethod
    def class_name(cls) -> str:
        """Get class name."""
        return "AnnalsChatStore"

    def set_messages(self, key: str, messages: list[ChatMessage]) -> None:
        """Have a list be these messages. Raises AnnalsError."""
        self._histories.replace(self._session(key), _rows(messages))

    async def aset_messages(self, key: str, messages: list[ChatMessage]) -> None:
        """``set_messages`` for asyncio."""
        await self._histories.areplace(self._session(key), _rows(messages))

    def get_messages(self, key: str) -> list[ChatMessage]:
        """The messages of a list. Raises AnnalsError."""
        return _messages(self._histories.read(self._session(key)))

    async def aget_messages(self, key: str) -> list[ChatMessage]:
        """``get_messages`` for asyncio."""
        return _messages(await self._histories.aread(self._session(key)))

    def add_message(self, key: str, message: ChatMessage, idx: int | None = None) -> None:
        """Add a message to a list, at its end or before the one of index ``idx``. Raises AnnalsError."""
        if idx is None:
            self._histories.append(self._session(key), _rows([message]))
            return
        messages = self.get_messages(key)
        messages.insert(idx, message)
        self.set_messages(key, messages)

    async def async_add_message(self, key: str, message: ChatMessage, idx: int | None = None) -> None:
        """``add_message`` for asyncio."""
        if idx is None:
            await self._histories.aappend(self._session(key), _rows([message]))
            return
        messages = await self.aget_messages(key)
        messages.insert(idx, message)
        await self.aset_messages(key, messages)

    def delete_messages(self, key: str) -> list[ChatMessage] | None:
        """Erase a list; its messages, or None where there is none. Raises AnnalsError."""
        stored = self._histories.read(self._session(key))
        self._histories.erase(self._session(key))
        return None if stored is None else _messages(stored)

    async def adelete_messages(self, key: str) -> list[ChatMessage] | None:
        """``delete_messages`` for asyncio."""
        stored = await self._histories.aread(self._session(key))
        await self._histories.aerase(self._session(key))
        return None if stored is None else _messages(stored)

    def delete_message(self, key: str, idx: int) -> ChatMessage | None:
        """Take the message of an index out of a list; None where there is none. Raises AnnalsError."""
        messages = self.get_messages(key)
        if not -len(messages) <= idx < len(messages):
            return None
        taken = messages.pop(idx)
        self.set_messages(key, messages)
        return taken

    async def adelete_message(self, key: str, idx: int) -> ChatMessage | None:
        """``delete_message`` for asyncio."""
        messages = await self.aget_messages(key)
        if not -len(messages) <= idx < len(messages):
            return None
        taken = messages.pop(idx)
        await self.aset_messages(key, messages)
        return taken

    def delete_last_message(self, key: str) -> ChatMessage | None:
        """Take back the newest message of a list; None where there is none. Raises AnnalsError."""
        popped = self._histories.pop(self._session(key))
        return None if popped is None else _messages([popped])[0]

    async def adelete_last_message(self, key: str) -> ChatMessage | None:
        """``delete_last_message`` for asyncio."""
        popped = await self._histories.apop(self._session(key))
        return None if popped is None else _messages([popped])[0]

    def get_keys(self) -> list[str]:
        """The keys of all lists of this user and memory space, the one that was used last first. Raises AnnalsError.

        A list is among them a moment after its first message.
        """
        found = self._histories.clients.sync.conversations.list(metadata=MARK, page_size=100, **self._filter())
        return [each.session_id for each in found if self._is_own(each) and each.session_id]

    async def aget_keys(self) -> list[str]:
        """``get_keys`` for asyncio."""
        found = self._histories.clients.asynchronous.conversations.list(metadata=MARK, page_size=100, **self._filter())
        return [each.session_id async for each in found if self._is_own(each) and each.session_id]

    def _session(self, key: str) -> Session:
        return Session(key, metadata=tuple(MARK.items()), **self._owner)

    def _filter(self) -> Any:
        return {name: value for name, value in self._owner.items() if value is not None}

    def _is_own(self, conversation: Conversation) -> bool:
        """Whether it is of this user and space, and not of another where this store has none."""
        of = conversation.participants
        return (of.get("userId"), of.get("memorySpaceId")) == tuple(self._owner.values())


class AnnalsMemoryBlock(BaseMemoryBlock[str]):
    """What Annals recalls for the newest message: of what was said in this memory space, in any chat.

    Messages that leave the short-term memory are stored, and can be recalled from then on.

    Parameters
    ----------
    memory_space_id : where they are stored
    user_id : whose they are; without, what is recalled is that of all
    max_tokens : how much is recalled
    """

    memory_space_id: str
    user_id: str | None = None
    max_tokens: int = Field(default=1000, gt=0)
    _histories: Histories = PrivateAttr()

    def __init__(
        self,
        *,
        memory_space_id: str,
        name: str = "recalled",
        client: Annals | AsyncAnnals | None = None,
        url: str | None = None,
        key: str | None = None,
        **fields: Any,
    ) -> None:
        super().__init__(name=name, memory_space_id=memory_space_id, **fields)
        self._histories = Histories(Clients(client, url=url, key=key))

    async def _aget(self, messages: list[ChatMessage] | None = None, **block_kwargs: Any) -> str:
        asked = [message.content for message in messages or () if message.role == MessageRole.USER and message.content]
        if not asked:
            return ""
        user: Any = {} if self.user_id is None else {"user_id": self.user_id}
        recalled = await self._histories.clients.asynchronous.memory.recall(
            asked[-1], memory_space_id=self.memory_space_id, max_tokens=self.max_tokens, **user
        )
        return recalled.context

    async def _aput(self, messages: list[ChatMessage]) -> None:
        by_session: dict[str, list[ChatMessage]] = {}
        for message in messages:
            session_id = message.additional_kwargs.get(SESSION) or self.name
            by_session.setdefault(str(session_id), []).append(message)
        for session_id, some in by_session.items():
            session = Session(session_id, user_id=self.user_id, memory_space_id=self.memory_space_id)
            await self._histories.aappend(session, _rows(some))

    async def atruncate(self, content: str, tokens_to_truncate: int) -> str | None:
        """What is recalled, shortened by about so many tokens."""
        left = len(content) - 4 * tokens_to_truncate
        return content[:left] if left > 0 else None


def _rows(messages: Sequence[ChatMessage]) -> list[Row]:
    """Messages as they are stored; a message of LlamaIndex has no id, so each is another."""
    return [Row(str(uuid4()), KIND, message.model_dump(mode="json"), _fields(message)) for message in messages]


def _fields(message: ChatMessage) -> dict[str, Any]:
    role = message.role.value
    return {"role": role if role in ROLES else "user", "content": message.content or ""}


def _messages(stored: Sequence[Message] | None) -> list[ChatMessage]:
    return [_message(each) for each in stored or ()]


def _message(stored: Message) -> ChatMessage:
    value = value_of(stored, KIND)
    if value is not None:
        return ChatMessage.model_validate(value)
    role = stored.role if stored.role in {each.value for each in MessageRole} else MessageRole.USER
    return ChatMessage(role=role, content=stored.content)
