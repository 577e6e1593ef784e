"""Turns and drafts in memory, and a chat model that says what it is told to, for tests of the streaming core."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from threading import Lock
from typing import Any

from annals.access.caller import Caller
from annals.errors import ChatUnavailable
from annals.ledger.idempotency import IdempotentRequest
from annals.memory.models import Remembered, RememberStream
from annals.memory.streaming.drafts import DeltaBatch, Draft, DraftEnd, DraftSnapshot, new_owner
from annals.memory.streaming.prompt import RecalledContext
from annals.memory.streaming.turns import StartedTurn, StoredReply, StreamRequest
from annals.providers.chat import ChatMessage, Finished, Pieces, Usage
from annals.times import now_ms

CALLER = Caller("t", "key", frozenset({"read", "write"}))


def request(message: str = "Where is my cat?", key: str | None = None, **more: object) -> StreamRequest:
    """A turn to be streamed, with an Idempotency-Key or without."""
    said = {"memorySpaceId": "s", "conversationId": "c", "userId": "u", "userMessage": message, **more}
    idempotent = IdempotentRequest.of("t", "remember-stream", key, message.encode()) if key else None
    return StreamRequest(CALLER, RememberStream.model_validate(said), idempotent, request_id="req-1")


@dataclass
class MemoryTurnStore:
    """Keeps turns in a dictionary. ``refuse`` names a method that raises, and what."""

    recalled: RecalledContext = field(default_factory=RecalledContext)
    refuse: dict[str, Exception] = field(default_factory=dict)
    conversations: dict[str, list[dict]] = field(default_factory=dict)
    begun: dict[str, StartedTurn] = field(default_factory=dict)
    replies: dict[IdempotentRequest, StoredReply] = field(default_factory=dict)
    kept: list[Mapping[str, Any] | None] = field(default_factory=list)
    lock: Any = field(default_factory=Lock)

    def begin(self, request: StreamRequest) -> StartedTurn:
        self._maybe_refuse("begin")
        with self.lock:
            key = request.idempotent.key if request.idempotent else None
            if key in self.begun:
                earlier = self.begun[key]
                return replace(earlier, draft=replace(earlier.draft, owner=new_owner()), is_repeated=True)
            begun = self._begin(request)
            return self.begun.setdefault(key, begun) if key else begun

    def _begin(self, request: StreamRequest) -> StartedTurn:
        conversation_id = request.turn.conversation_id or "conv-new"
        message = self._append(conversation_id, "user", request.turn.user_message)
        stream_id = f"stream-{secrets.token_hex(12)}"
        once = IdempotentRequest.of("t", "reply", stream_id)
        on_failure = request.turn.on_failure
        return StartedTurn(
            Draft("t", stream_id, conversation_id, "s", message["seq"], on_failure, {}, once, new_owner()), message
        )

    def message(self, draft: Draft) -> Mapping[str, Any]:
        self._maybe_refuse("message")
        return self.conversations[draft.conversation_id][draft.seq - 1]

    def recall(self, request: StreamRequest, begun: StartedTurn) -> RecalledContext:
        self._maybe_refuse("recall")
        return self.recalled

    def commit(self, draft: Draft, text: str, *, incomplete: bool) -> StoredReply:
        self._maybe_refuse("commit")
        with self.lock:
            if draft.once not in self.replies:
                status = {"status": "incomplete"} if incomplete else {}
                message = self._append(draft.conversation_id, "assistant", text, **status)
                turn = remembered(draft.conversation_id, [f"msg-{draft.seq:03d}", message["messageId"]])
                self.replies[draft.once] = StoredReply(text, incomplete, turn)
            return self.replies[draft.once]

    def store_facts(self, draft: Draft, reply: StoredReply) -> StoredReply:
        self._maybe_refuse("store_facts")
        self.kept.append(draft.turn)
        return reply

    def find_reply(self, draft: Draft) -> StoredReply | None:
        self._maybe_refuse("find_reply")
        return self.replies.get(draft.once)

    def _append(self, conversation_id: str, role: str, content: str, **more: str) -> dict:
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


@dataclass
class TurnFacts:
    """One draft in memory."""

    draft: Draft
    until: int
    context: Mapping[str, Any] | None = None
    batches: list[DeltaBatch] = field(default_factory=list)
    end: DraftEnd | None = None


@dataclass
class MemoryDrafts:
    """Keeps drafts in a dictionary, and counts what is written. ``fails`` lets every write of deltas fail."""

    lease_s: float = 20.0
    fails: bool = False
    kept: dict[str, TurnFacts] = field(default_factory=dict)
    written: Any = field(default_factory=lambda: count(1))
    lock: Any = field(default_factory=Lock)

    def claim(self, draft: Draft, instead_of: str | None = None) -> bool:
        with self.lock:
            kept = self.kept.get(draft.stream_id)
            if kept and kept.draft.owner != instead_of:
                return False
            self.kept[draft.stream_id] = TurnFacts(draft, self._until())
            return True

    def pulse(self, draft: Draft, context: Mapping[str, Any] | None) -> None:
        if kept := self._own(draft):
            kept.context, kept.until = context, self._until()

    def add(self, draft: Draft, batch: DeltaBatch) -> None:
        if self.fails:
            raise OSError("no drafts today")
        if kept := self._own(draft):
            next(self.written)
            kept.batches.append(batch)
            kept.until = self._until()

    def end(self, draft: Draft, end: DraftEnd) -> None:
        if kept := self._own(draft):
            kept.end = kept.end or end

    def read(self, tenant: str, stream_id: str, first: int = 1) -> DraftSnapshot | None:
        kept = self.kept.get(stream_id)
        if kept is None or tenant != kept.draft.tenant:
            return None
        batches = [batch for batch in kept.batches if batch.number >= first]
        return DraftSnapshot(kept.draft, kept.context, batches, kept.end, kept.until)

    def with_turn(self, draft: Draft) -> Draft:
        kept = self.kept.get(draft.stream_id)
        return kept.draft if kept else draft

    def _own(self, draft: Draft) -> TurnFacts | None:
        kept = self.kept.get(draft.stream_id)
        return kept if kept and kept.draft.owner == draft.owner else None

    def _until(self) -> int:
        return now_ms() + round(self.lease_s * 1000)


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
