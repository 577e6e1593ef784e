"""A turn store in memory and a chat model that says what it is told to, for tests of the streaming core."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Lock

from annals.access.caller import Caller
from annals.errors import ChatUnavailable
from annals.memory.models import Remembered, RememberStream
from annals.memory.prompt import Recalled
from annals.memory.streaming import StoredReply, StoredUserMessage, StreamRequest
from annals.models.chat import ChatMessage, Finished, Pieces, Usage

CALLER = Caller("t", "key", frozenset({"read", "write"}))


def request(message: str = "Where is my cat?", **more: object) -> StreamRequest:
    """A turn to be streamed."""
    said = {"memorySpaceId": "s", "conversationId": "c", "userId": "u", "userMessage": message, **more}
    return StreamRequest(CALLER, RememberStream.model_validate(said), request_id="req-1")


@dataclass
class MemoryTurnStore:
    """Keeps turns in a dictionary. ``refuse`` names a method that raises, and what."""

    recalled: Recalled = field(default_factory=Recalled)
    refuse: dict[str, Exception] = field(default_factory=dict)
    answer: StoredReply | None = None
    conversations: dict[str, list[dict]] = field(default_factory=dict)
    usages: list[Usage | None] = field(default_factory=list)
    lock: Lock = field(default_factory=Lock)

    def begin(self, request: StreamRequest) -> StoredUserMessage:
        self._maybe_refuse("begin")
        conversation_id = request.turn.conversation_id or "conv-new"
        message = self._append(conversation_id, "user", request.turn.user_message)
        return StoredUserMessage(conversation_id, message, self.answer)

    def recall(self, request: StreamRequest, begun: StoredUserMessage) -> Recalled:
        self._maybe_refuse("recall")
        return self.recalled

    def commit(
        self, request: StreamRequest, begun: StoredUserMessage, text: str, *, incomplete: bool, usage: Usage | None
    ) -> Remembered:
        self._maybe_refuse("commit")
        reply = self._append(
            begun.conversation_id, "assistant", text, **({"status": "incomplete"} if incomplete else {})
        )
        self.usages.append(usage)
        return remembered(begun.conversation_id, [begun.message["messageId"], reply["messageId"]])

    def _append(self, conversation_id: str, role: str, content: str, **more: str) -> dict:
        with self.lock:
            messages = self.conversations.setdefault(conversation_id, [])
            seq = len(messages) + 1
            messages.append({"messageId": f"msg-{seq:03d}", "seq": seq, "role": role, "content": content, **more})
            return messages[-1]

    def _maybe_refuse(self, method: str) -> None:
        if method in self.refuse:
            raise self.refuse[method]

    def said(self, conversation_id: str = "c") -> list[tuple[str, str]]:
        """Role and content of all messages."""
        return [(message["role"], message["content"]) for message in self.conversations.get(conversation_id, [])]


def remembered(conversation_id: str, message_ids: list[str]) -> Remembered:
    """What a store says of a turn."""
    conversation = {"conversationId": conversation_id, "messageIds": message_ids, "messageCount": len(message_ids)}
    return {"conversation": conversation, "memories": [], "facts": []}


class ScriptedModel:
    """Says its script: texts, pauses in seconds, asyncio events to wait for, an exception to raise, an end."""

    model = "scripted"

    def __init__(self, *script: str | float | asyncio.Event | Exception | Finished) -> None:
        self.script = script
        self.asked: list[tuple[list[ChatMessage], str | None, str | None]] = []
        self.said: list[str] = []

    async def stream(
        self, messages: Sequence[ChatMessage], *, instructions: str | None = None, model: str | None = None
    ) -> Pieces:
        self.asked.append((list(messages), instructions, model))
        for part in self.script:
            if isinstance(part, float):
                await asyncio.sleep(part)
            elif isinstance(part, asyncio.Event):
                await part.wait()
            elif isinstance(part, Exception):
                raise part
            else:
                if isinstance(part, str):
                    self.said.append(part)
                yield part


END = Finished("stop", Usage(5, 2))
BROKEN = ChatUnavailable("The chat model broke off.")
