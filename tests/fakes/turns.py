"""Turns and drafts in memory, and a chat model that follows a script, for tests of the streaming core."""

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
from annals.memory.models import Remembered
from annals.memory.streaming.drafts import DeltaBatch, Draft, DraftEnd, DraftSnapshot, new_owner
from annals.memory.streaming.models import RememberStream
from annals.memory.streaming.prompt import RecalledContext
from annals.memory.streaming.turns import NewReply, StartedTurn, StoredReply, StreamRequest
from annals.providers.chat import ChatMessage, Finished, Pieces, Usage
from annals.times import now_ms

CALLER = Caller("t", "key", frozenset({"read", "write"}))


def request(message: str = "Where is my cat?", key: str | None = None, **more: object) -> StreamRequest:
    """A turn to be streamed, with an Idempotency-Key or without."""
    payload = {"memorySpaceId": "s", "conversationId": "c", "userId": "u", "userMessage": message, **more}
    idempotent = IdempotentRequest.of("t", "remember-stream", key, message.encode()) if key else None
    return StreamRequest(CALLER, RememberStream.model_validate(payload), idempotent, request_id="req-1")


@dataclass
class MemoryTurnStore:
    """Keeps turns in a dictionary. ``refuse`` names a method that raises, and what."""

    recalled: RecalledContext = field(default_factory=RecalledContext)
    refuse: dict[str, Exception] = field(default_factory=dict)
    conversations: dict[str, list[dict]] = field(default_factory=dict)
    started: dict[str, StartedTurn] = field(default_factory=dict)
    replies: dict[IdempotentRequest, StoredReply] = field(default_factory=dict)
    fact_inputs: list[Mapping[str, Any] | None] = field(default_factory=list)
    lock: Any = field(default_factory=Lock)

    def begin(self, request: StreamRequest) -> StartedTurn:
        self._maybe_refuse("begin")
        with self.lock:
            key = request.idempotent.key if request.idempotent else None
            if key in self.started:
                earlier = self.started[key]
                return replace(earlier, draft=replace(earlier.draft, owner=new_owner()), is_repeated=True)
            started = self._begin(request)
            return self.started.setdefault(key, started) if key else started

    def _begin(self, request: StreamRequest) -> StartedTurn:
        conversation_id = request.turn.conversation_id or "conv-new"
        message = self._append(conversation_id, "user", request.turn.user_message.content)
        stream_id = f"stream-{secrets.token_hex(12)}"
        reply_request = IdempotentRequest.of("t", "reply", stream_id)
        on_failure = request.turn.on_failure
        return StartedTurn(
            Draft("t", stream_id, conversation_id, "s", message["seq"], on_failure, {}, reply_request, new_owner()),
            message,
        )

    def get_user_message(self, draft: Draft) -> Mapping[str, Any]:
        self._maybe_refuse("get_user_message")
        return self.conversations[draft.conversation_id][draft.seq - 1]

    def recall(self, request: StreamRequest, started: StartedTurn) -> RecalledContext:
        self._maybe_refuse("recall")
        return self.recalled

    def commit(self, draft: Draft, reply: NewReply) -> StoredReply:
        self._maybe_refuse("commit")
        with self.lock:
            if draft.reply_request not in self.replies:
                message = self._append(draft.conversation_id, **reply.body())
                turn = remembered(draft.conversation_id, [f"msg-{draft.seq:03d}", message["messageId"]])
                self.replies[draft.reply_request] = StoredReply(message, turn)
            return self.replies[draft.reply_request]

    def store_facts(self, draft: Draft, reply: StoredReply) -> StoredReply:
        self._maybe_refuse("store_facts")
        self.fact_inputs.append(draft.fact_input)
        return reply

    def find_reply(self, draft: Draft) -> StoredReply | None:
        self._maybe_refuse("find_reply")
        return self.replies.get(draft.reply_request)

    def _append(self, conversation_id: str, role: str, content: str, **more: Any) -> dict:
        messages = self.conversations.setdefault(conversation_id, [])
        seq = len(messages) + 1
        messages.append({"messageId": f"msg-{seq:03d}", "seq": seq, "role": role, "content": content, **more})
        return messages[-1]

    def _maybe_refuse(self, method: str) -> None:
        if method in self.refuse:
            raise self.refuse[method]

    def contents(self, conversation_id: str = "c") -> list[tuple[str, str]]:
        """Role and content of all messages."""
        return [(message["role"], message["content"]) for message in self.conversations.get(conversation_id, [])]


@dataclass
class StoredDraft:
    """One draft in memory."""

    draft: Draft
    alive_until: int
    context: Mapping[str, Any] | None = None
    batches: list[DeltaBatch] = field(default_factory=list)
    end: DraftEnd | None = None


@dataclass
class MemoryDrafts:
    """Keeps drafts in a dictionary, and counts what is written. ``fails`` lets every write of deltas fail."""

    lease_s: float = 20.0
    fails: bool = False
    stored: dict[str, StoredDraft] = field(default_factory=dict)
    written: Any = field(default_factory=lambda: count(1))
    lock: Any = field(default_factory=Lock)

    def claim(self, draft: Draft, instead_of: str | None = None) -> bool:
        with self.lock:
            stored = self.stored.get(draft.stream_id)
            if stored and stored.draft.owner != instead_of:
                return False
            self.stored[draft.stream_id] = StoredDraft(draft, self._lease_end())
            return True

    def heartbeat(self, draft: Draft, context: Mapping[str, Any] | None) -> None:
        if stored := self._find_own(draft):
            stored.context, stored.alive_until = context, self._lease_end()

    def add(self, draft: Draft, batch: DeltaBatch) -> None:
        if self.fails:
            raise OSError("no drafts today")
        if stored := self._find_own(draft):
            next(self.written)
            stored.batches.append(batch)
            stored.alive_until = self._lease_end()

    def end(self, draft: Draft, end: DraftEnd) -> None:
        if stored := self._find_own(draft):
            stored.end = stored.end or end

    def find(self, tenant: str, stream_id: str, first: int = 1) -> DraftSnapshot | None:
        stored = self.stored.get(stream_id)
        if stored is None or tenant != stored.draft.tenant:
            return None
        batches = [batch for batch in stored.batches if batch.number >= first]
        return DraftSnapshot(stored.draft, stored.context, batches, stored.end, stored.alive_until)

    def with_fact_input(self, draft: Draft) -> Draft:
        stored = self.stored.get(draft.stream_id)
        return stored.draft if stored else draft

    def _find_own(self, draft: Draft) -> StoredDraft | None:
        stored = self.stored.get(draft.stream_id)
        return stored if stored and stored.draft.owner == draft.owner else None

    def _lease_end(self) -> int:
        return now_ms() + round(self.lease_s * 1000)


def remembered(conversation_id: str, message_ids: list[str]) -> Remembered:
    """What a store answers of a turn."""
    conversation = {"conversationId": conversation_id, "messageIds": message_ids, "messageCount": len(message_ids)}
    return {"conversation": conversation, "memories": [], "facts": []}


class ScriptedModel:
    """Streams its script: texts, pauses in seconds, asyncio events to wait for, an exception to raise, an end."""

    model = "scripted"

    def __init__(self, *script: str | float | asyncio.Event | Exception | Finished) -> None:
        self.script = script
        self.requests: list[tuple[list[ChatMessage], str | None, str | None]] = []
        self.sent: list[str] = []

    async def stream(
        self, messages: Sequence[ChatMessage], *, instructions: str | None = None, model: str | None = None
    ) -> Pieces:
        self.requests.append((list(messages), instructions, model))
        for part in self.script:
            if isinstance(part, float):
                await asyncio.sleep(part)
            elif isinstance(part, asyncio.Event):
                await part.wait()
            elif isinstance(part, Exception):
                raise part
            else:
                if isinstance(part, str):
                    self.sent.append(part)
                yield part


END = Finished("stop", Usage(5, 2))
BROKEN = ChatUnavailable("The chat model broke off.")
