"""Annals as the memory of Microsoft Agent Framework before its release (``agent-framework-core`` 1.0.0b251007): the
messages of threads, and memories.

    agent = AnnalsChatAgent(chat_client, chat_message_store_factory=lambda: AnnalsChatMessageStore(user_id="ada"))
    thread = agent.get_new_thread()
    await agent.run("Hello.", thread=thread)

Without ``client=``, or ``url=`` and ``key=``, ``ANNALS_URL`` and ``ANNALS_KEY`` say where Annals is.
"""

from __future__ import annotations

from collections.abc import Iterable, MutableSequence, Sequence
from typing import Any
from uuid import uuid4

from annals_client.client import Annals, AsyncAnnals
from annals_client.filters import MemoryFilter
from annals_client.formats.agent_framework import Fields
from annals_client.integrations.agent_framework_base.recall import CONTEXT_PROMPT, REMEMBERED_ROLES, TOP_K, Recall
from annals_client.integrations.agent_framework_base.scope import APPLICATION, Scope
from annals_client.integrations.agent_framework_base.transcripts import Transcripts
from annals_client.integrations.support import Clients, framework

with framework("agent-framework-v1"):
    from agent_framework import AgentThread, ChatAgent, ChatMessage, Context, ContextProvider

__all__ = ["AnnalsChatAgent", "AnnalsChatMessageStore", "AnnalsContextProvider", "AnnalsThread"]

STORE, MEMORIES = "annals", "annals_memory"
"""The sources of what is said in threads, and of what is remembered beyond them."""


class AnnalsChatMessageStore:
    """The messages of a thread, in the ledger; a ``ChatMessageStoreProtocol``.

    What callers hand on again of what was said before is stored once.

    Parameters
    ----------
    thread_id : the thread; a new one without
    client : an ``AsyncAnnals``, or an ``Annals``; else one is made of ``url`` and ``key``
    application_id : the memory space
    user_id : whose thread it is; the same thread id of two users is two threads
    max_messages : how many of the newest messages are returned; the ledger keeps all. With 0, nothing is stored
    messages : how a thread begins in which nothing was said yet

    Raises
    ------
    ValueError : ``max_messages`` is negative
    """

    def __init__(
        self,
        thread_id: str | None = None,
        *,
        client: AsyncAnnals | Annals | None = None,
        url: str | None = None,
        key: str | None = None,
        application_id: str = APPLICATION,
        user_id: str | None = None,
        max_messages: int | None = None,
        messages: Sequence[ChatMessage] | None = None,
    ) -> None:
        self.thread_id = thread_id or f"thread_{uuid4()}"
        self.application_id = application_id
        self.user_id = user_id
        self.max_messages = _bound(max_messages)
        self._is_named = thread_id is not None
        self._clients = Clients(client, url=url, key=key)
        self._beginning = [*map(_fields_of, messages or [])]
        self._transcripts = self._of_scope()

    async def list_messages(self) -> list[ChatMessage]:
        """The messages of the thread, the oldest first; at most ``max_messages`` of them, the newest."""
        await self._begin()
        if self.max_messages == 0:
            return []
        return [*map(ChatMessage.from_dict, await self._transcripts.read(self.thread_id, self.max_messages))]

    async def add_messages(self, messages: Sequence[ChatMessage]) -> None:
        """Store messages, but for those at the beginning that are stored already."""
        await self._begin()
        if self.max_messages != 0:
            await self._transcripts.add(self.thread_id, [*map(_fields_of, messages)])

    async def clear(self) -> None:
        """Begin the thread anew: nothing that was said in it is returned. The ledger keeps it, marked as rewound."""
        self._beginning = []
        await self._transcripts.clear(self.thread_id)

    async def serialize(self, **kwargs: Any) -> dict[str, Any]:
        """What another process needs to continue: JSON that names the thread, without its messages and without keys."""
        return {
            "thread_id": self.thread_id,
            "application_id": self.application_id,
            "user_id": self.user_id,
            "max_messages": self.max_messages,
            "messages": [],  # without which the framework's own AgentThread does not take it
        }

    @classmethod
    async def deserialize(cls, serialized_store_state: Any, **kwargs: Any) -> AnnalsChatMessageStore:
        """The store of a thread that ``serialize`` named; ``client``, or ``url`` and ``key``, are as of the class.

        Raises
        ------
        ValueError : the state names no thread
        """
        store = cls(**kwargs)
        await store.update_from_state(serialized_store_state)
        return store

    async def update_from_state(self, serialized_store_state: Any, **kwargs: Any) -> None:
        """Continue the thread that a state names; one that was made with a ``thread_id`` may stay as it is.

        Raises
        ------
        ValueError : neither the state nor the store names a thread
        """
        state = serialized_store_state if isinstance(serialized_store_state, dict) else {}
        if not state.get("thread_id"):
            if not self._is_named:
                raise ValueError(
                    "The state names no thread: AgentThread of this version drops that. Use AnnalsChatAgent, whose "
                    "threads keep it, or make the store with its thread_id"
                )
            return
        self.thread_id = state["thread_id"]
        self.application_id = state.get("application_id") or self.application_id
        self.user_id = state.get("user_id")
        self.max_messages = _bound(state.get("max_messages"))
        self._beginning = []
        self._transcripts = self._of_scope()

    async def aclose(self) -> None:
        """Close the client, if it was made here."""
        await self._clients.aclose()

    def _of_scope(self) -> Transcripts:
        return Transcripts(self._clients, Scope(STORE, STORE, self.application_id, user_id=self.user_id))

    async def _begin(self) -> None:
        """Store what the thread is to begin with, unless something was said in it."""
        if self._beginning and self.max_messages != 0 and not await self._transcripts.read(self.thread_id, 1):
            await self._transcripts.add(self.thread_id, self._beginning)
        self._beginning = []


class AnnalsThread(AgentThread):
    """A thread that keeps in its serialized state which thread it is; the framework's own keeps messages alone."""

    async def serialize(self, **kwargs: Any) -> dict[str, Any]:
        """The state of the thread, as JSON."""
        if not isinstance(self.message_store, AnnalsChatMessageStore):
            return await super().serialize(**kwargs)
        return {"service_thread_id": None, "chat_message_store_state": await self.message_store.serialize(**kwargs)}

    async def update_from_thread_state(self, serialized_thread_state: dict[str, Any], **kwargs: Any) -> None:
        """Continue the thread that a state is of."""
        state = serialized_thread_state.get("chat_message_store_state")
        if state and isinstance(self.message_store, AnnalsChatMessageStore):
            await self.message_store.update_from_state(state, **kwargs)
        else:
            await super().update_from_thread_state(serialized_thread_state, **kwargs)


class AnnalsChatAgent(ChatAgent):
    """An agent whose threads can be serialized, and continued by another process: ``deserialize_thread``."""

    def get_new_thread(self, **kwargs: Any) -> AnnalsThread:
        """A new thread."""
        thread = super().get_new_thread(**kwargs)
        return AnnalsThread(
            service_thread_id=thread.service_thread_id,
            message_store=thread.message_store,
            context_provider=thread.context_provider,
        )


class AnnalsContextProvider(ContextProvider):
    """Memories beyond the thread: recalled before the model is asked, and stored after it answered.

    All ids that are given narrow what is recalled, as they say whose it is that is stored.

    Parameters
    ----------
    client : an ``AsyncAnnals``, or an ``Annals``; else one is made of ``url`` and ``key``
    application_id, agent_id, user_id, thread_id : whose the memories are; the application is the memory space
    scope_to_per_operation_thread_id : whether memories are those of the thread that the framework names
    top_k : how many memories are recalled, at most
    min_score : how good a memory has to be, from 0 to 1
    context_prompt : what stands before them
    stores_messages : False beside an ``AnnalsChatMessageStore`` of the same user and application, whose messages are
        memories already
    """

    def __init__(
        self,
        *,
        client: AsyncAnnals | Annals | None = None,
        url: str | None = None,
        key: str | None = None,
        application_id: str | None = None,
        agent_id: str | None = None,
        thread_id: str | None = None,
        user_id: str | None = None,
        scope_to_per_operation_thread_id: bool = False,
        top_k: int = TOP_K,
        min_score: float = 0.0,
        context_prompt: str = CONTEXT_PROMPT,
        stores_messages: bool = True,
    ) -> None:
        self.thread_id = thread_id
        self.scope_to_per_operation_thread_id = scope_to_per_operation_thread_id
        self.context_prompt = context_prompt
        self.stores_messages = stores_messages
        self._operation_thread_id: str | None = None
        self._has_owner = any((application_id, agent_id, user_id, thread_id))
        self._clients = Clients(client, url=url, key=key)
        self._scope = Scope(MEMORIES, STORE, application_id or APPLICATION, agent_id, user_id)
        self._transcripts = Transcripts(self._clients, self._scope)
        self._recall = Recall(self._scope.application_id, top_k, min_score)

    async def thread_created(self, thread_id: str | None = None) -> None:
        """Take note of the thread of the run.

        Raises
        ------
        ValueError : it is another one, where memories are those of one thread
        """
        known = self._operation_thread_id
        if self.scope_to_per_operation_thread_id and thread_id and known and thread_id != known:
            raise ValueError(f"This provider is for the thread {known!r}, and this is {thread_id!r}")
        self._operation_thread_id = known or thread_id

    async def invoking(self, messages: ChatMessage | MutableSequence[ChatMessage], **kwargs: Any) -> Context:
        """What is remembered, as a message of the user.

        Where the search does not answer, that is logged, and the run goes on without memories.

        Raises
        ------
        ValueError : the provider has no scope
        """
        self._require_owner()
        asked = [message.text for message in _listed(messages)]
        conditions = await self._conditions()
        searches = [] if conditions is None else [conditions]
        prompt = await self._recall.prompt(self._clients, searches, asked, shown=asked, heading=self.context_prompt)
        return Context(messages=None if prompt is None else [ChatMessage(role="user", text=prompt)])

    async def invoked(
        self,
        request_messages: ChatMessage | Sequence[ChatMessage],
        response_messages: ChatMessage | Sequence[ChatMessage] | None = None,
        invoke_exception: Exception | None = None,
        **kwargs: Any,
    ) -> None:
        """Store what a user, the system and the model said.

        Raises
        ------
        ValueError : the provider has no scope
        """
        self._require_owner()
        if self.stores_messages:
            given, made = _words_of(_listed(request_messages)), _words_of(_listed(response_messages))
            await self._transcripts.add(self._thread_id or MEMORIES, given, made)

    async def aclose(self) -> None:
        """Close the client, if it was made here. The framework enters and leaves a provider in each run."""
        await self._clients.aclose()

    @property
    def _thread_id(self) -> str | None:
        return self._operation_thread_id if self.scope_to_per_operation_thread_id else self.thread_id

    async def _conditions(self) -> MemoryFilter | None:
        """Which memories are searched; None where the thread has none yet."""
        conditions: MemoryFilter = {}
        if self._scope.user_id:
            conditions["user_id"] = self._scope.user_id
        if self._scope.agent_id:
            conditions["agent_id"] = self._scope.agent_id
        if self._thread_id:
            conversation_id = await self._transcripts.find_conversation(self._thread_id)
            if conversation_id is None:
                return None
            conditions["conversation_id"] = conversation_id
        return conditions

    def _require_owner(self) -> None:
        if not self._has_owner:
            raise ValueError("At least one of application_id, agent_id, thread_id and user_id is required")


def _bound(max_messages: int | None) -> int | None:
    if max_messages is not None and max_messages < 0:
        raise ValueError(f"max_messages must be 0 or more, or None for all, not {max_messages}")
    return max_messages


def _fields_of(message: ChatMessage) -> Fields:
    return {**message.to_dict(), "role": message.role.value}


def _listed(messages: ChatMessage | Sequence[ChatMessage] | None) -> Sequence[ChatMessage]:
    return [messages] if isinstance(messages, ChatMessage) else messages or []


def _words_of(messages: Iterable[ChatMessage]) -> list[Fields]:
    """What was said in messages, without all else that they hold."""
    return [
        _fields_of(
            ChatMessage(
                role=message.role, text=message.text, author_name=message.author_name, message_id=message.message_id
            )
        )
        for message in messages
        if message.role.value in REMEMBERED_ROLES and message.text.strip()
    ]
