"""Documents out of the turns of a conversation: each knows the two turns before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from annals.search import words
from annals.search.documents import MAX_SPEAKER_CHARS, NOBODY, SOMEBODY, Document, user_owner

WINDOW_TURNS = 2
"""How many earlier turns a document's window holds: so many turns behind a redacted one are to be indexed anew."""

ANSWERS = 50
"""How many records behind what a user said a message without a user of its own still counts as an answer to it."""

SESSION_GAP_MS = 6 * 3_600_000
WINDOW_WORDS = 100


@dataclass(frozen=True, kw_only=True)
class Conversation:
    """What all turns of a conversation share. The ids are the participants', for turns that don't name their own."""

    tenant: str
    conversation_id: str
    memory_space_id: str
    user_id: str | None = None
    agent_id: str | None = None
    participant_id: str | None = None
    source_type: str = "conversation"


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One message of a conversation, as the ledger has it. ``at`` is when it was said, in Unix milliseconds.

    ``answers`` is the seq of the message that it was made to answer, where that was noted with it; ``sender`` the agent
    who wrote it to another one.
    """

    seq: int
    message_id: str
    text: str
    at: int
    speaker: str | None = None
    sender: str | None = None
    role: str | None = None
    user_id: str | None = None
    agent_id: str | None = None
    participant_id: str | None = None
    answers: int | None = None
    thread_id: str | None = None
    run_id: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    importance: int = 50
    tags: tuple[str, ...] = ()
    status: str = "active"
    digest: str = ""
    redacted: bool = False


def memory_id(conversation_id: str, seq: int) -> str:
    """The id of the memory that a raw message is."""
    return f"mem:{conversation_id}:{seq}"


def documents_of(conversation: Conversation, turns: Sequence[Turn], *, first_seq: int = 1) -> list[Document]:
    """The documents of a conversation's consecutive turns.

    Parameters
    ----------
    conversation : what all of them share
    turns : in order of seq
    first_seq : turns before it only give their text to the windows of those behind them

    Returns
    -------
    list of Document
        One for each turn from ``first_seq`` on that was not redacted, without vectors.
    """
    said = [turn for turn in turns if not turn.redacted]
    owner_of = owners(conversation.user_id, turns)
    return [
        _document(conversation, turn, window(said[max(0, place - WINDOW_TURNS) : place], turn), owner_of[turn.seq])
        for place, turn in enumerate(said)
        if turn.seq >= first_seq
    ]


def owners(user_id: str | None, turns: Sequence[Turn]) -> dict[int, str]:
    """To whom each turn belongs, by its seq: to the conversation's user, whoever spoke.

    In a conversation without one, to its own user, or else to the user whom it answers: that of the message of which
    this was noted, or the one who is named last among the ``ANSWERS`` records before it. Behind a message of which
    nothing is left, nobody knows who that was; and a reply that was noted to answer nobody's message was made of
    everybody's words.

    Parameters
    ----------
    user_id : the conversation's user
    turns : in order of seq, from ``ANSWERS`` before the first one that is wanted
    """
    if user_id is not None:
        return dict.fromkeys((turn.seq for turn in turns), user_owner(user_id))
    found: dict[int, str] = {}
    asked = {turn.seq: user_owner(turn.user_id) for turn in turns if turn.user_id is not None}
    last = (-ANSWERS, NOBODY)
    for turn in turns:
        if turn.seq in asked:
            last = (turn.seq, asked[turn.seq])
        elif turn.redacted and turn.role is None:
            last = (turn.seq, SOMEBODY)
        found[turn.seq] = last[1] if turn.seq - last[0] <= ANSWERS else NOBODY
        if turn.answers is not None:
            is_near = turn.seq - turn.answers <= ANSWERS
            found[turn.seq] = asked.get(turn.answers, SOMEBODY) if is_near else SOMEBODY
    return found


def window(before: Sequence[Turn], turn: Turn) -> str:
    """The end of each turn before it in the same session, then its own text; without names."""
    texts = [turn.text]
    later = turn
    for earlier in reversed(before):
        if not _same_session(earlier, later):
            break
        texts.append(_ending(earlier.text))
        later = earlier
    return "\n".join(reversed(texts))


def _same_session(earlier: Turn, later: Turn) -> bool:
    if earlier.run_id or later.run_id:
        return earlier.run_id == later.run_id
    return later.at - earlier.at <= SESSION_GAP_MS


def _ending(text: str) -> str:
    """The last words of a text, so that a long turn doesn't drown those behind it."""
    starts = [start for start, _, _ in words.spans(text)]
    return text if len(starts) <= WINDOW_WORDS else text[starts[-WINDOW_WORDS] :]


def _document(conversation: Conversation, turn: Turn, window: str, owner: str) -> Document:
    return Document(
        tenant=conversation.tenant,
        memory_id=memory_id(conversation.conversation_id, turn.seq),
        memory_space_id=conversation.memory_space_id,
        conversation_id=conversation.conversation_id,
        seq=turn.seq,
        message_ids=(turn.message_id,),
        content=turn.text,
        window=window,
        at=turn.at,
        speaker=turn.speaker[:MAX_SPEAKER_CHARS] if turn.speaker else None,
        sender=turn.sender,
        role=turn.role,
        user_id=turn.user_id or conversation.user_id,
        agent_id=turn.agent_id or conversation.agent_id,
        participant_id=turn.participant_id or conversation.participant_id,
        owner=owner,
        thread_id=turn.thread_id,
        run_id=turn.run_id,
        source_type=conversation.source_type,
        status=turn.status,
        importance=turn.importance,
        tags=turn.tags,
        metadata=turn.metadata,
        digest=turn.digest,
    )
