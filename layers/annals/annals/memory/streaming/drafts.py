"""Drafts: what has been streamed so far, kept so that anybody can follow it, or end it if its process dies.

A draft has one owner at a time, who streams into it. Another may take it over where nothing of the reply was stored; it
numbers its deltas on, so that a number never stands for two texts.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any, Protocol

from annals.ledger.entry import Entry
from annals.ledger.idempotency import IdempotentRequest

STREAM_ID = re.compile(r"stream-[0-9a-f]{24}")


def stream_id_of(question: Entry) -> str:
    """The id of the stream that answers an entry: the same one for whoever finds that entry again, and no other's."""
    return f"stream-{sha256(f'{question.pk}#{question.seq}#{question.entry_id}'.encode()).hexdigest()[:24]}"


def new_owner() -> str:
    """A name for a new owner of a draft."""
    return secrets.token_hex(4)


@dataclass(frozen=True)
class Draft:
    """What a stream is, for whoever has to follow or end it.

    Parameters
    ----------
    seq : the seq of the user's message in its conversation
    on_failure : ``keep`` or ``discard``, what is to be done with a part of a reply
    reply_fields : what the reply holds beside its text, as a message's body has it
    reply_request : the idempotency of storing the reply: there is at most one, whoever stores it
    owner : who streams into it
    first : the number of the owner's first delta
    has_facts : whether facts belong to the turn: some that it brings, or some that are to be extracted
    fact_input : the part of the request that is about facts, as the API has it; see ``Drafts.with_fact_input``
    """

    tenant: str
    stream_id: str
    conversation_id: str
    memory_space_id: str
    seq: int
    on_failure: str
    reply_fields: Mapping[str, Any]
    reply_request: IdempotentRequest
    owner: str
    first: int = 1
    has_facts: bool = False
    fact_input: Mapping[str, Any] | None = field(default=None, compare=False, repr=False)

    def with_new_owner(self, after: int) -> Draft:
        """The same stream with another owner, whose deltas are numbered on after ``after``."""
        return replace(self, owner=new_owner(), first=after + 1)


@dataclass(frozen=True)
class DeltaBatch:
    """Deltas in a row; ``number`` is the first one's."""

    number: int
    texts: Sequence[str]

    @property
    def last(self) -> int:
        """The last one's number."""
        return self.number + len(self.texts) - 1


@dataclass(frozen=True)
class DraftEnd:
    """How a stream ended. The fields are stored under these names.

    Parameters
    ----------
    last : the number of the last delta
    error : the data of the error event; None where the reply is stored whole
    stored : whether all is stored that is to be: a reply, whole or incomplete, and the turn's facts
    died : whether the owner fell silent, and somebody else ended the stream
    usage, reason : what the model reported at its reply's end
    facts_problem : why no facts were extracted, where they were to be
    """

    last: int
    error: Mapping[str, Any] | None = None
    stored: bool = True
    died: bool = False
    usage: Mapping[str, int | None] | None = None
    reason: str | None = None
    facts_problem: str | None = None


@dataclass(frozen=True)
class DraftSnapshot:
    """A draft as it was read, from some delta on. Unless it gives another sign of life, it lives until ``alive_until``.

    ``alive_until`` is in Unix milliseconds.
    """

    draft: Draft
    context: Mapping[str, Any] | None
    batches: Sequence[DeltaBatch]
    end: DraftEnd | None
    alive_until: int

    @property
    def text(self) -> str:
        """The text of all these deltas."""
        return "".join(text for batch in self.batches for text in batch.texts)

    @property
    def last(self) -> int:
        """The number of the last of these deltas."""
        return self.batches[-1].last if self.batches else self.draft.first - 1


class Drafts(Protocol):
    """Where drafts are kept. The methods block; those of one owner are called one after another.

    ``DraftTable`` is the product's. The protocol stands apart from it so that tests of the streaming core keep drafts
    in memory, without a database.
    """

    @property
    def lease_s(self) -> float:
        """How long a draft that gives no sign of life counts as alive, in seconds."""
        ...

    def claim(self, draft: Draft, instead_of: str | None = None) -> bool:
        """Make the draft's owner the stream's, if it has none, or if ``instead_of`` was; whether that succeeded.

        Raises ConversationErased or MessageRedacted where the user's message is gone.
        """
        ...

    def heartbeat(self, draft: Draft, context: Mapping[str, Any] | None) -> None:
        """Give a sign of life, with the data of the context event as soon as there are any.

        Raises StreamNotFound where the draft is gone.
        """
        ...

    def add(self, draft: Draft, batch: DeltaBatch) -> None:
        """Add deltas, which are a sign of life, too. Raises StreamNotFound where the draft is gone."""
        ...

    def end(self, draft: Draft, end: DraftEnd) -> None:
        """Store how the stream ended; the first end that is stored of an owner's deltas counts.

        Raises StreamNotFound where the draft is gone.
        """
        ...

    def find(self, tenant: str, stream_id: str, first: int = 1) -> DraftSnapshot | None:
        """The stream's draft from delta ``first`` on, as it is now; None where there is none, or its turn is gone."""
        ...

    def with_fact_input(self, draft: Draft) -> Draft:
        """The draft with its ``fact_input``, which ``find`` leaves out: it is large, and needed once."""
        ...
