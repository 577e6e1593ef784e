"""A streamed turn: what is requested, what is stored of it, and the protocol of the store that keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from annals.access.caller import Caller
from annals.formats.streams.endings import ending_of
from annals.ledger.idempotency import IdempotentRequest
from annals.memory.models import Remembered
from annals.memory.streaming.drafts import Draft
from annals.memory.streaming.models import RememberStream
from annals.memory.streaming.prompt import RecalledContext
from annals.providers.chat import Usage


@dataclass(frozen=True)
class StreamRequest:
    """A turn to be streamed, and for whom.

    Parameters
    ----------
    request_id : what problem details name
    unmasked_message : the user's message as the model is to get it, where that is not as it is stored
    """

    caller: Caller
    turn: RememberStream
    idempotent: IdempotentRequest | None = None
    request_id: str = ""
    unmasked_message: str | None = None

    @property
    def message_for_model(self) -> str:
        """The user's message as the model gets it."""
        return self.turn.user_message.content if self.unmasked_message is None else self.unmasked_message


@dataclass(frozen=True)
class StartedTurn:
    """A turn whose user's message is in the ledger.

    Parameters
    ----------
    draft : what its stream is, with a new owner
    message : the user's message as the API shows it
    is_repeated : whether an earlier request with the same Idempotency-Key stored it
    """

    draft: Draft
    message: Mapping[str, Any]
    is_repeated: bool = False


@dataclass(frozen=True)
class NewReply:
    """A reply to be stored.

    Parameters
    ----------
    parts : what it has beside its text, as the model's provider has it
    finish_reason : why it ended, in the model's word; None where that is not known, or not why the text ends
    incomplete : whether there would have been more to it
    """

    text: str
    parts: Any = None
    finish_reason: str | None = None
    incomplete: bool = False

    @property
    def broke_off(self) -> bool:
        """Whether it is incomplete, and not because the model came to a limit, which is a reply's proper end."""
        return self.incomplete and ending_of(self.finish_reason) != "limit"

    def body(self) -> dict[str, Any]:
        """The fields of a message's body that say this."""
        named = {"parts": self.parts, "finishReason": self.finish_reason}
        said = {name: value for name, value in named.items() if value is not None}
        status = {"status": "incomplete"} if self.incomplete else {}
        return {"role": "assistant", "content": self.text, **said, **status}


@dataclass(frozen=True)
class StoredReply:
    """A reply in the ledger, and what is stored of its whole turn.

    ``message`` is the reply as the API shows it; ``at`` is when it was stored, in Unix milliseconds. ``whole_text`` is
    for whoever has it: of a text that is beside the entry, the message has the beginning.
    """

    message: Mapping[str, Any]
    remembered: Remembered
    at: int = 0
    whole_text: str | None = field(default=None, compare=False)

    @property
    def text(self) -> str | None:
        """Its text; None where it was redacted."""
        return self.message.get("content")

    @property
    def incomplete(self) -> bool:
        """Whether there would have been more to it."""
        return self.message.get("status") == "incomplete"

    @property
    def finish_reason(self) -> str | None:
        """Why it ended, in the model's word."""
        return self.message.get("finishReason")

    @property
    def broke_off(self) -> bool:
        """The same of what is stored; see ``NewReply.broke_off``."""
        return self.incomplete and ending_of(self.finish_reason) != "limit"

    @property
    def usage(self) -> Usage | None:
        """Its tokens, if its parts say them."""
        parts = self.message.get("parts")
        return Usage.of(parts.get("usage")) if isinstance(parts, Mapping) else None


class TurnStore(Protocol):
    """Where turns are kept. Its methods block; they are called in threads, one after another for one turn.

    ``LedgerTurnStore`` is the product's. The protocol stands apart from it so that tests of the streaming core keep
    turns in memory, without a database.
    """

    def begin(self, request: StreamRequest) -> StartedTurn:
        """Store the user's message in its conversation, which is made if it is missing. Raises AnnalsError."""
        ...

    def get_user_message(self, draft: Draft) -> Mapping[str, Any]:
        """The user's message of a turn, as the API shows it. Raises ConversationErased."""
        ...

    def recall(self, request: StreamRequest, started: StartedTurn) -> RecalledContext:
        """Find what the model should know. A search that is out of order is no reason to fail."""
        ...

    def commit(self, draft: Draft, reply: NewReply) -> StoredReply:
        """Store the reply, once: where the turn has one already, that one is returned.

        Parts that an entry has no room for are left out, and said to be. Of a reply that broke off, and whose text
        alone is longer than an entry can be, as much is stored as fits. Raises AnnalsError.
        """
        ...

    def store_facts(self, draft: Draft, reply: StoredReply) -> StoredReply:
        """Store the facts of a turn whose reply is stored, once, and return the reply with them. Raises AnnalsError.

        They are extracted from a whole reply only, and from a draft that has its input; see
        ``Drafts.with_fact_input``.
        """
        ...

    def find_reply(self, draft: Draft) -> StoredReply | None:
        """The turn's reply, if one is stored, with the facts that are. Raises ConversationErased."""
        ...
