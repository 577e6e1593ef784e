"""A streamed turn: what is asked for, where it is kept, and what its followers are told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from annals.access.caller import Caller
from annals.api import problems
from annals.errors import AnnalsError
from annals.ledger.idempotency import IdempotentRequest
from annals.memory.models import Remembered, RememberStream
from annals.memory.streaming.drafts import Draft
from annals.memory.streaming.prompt import RecalledContext


@dataclass(frozen=True)
class StreamRequest:
    """A turn to be streamed, and for whom. ``request_id`` is what problem details name.

    ``question`` is the user's message as the model is to get it, where that is not as it is stored.
    """

    caller: Caller
    turn: RememberStream
    idempotent: IdempotentRequest | None = None
    request_id: str = ""
    question: str | None = None

    @property
    def asked(self) -> str:
        """What the model is asked."""
        return self.turn.user_message if self.question is None else self.question


@dataclass(frozen=True)
class StartedTurn:
    """A turn whose user's message is in the ledger.

    Parameters
    ----------
    draft : what its stream is, told by a new owner
    message : the user's message as the API shows it
    is_repeated : whether an earlier request with the same Idempotency-Key stored it
    """

    draft: Draft
    message: Mapping[str, Any]
    is_repeated: bool = False


@dataclass(frozen=True)
class StoredReply:
    """A reply in the ledger, and what is stored of its whole turn.

    ``text`` is None where it was redacted; ``at`` is when the reply was stored, in Unix milliseconds.
    """

    text: str | None
    incomplete: bool
    remembered: Remembered
    at: int = 0


class TurnStore(Protocol):
    """Where turns are kept. Its methods block; they are called in threads, one after another for one turn."""

    def begin(self, request: StreamRequest) -> StartedTurn:
        """Store the user's message in its conversation, which is made if it is missing. Raises AnnalsError."""
        ...

    def message(self, draft: Draft) -> Mapping[str, Any]:
        """The user's message of a turn, as the API shows it. Raises ConversationErased."""
        ...

    def recall(self, request: StreamRequest, begun: StartedTurn) -> RecalledContext:
        """Find what the model should know. A search that is out of order is no reason to fail."""
        ...

    def commit(self, draft: Draft, text: str, *, incomplete: bool) -> StoredReply:
        """Store the reply, once: where the turn has one already, that is the answer.

        Of an incomplete one that is longer than an entry can be, as much is stored as fits. Raises AnnalsError.
        """
        ...

    def store_facts(self, draft: Draft, reply: StoredReply) -> StoredReply:
        """Store the facts of a turn whose reply is stored, once, and tell them with it. Raises AnnalsError.

        They are extracted from a whole reply only, and from a draft that has its turn; see ``Drafts.with_turn``.
        """
        ...

    def find_reply(self, draft: Draft) -> StoredReply | None:
        """The turn's reply, if one is stored, with the facts that are. Raises ConversationErased."""
        ...


@dataclass(frozen=True)
class Event:
    """What the followers of a turn are told. Deltas have numbers, from 1."""

    name: Literal["start", "context", "delta", "result", "error"]
    data: Mapping[str, Any]
    number: int | None = None


def start(draft: Draft, message: Mapping[str, Any]) -> Event:
    """The beginning of a reply. Told once more, it says that the reply begins anew."""
    return Event("start", {"streamId": draft.stream_id, "conversationId": draft.conversation_id, "message": message})


def context(recalled: RecalledContext) -> Event:
    """What the model was shown."""
    ids = list(recalled.memory_ids)
    return Event("context", {"memoryIds": ids, "historyCount": len(recalled.history), "tokenEstimate": recalled.tokens})


def delta(text: str, number: int) -> Event:
    """A piece of the reply."""
    return Event("delta", {"text": text}, number)


def result(reply: StoredReply, usage: Mapping[str, int] | None, reason: str) -> Event:
    """The end of a turn that is stored whole."""
    told = {"fullResponse": reply.text or "", "usage": usage, "finishReason": reason}
    return Event("result", {**reply.remembered, **told})


def error(refusal: AnnalsError, request_id: str, conversation_id: str, message_ids: Sequence[str]) -> Event:
    """The end of a turn that failed, and which of its messages are stored."""
    stored = {"conversationId": conversation_id, "messageIds": list(message_ids)}
    return Event("error", {**problems.problem_details(refusal, request_id), "stored": stored})
