"""A streamed turn: what is requested, what is stored of it, and the protocol of the store that keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from annals.access.caller import Caller
from annals.ledger.idempotency import IdempotentRequest
from annals.memory.models import Remembered
from annals.memory.streaming.drafts import Draft
from annals.memory.streaming.models import RememberStream
from annals.memory.streaming.prompt import RecalledContext


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
class StoredReply:
    """A reply in the ledger, and what is stored of its whole turn.

    ``text`` is None where it was redacted; ``at`` is when the reply was stored, in Unix milliseconds.
    """

    text: str | None
    incomplete: bool
    remembered: Remembered
    at: int = 0


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

    def commit(self, draft: Draft, text: str, *, incomplete: bool) -> StoredReply:
        """Store the reply, once: where the turn has one already, that one is returned.

        Of an incomplete one that is longer than an entry can be, as much is stored as fits. Raises AnnalsError.
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
