"""What the API takes and gives of conversations; of messages, see ``message_models``, of imports, ``import_models``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal, NotRequired

from pydantic import AfterValidator, Field, WithJsonSchema, model_validator
from typing_extensions import TypedDict

from annals.api.fields import (
    ConversationId,
    ExternalId,
    Id,
    Json,
    MaskedJson,
    MaskedText,
    MessageId,
    Model,
    Name,
    QueryText,
    field_error,
    to_ms,
)
from annals.api.filters import JsonFilter
from annals.conversations.create import NewConversation
from annals.conversations.participant_models import ConversationType, Participants
from annals.errors import MessageNotFound
from annals.ledger.messages import Message, seq_of
from annals.ledger.rewind import RewindTarget

MAX_SEQ = 10**9


class CreateConversation(Model):
    """A conversation to be created; without an id it gets one. One that is a session need not name participants."""

    type: ConversationType
    conversation_id: ConversationId | None = None
    participants: Participants
    metadata: MaskedJson = Field(default_factory=dict)
    session_id: ExternalId | None = None

    def to_new(self) -> NewConversation:
        """The conversation as the domain takes it. Raises InvalidInput where its participants do not fit its type."""
        participants = self.participants.for_type(self.type, is_session=self.session_id is not None)
        return NewConversation(self.type, participants, self.metadata, self.conversation_id, session_id=self.session_id)


class GetOrCreateConversation(CreateConversation):
    """A conversation to be found by its participants, or created. Its id is not the caller's to choose."""

    conversation_id: None = None
    session_id: None = None


class GetOrCreateSession(Model):
    """A session to be found by its id, its user and its memory space, or created. Its type is its participants'."""

    session_id: ExternalId
    type: ConversationType | None = None
    participants: Participants = Field(default_factory=lambda: Participants())
    metadata: MaskedJson = Field(default_factory=dict)

    def to_new(self) -> NewConversation:
        """The conversation as the domain takes it. Raises InvalidInput where its participants do not fit its type."""
        kind = self.type or self.participants.usual_type()
        participants = self.participants.for_type(kind, is_session=True)
        return NewConversation(kind, participants, self.metadata, session_id=self.session_id)


class PatchConversation(Model):
    """A merge patch for a conversation's metadata."""

    metadata: MaskedJson


class AddPreamble(Model):
    """A text to be put before the first message."""

    content: MaskedText
    metadata: MaskedJson | None = None


def _to_point(value: Any) -> Any:
    """A whole number up to a billion is a seq, anything else a time."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_SEQ:
        return ArchivePoint(seq=value)
    return ArchivePoint(at=to_ms(value))


@dataclass(frozen=True)
class ArchivePoint:
    """Where archiving ends: before a seq, or before a moment in Unix milliseconds."""

    seq: int | None = None
    at: int | None = None


class Archive(Model):
    """What to archive: the messages before a seq or before a time."""

    before: Annotated[
        Any,
        AfterValidator(_to_point),
        WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "format": "date-time"}]}),
    ]


MAX_REWOUND = 1000
"""How many of the newest messages one request may take back by their number."""


class RewindConversation(Model):
    """Where to rewind to: a seq, or a message, after which everything goes, or before the newest messages, so many."""

    to_seq: Annotated[int, Field(ge=0, le=MAX_SEQ)] | None = None
    message_id: MessageId | None = None
    messages: Annotated[int, Field(ge=1, le=MAX_REWOUND)] | None = None

    @model_validator(mode="after")
    def _require_one(self) -> RewindConversation:
        given = [name for name, value in vars(self).items() if value is not None]
        if len(given) != 1:
            code = "INVALID_FORMAT" if given else "MISSING_REQUIRED_FIELD"
            raise field_error(code, "is to be given, or one of messageId and messages: one of the three", ("toSeq",))
        return self

    def to_target(self) -> RewindTarget:
        """Where the rewind leads. Raises MessageNotFound for what is no message's id."""
        if self.message_id is None:
            return RewindTarget(self.to_seq, self.messages)
        seq = seq_of(self.message_id)
        if seq is None:
            raise MessageNotFound(self.message_id)
        return RewindTarget(seq, is_message=True)


class Rewound(TypedDict):
    """What a rewind took back, oldest first, and where the conversation is now.

    ``omitted`` is whether more was taken back than ``removed`` shows; ``seq`` is that of the newest record. ``total``
    is how many messages are left, as a history counts them; ``messageCount`` counts what the ledger keeps.
    """

    conversationId: str
    removed: list[Message]
    omitted: NotRequired[bool]
    seq: int
    total: int
    messageCount: int
    headHash: str


MAX_REASON_CHARS = 10_000


class Redact(Model):
    """Why a message is redacted."""

    reason: Annotated[MaskedText, Field(max_length=MAX_REASON_CHARS)]


class Removed(TypedDict):
    """What an erasure removed."""

    messages: int
    memories: int
    facts: int


class ReceiptResponse(TypedDict):
    """How far an erasure is.

    ``damaged`` is how many entries of the conversation were changed by others than Annals, where any were: their words
    are gone as all others, and ``messages`` counts those in them as far as that could be told.
    """

    receiptId: str
    conversationId: str
    status: Literal["erasing", "erased"]
    begunAt: str
    reason: NotRequired[Literal["retention"]]
    erasedAt: NotRequired[str]
    removed: NotRequired[Removed]
    damaged: NotRequired[int]
    headHash: NotRequired[str]


class SummaryResponse(TypedDict):
    """A conversation's summary, of its messages from seq ``fromSeq`` to ``toSeq``."""

    summary: str
    topics: list[str]
    fromSeq: int
    toSeq: int
    updatedAt: str
    model: str


class Summarize(Model):
    """Who is to summarise: another model of the same provider than the one that is set."""

    model: Name | None = None


class Conversation(TypedDict):
    """A conversation. ``version`` counts the changes of its metadata and is its ETag.

    ``lastMessageAt`` is when the latest message was said: its own ``timestamp``, or when it was stored if it has none,
    or a later one. ``createdAt`` of an imported conversation is its file's.
    """

    conversationId: str
    type: str
    participants: dict[str, str]
    sessionId: NotRequired[str]
    metadata: Json
    version: int
    messageCount: int
    createdAt: str
    updatedAt: str
    lastMessageAt: str | None
    status: Literal["active", "sealed", "archived"]
    headHash: str


class ConversationList(TypedDict):
    """A page of conversations, the newest activity first."""

    items: list[Conversation]
    nextCursor: NotRequired[str]


class ConversationOfPair(Model):
    """What the conversation of two agents gets where their first message makes it."""

    metadata: MaskedJson = Field(default_factory=dict)


class SendBetweenAgents(Model):
    """A message from one agent to another."""

    from_: Annotated[Id, Field(alias="from")]
    to: Id
    text: MaskedText
    memory_space_id: Id | None = None
    thread_id: Id | None = None
    run_id: ExternalId | None = None
    external_id: ExternalId | None = None
    metadata: MaskedJson | None = None
    conversation: ConversationOfPair = Field(default_factory=lambda: ConversationOfPair())


class SentBetweenAgents(Message):
    """A message between agents, and the conversation that it is in."""

    conversationId: str  # noqa: N815 - a TypedDict's key


class DeleteMany(Model):
    """Which conversations to erase. ``confirm`` allows more than the threshold."""

    filter: JsonFilter
    dry_run: bool = False
    confirm: bool = False


class DeletedMany(TypedDict):
    """The conversations that were erased, or would be."""

    count: int
    conversationIds: list[str]
    dryRun: bool


class SearchConversations(Model):
    """A search of the conversations."""

    query: QueryText
    filter: JsonFilter = Field(default_factory=dict)
    limit: Annotated[int, Field(ge=1, le=1000)] = 50
    consistent: bool = False


class Match(TypedDict):
    """A message that matches."""

    messageId: str
    snippet: str
    score: float


class ConversationHit(TypedDict):
    """A conversation and its best matching messages."""

    conversation: Conversation
    score: float
    matches: list[Match]


class ConversationHits(TypedDict):
    """The results, the best first. ``omitted`` is how many conversations the answer has no room for."""

    items: list[ConversationHit]
    omitted: NotRequired[int]


class Percentiles(TypedDict):
    """Times in milliseconds, or None where nothing was measured."""

    p50: int | None
    p95: int | None


class Analytics(TypedDict):
    """The figures of a conversation. Tokens are estimates; a turn begins with a user's message.

    ``omitted`` is how many participants, the rarest, and days, the earliest, the answer has no room for.
    """

    messageCount: int
    byRole: dict[str, int]
    byParticipant: dict[str, int]
    tokens: dict[str, int]
    firstMessageAt: str | None
    lastMessageAt: str | None
    responseTimeMs: Percentiles
    turnsPerDay: dict[str, int]
    topics: list[str]
    omitted: NotRequired[dict[str, int]]


class ConversationCount(TypedDict):
    """How many conversations there are."""

    count: int


class NewConversationRef(Model):
    """The messages that a memory comes from."""

    conversation_id: Id
    message_ids: Annotated[list[MessageId], Field(min_length=1, max_length=100)]


class ConversationRef(TypedDict):
    """Where in the ledger a memory comes from."""

    conversationId: str
    messageIds: list[str]
