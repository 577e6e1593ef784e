"""Threads as conversations: which conversation a thread is, and where the documents of its checkpoints are.

The conversation of the thread ``trip`` is ``langgraph:trip``, in another memory space ``langgraph:trip@demo``. The id
of an erased conversation is never used again: after a thread was deleted, the next one of the same id is
``langgraph:trip~2``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import TypeVar

from annals_client.calls import Steps
from annals_client.errors import Conflict, Erased, NotFound
from annals_client.integrations.langgraph.recent import Recent
from annals_client.resources.conversations import Conversations

T = TypeVar("T")

NAME = "langgraph"
"""The agent of all threads, and the memory space of those for which none is named."""

PLAIN = re.compile(r"[A-Za-z0-9_.:=+-]{1,50}")
"""Ids that stand in the id of a conversation as they are; of others it has a digest."""

MAX_GENERATIONS = 1000
"""How often a thread of the same id can be deleted."""

KNOWN_THREADS_BYTES = 1_000_000


@dataclass(frozen=True)
class Thread:
    """A thread, and whose it is where it is made."""

    thread_id: str
    user_id: str | None = None
    memory_space_id: str = NAME

    def conversation_id(self, generation: int) -> str:
        """The id of its conversation, after it was deleted so many times."""
        space = "" if self.memory_space_id == NAME else f"@{_plain(self.memory_space_id)}"
        return f"{NAME}:{_plain(self.thread_id)}{space}" + (f"~{generation + 1}" if generation else "")


def _plain(text: str) -> str:
    if PLAIN.fullmatch(text):
        return text
    return "%" + sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


class Threads:
    """Knows which conversation a thread is; its methods give the calls that find out."""

    def __init__(self) -> None:
        self._generations: Recent[tuple[str, str], int] = Recent(KNOWN_THREADS_BYTES)

    def write(self, thread: Thread, act: Callable[[str], Steps[T]]) -> Steps[T]:
        """What ``act`` gives for the id of the thread's conversation, which is made if it is missing."""
        for generation in range(self._generation(thread), MAX_GENERATIONS):
            conversation_id = thread.conversation_id(generation)
            try:
                try:
                    found = yield from act(conversation_id)
                except Erased:
                    raise
                except NotFound:
                    yield from _make(thread, conversation_id)
                    found = yield from act(conversation_id)
            except Erased:
                continue
            self._keep(thread, generation)
            return found
        raise ValueError(f"The thread {thread.thread_id!r} was deleted {MAX_GENERATIONS} times")

    def read(self, thread: Thread, act: Callable[[str], Steps[T | None]]) -> Steps[T | None]:
        """What ``act`` gives for the id of the thread's conversation; None where there is none."""
        for generation in range(self._generation(thread), MAX_GENERATIONS):
            conversation_id = thread.conversation_id(generation)
            try:
                found = yield from act(conversation_id)
            except Erased:
                continue
            except NotFound:
                return None
            self._keep(thread, generation)
            return found
        return None

    def erase(self, thread: Thread) -> Steps[None]:
        """Erase the thread's conversation, if there is one, with all that is its."""

        def act(conversation_id: str) -> Steps[bool]:
            yield Conversations.erase.call(conversation_id)
            return True

        yield from self.read(thread, act)

    def _generation(self, thread: Thread) -> int:
        return self._generations.find((thread.memory_space_id, thread.thread_id)) or 0

    def _keep(self, thread: Thread, generation: int) -> None:
        self._generations.keep((thread.memory_space_id, thread.thread_id), generation, 100 + len(thread.thread_id))


def _make(thread: Thread, conversation_id: str) -> Steps[None]:
    try:
        yield Conversations.create.call(
            conversation_id=conversation_id,
            user_id=thread.user_id,
            agent_id=NAME,
            memory_space_id=thread.memory_space_id,
            metadata={"threadId": thread.thread_id},
        )
    except Conflict as conflict:
        if conflict.code != "CONVERSATION_ALREADY_EXISTS":
            raise
