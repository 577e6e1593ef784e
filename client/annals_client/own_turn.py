"""The calls of a turn whose model the caller runs: the user's message first, the reply when it is there."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from inspect import iscoroutinefunction
from typing import Any, Literal, TypeVar, cast
from uuid import NAMESPACE_OID, uuid5

from annals_client.calls import Call, Steps
from annals_client.chunks import Progress, Reply
from annals_client.errors import (
    AnnalsError,
    Conflict,
    Erased,
    NotFound,
    Problem,
    Stored,
    StreamEmpty,
    StreamFailed,
    ValidationFailed,
)
from annals_client.formats.streams.reply import omitted
from annals_client.models import Appended, Conversation, Fact, KeptFacts, Message
from annals_client.resources.conversations import Conversations
from annals_client.resources.facts import Facts, NewFact
from annals_client.resources.messages import Messages
from annals_client.shapes import said_body
from annals_client.wire import Time

logger = logging.getLogger("annals_client")

T = TypeVar("T")

TOO_LARGE = 413


@dataclass(frozen=True)
class StoredTurn:
    """A turn in the ledger, both messages, with its facts. ``full_response`` is the whole reply.

    Where facts were to be extracted, ``facts_extracted`` says whether they were, and ``facts_problem`` why not;
    ``facts_omitted`` is how many the answer had no room for.
    """

    conversation_id: str
    user_message: Message
    reply: Message
    full_response: str
    facts: Sequence[Fact] = ()
    facts_omitted: int = 0
    facts_extracted: bool | None = None
    facts_problem: str | None = None


@dataclass(frozen=True)
class Hooks:
    """Whom to tell of a reply: of each chunk, how much there is, that it failed, that it is stored.

    What a hook raises is logged, and changes nothing.
    """

    on_chunk: Callable[[Any], Any] | None = None
    on_progress: Callable[[Progress], Any] | None = None
    on_error: Callable[[AnnalsError], Any] | None = None
    on_complete: Callable[[StoredTurn], Any] | None = None

    def require_functions(self) -> None:
        """Raise TypeError for a hook that would have to be awaited."""
        for hook in (self.on_chunk, self.on_progress, self.on_error, self.on_complete):
            if iscoroutinefunction(hook):
                raise TypeError("Annals calls its hooks; those that are coroutines need AsyncAnnals")


@dataclass(frozen=True)
class OwnTurn:
    """A turn whose model the caller runs.

    The Idempotency-Keys of its calls follow from ``key``; ``on_failure`` says what becomes of a reply that breaks off.
    """

    key: str
    memory_space_id: str
    user_message: object
    conversation_id: str | None = None
    user_name: str | None = None
    user_id: str | None = None
    agent_id: str | None = None
    participant_id: str | None = None
    thread_id: str | None = None
    run_id: str | None = None
    metadata: Mapping[str, Any] | None = None
    timestamp: Time | None = None
    importance: int | None = None
    tags: Sequence[str] | None = None
    facts: Iterable[NewFact] | None = None
    extract_facts: bool = False
    on_failure: Literal["keep", "discard"] = "keep"

    def begin(self) -> Steps[Appended]:
        """Store the user's message in its conversation, which is made if it is missing. Raises AnnalsError."""
        conversation = yield from self._conversation()
        self._require_fitting(conversation)
        said = said_body(self.user_message)
        message = self._message("user", said if isinstance(said, Mapping) else {"content": said})
        message["user_id"] = self.user_id
        if self.user_name is not None:
            message["name"] = self.user_name
        return (yield from self._append(conversation.conversation_id, message, "user"))

    def complete(self, begun: Appended, reply: Reply) -> Steps[StoredTurn]:
        """Store the whole reply, then the turn's facts. A reply that the model cut off is stored as incomplete.

        Raises StreamFailed, with the reply's text, where that cannot be; StreamEmpty without one.
        """
        text, reader, message = reply.text, reply.reader, begun.messages[0]
        if not reader.is_reply:
            reason = f" ({reader.finish_reason})" if reader.finish_reason else ""
            detail = f"The reply was empty{reason}. The user's message is kept."
            raise StreamEmpty(Problem(0, "STREAM_EMPTY", "Empty reply", detail), _stored(begun), text)
        stored = [begun]
        try:
            stored.append((yield from self._append_reply(begun.conversation_id, reply, is_cut=reader.is_cut)))
            facts = yield from self._store_facts(stored, extract=self.extract_facts and not reader.is_cut)
        except AnnalsError as refusal:
            raise StreamFailed(refusal.problem, _stored(*stored), text) from refusal
        turn = StoredTurn(begun.conversation_id, message, stored[1].messages[0], text)
        return replace(turn, **dict(facts)) if facts else turn

    def break_off(self, begun: Appended, reply: Reply, failure: BaseException) -> Steps[StreamFailed]:
        """Store the reply as far as it came, if that is asked for and there is any; the error to raise."""
        text, outcome = reply.text, "The user's message is kept, the reply is not."
        stored = _stored(begun)
        if self.on_failure == "keep" and reply.reader.is_reply:
            try:
                appended = yield from self._append_reply(begun.conversation_id, reply, is_cut=True)
                stored, outcome = _stored(begun, appended), "What came of the reply is kept, marked incomplete."
                yield from self._store_facts([begun, appended], extract=False)
            except AnnalsError:
                logger.exception("What came of the turn of %s could not all be stored", stored.message_ids[0])
        detail = f"The reply broke off ({type(failure).__name__}: {failure}). {outcome}"
        return StreamFailed(Problem(0, "STREAM_FAILED", "Reply failed", detail), stored, text)

    def _append_reply(self, conversation_id: str, reply: Reply, *, is_cut: bool) -> Steps[Appended]:
        """Store the reply, with its parts; without them where an entry has room for the text alone."""
        message, parts = self._message("assistant", {"content": reply.text}), reply.reader.parts
        message["finish_reason"] = reply.reader.finish_reason
        if is_cut:
            message["status"] = "incomplete"
        if parts is None:
            return (yield from self._append(conversation_id, message))
        try:
            return (yield from self._append(conversation_id, {**message, "parts": parts}))
        except ValidationFailed as refusal:
            if refusal.status != TOO_LARGE or not reply.reader.has_words:
                raise
        message["parts"] = omitted(parts)
        return (yield from self._append(conversation_id, message, "assistant without parts"))

    def _store_facts(self, stored: Sequence[Appended], *, extract: bool) -> Steps[KeptFacts | None]:
        """Store the turn's facts, where it has any, and have those extracted that it states, if that is asked for."""
        if not extract and self.facts is None:
            return None
        call = Facts.of_turn.call(
            stored[0].conversation_id,
            _stored(*stored).message_ids,
            memory_space_id=self.memory_space_id,
            facts=self.facts,
            extract_facts=extract,
            user_id=self.user_id,
            agent_id=self.agent_id,
            participant_id=self.participant_id,
            timestamp=self.timestamp,
        )
        return (yield from _ask(call))

    def _conversation(self) -> Steps[Conversation]:
        if self.conversation_id is None:
            return (yield from _ask(self._create()))
        try:
            return (yield from _ask(Conversations.get.call(self.conversation_id)))
        except Erased:
            raise
        except NotFound:
            pass
        try:
            return (yield from _ask(self._create()))
        except Conflict:  # another writer made it meanwhile
            return (yield from _ask(Conversations.get.call(self.conversation_id)))

    def _require_fitting(self, conversation: Conversation) -> None:
        """Raise Conflict where the conversation is another space's, user's or agent's; one that is not named fits."""
        if conversation.participants.get("memorySpaceId") != self.memory_space_id:
            detail = f"Conversation {conversation.conversation_id!r} belongs to another memory space."
            raise Conflict(Problem(409, "MEMORY_SPACE_MISMATCH", "Memory space mismatch", detail, "memorySpaceId"))
        for field, own in (("userId", self.user_id), ("agentId", self.agent_id)):
            if own is not None and conversation.participants.get(field, own) != own:
                who = "user" if field == "userId" else "agent"
                detail = f"Conversation {conversation.conversation_id!r} is another {who}'s."
                raise Conflict(Problem(409, "PARTICIPANT_MISMATCH", "Participant mismatch", detail, field))

    def _create(self) -> Call[Conversation]:
        return Conversations.create.call(
            conversation_id=self.conversation_id,
            user_id=self.user_id,
            agent_id=self.agent_id,
            participant_id=self.participant_id,
            memory_space_id=self.memory_space_id,
            idempotency_key=self._key("conversation"),
        )

    def _append(self, conversation_id: str, message: Mapping[str, Any], part: str = "assistant") -> Steps[Appended]:
        key = self._key(part)
        return (yield from _ask(Messages.append.call(conversation_id, message, idempotency_key=key)))

    def _message(self, role: Literal["user", "assistant"], said: Mapping[str, Any]) -> dict[str, Any]:
        """What one side said, with the fields of both."""
        return {
            "role": role,
            "participant_id": self.participant_id,
            "thread_id": self.thread_id,
            "run_id": self.run_id,
            "metadata": self.metadata,
            "timestamp": self.timestamp,
            "importance": self.importance,
            "tags": self.tags,
            **said,
        }

    def _key(self, part: str) -> str:
        """The Idempotency-Key of one of the turn's calls."""
        return str(uuid5(NAMESPACE_OID, f"{part} {self.key}"))


def _ask(call: Call[T]) -> Steps[T]:
    return cast("T", (yield call))


def _stored(*appended: Appended) -> Stored:
    ids = tuple(message.message_id for each in appended for message in each.messages)
    return Stored(appended[0].conversation_id, ids)
