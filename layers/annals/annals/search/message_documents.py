"""Index documents of a conversation's messages: each has the two messages before it in its window, and an owner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from annals.search import words
from annals.search.documents import MAX_SPEAKER_CHARS, NOBODY, SOMEBODY, Document, Vector, user_owner

WINDOW_MESSAGES = 2
"""How many earlier messages a document's window holds; so many after a redacted one have to be indexed anew."""

MAX_ANSWER_DISTANCE = 50
"""How many records after a user's message a message without a user of its own still counts as an answer to it."""

SESSION_GAP_MS = 6 * 3_600_000
"""After a longer pause a message belongs to another session, whose windows hold nothing of this one."""

WINDOW_WORDS = 100
"""How many of an earlier message's last words a window holds."""


@dataclass(frozen=True, kw_only=True)
class SourceConversation:
    """What all messages of a conversation share. The ids are the participants', for messages that name none."""

    tenant: str
    conversation_id: str
    memory_space_id: str
    user_id: str | None = None
    agent_id: str | None = None
    participant_id: str | None = None
    source_type: str = "conversation"


@dataclass(frozen=True, kw_only=True)
class SourceMessage:
    """A message as the ledger has it.

    Parameters
    ----------
    at : when it was said, Unix milliseconds
    local_time : the same as it was said, where that was in another zone than UTC
    sender : the agent who wrote it to another one
    answers : the seq of the message that it was made to answer, where that was stored with it
    supersedes : the seq of the incomplete message of which it is the whole
    given_vector : the caller's vector of the text
    redacted : whether its text is gone, or is not to be searched
    """

    seq: int
    message_id: str
    text: str
    at: int
    local_time: str | None = None
    speaker: str | None = None
    sender: str | None = None
    role: str | None = None
    user_id: str | None = None
    agent_id: str | None = None
    participant_id: str | None = None
    answers: int | None = None
    supersedes: int | None = None
    thread_id: str | None = None
    run_id: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    importance: int = 50
    tags: tuple[str, ...] = ()
    status: str = "active"
    digest: str = ""
    given_vector: Vector | None = None
    redacted: bool = False


def memory_id(conversation_id: str, seq: int) -> str:
    """The id of the memory that a raw message is."""
    return f"mem:{conversation_id}:{seq}"


def to_message_documents(
    conversation: SourceConversation, messages: Sequence[SourceMessage], *, first_seq: int = 1
) -> list[Document]:
    """The documents of a conversation's consecutive messages.

    Parameters
    ----------
    conversation : what all of them share
    messages : in order of seq
    first_seq : messages before it only give their text to the windows of later ones

    Returns
    -------
    list of Document
        One for each message from ``first_seq`` on that was not redacted, without vectors.
    """
    readable = [message for message in messages if not message.redacted]
    owners = message_owners(conversation.user_id, messages)
    return [
        _document(
            conversation,
            message,
            window_text(readable[max(0, index - WINDOW_MESSAGES) : index], message),
            owners[message.seq],
        )
        for index, message in enumerate(readable)
        if message.seq >= first_seq
    ]


def message_owners(user_id: str | None, messages: Sequence[SourceMessage]) -> dict[int, str]:
    """To whom each message belongs, by its seq: to the conversation's user, whoever spoke.

    In a conversation without one, to its own user, or else to the user whom it answers: that of the message which is
    stored with it as the answered one, or the one who is named last among the ``MAX_ANSWER_DISTANCE`` records before
    it. After a message of which nothing is left, nobody knows who that was; and a reply that is stored as an answer to
    nobody's message was made of everybody's words. What is the whole of an incomplete message belongs to whom that
    belongs.

    Parameters
    ----------
    user_id : the conversation's user
    messages : in order of seq, from ``MAX_ANSWER_DISTANCE`` before the first one whose owner is needed
    """
    if user_id is not None:
        return dict.fromkeys((message.seq for message in messages), user_owner(user_id))
    owners: dict[int, str] = {}
    named = {message.seq: user_owner(message.user_id) for message in messages if message.user_id is not None}
    last_seq, last_owner = -MAX_ANSWER_DISTANCE, NOBODY
    for message in messages:
        if message.seq in named:
            last_seq, last_owner = message.seq, named[message.seq]
        elif message.redacted and message.role is None:
            last_seq, last_owner = message.seq, SOMEBODY
        owners[message.seq] = last_owner if message.seq - last_seq <= MAX_ANSWER_DISTANCE else NOBODY
        if message.answers is not None:
            is_near = message.seq - message.answers <= MAX_ANSWER_DISTANCE
            owners[message.seq] = named.get(message.answers, SOMEBODY) if is_near else SOMEBODY
        if message.supersedes is not None:
            owners[message.seq] = owners.get(message.supersedes, SOMEBODY)
    return owners


def window_text(before: Sequence[SourceMessage], message: SourceMessage) -> str:
    """The end of each message before it in the same session, then its own text; without names."""
    texts = [message.text]
    later = message
    for earlier in reversed(before):
        if not _is_same_session(earlier, later):
            break
        texts.append(_last_words(earlier.text))
        later = earlier
    return "\n".join(reversed(texts))


def _is_same_session(earlier: SourceMessage, later: SourceMessage) -> bool:
    if earlier.run_id or later.run_id:
        return earlier.run_id == later.run_id
    return later.at - earlier.at <= SESSION_GAP_MS


def _last_words(text: str) -> str:
    """The end of a text, so that a long message doesn't drown the shorter ones after it."""
    starts = [start for start, _, _ in words.spans(text)]
    return text if len(starts) <= WINDOW_WORDS else text[starts[-WINDOW_WORDS] :]


def _document(conversation: SourceConversation, message: SourceMessage, window: str, owner: str) -> Document:
    return Document(
        tenant=conversation.tenant,
        memory_id=memory_id(conversation.conversation_id, message.seq),
        memory_space_id=conversation.memory_space_id,
        conversation_id=conversation.conversation_id,
        seq=message.seq,
        message_ids=(message.message_id,),
        content=message.text,
        window=window,
        at=message.at,
        local_time=message.local_time,
        speaker=message.speaker[:MAX_SPEAKER_CHARS] if message.speaker else None,
        sender=message.sender,
        role=message.role,
        user_id=message.user_id or conversation.user_id,
        agent_id=message.agent_id or conversation.agent_id,
        participant_id=message.participant_id or conversation.participant_id,
        owner=owner,
        thread_id=message.thread_id,
        run_id=message.run_id,
        source_type=conversation.source_type,
        status=message.status,
        importance=message.importance,
        tags=message.tags,
        metadata=message.metadata,
        digest=message.digest,
        given_vector=message.given_vector,
    )
