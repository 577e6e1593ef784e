"""What the API takes and gives of conversations; of messages, see ``message_models``, of imports, ``import_models``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NotRequired

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema
from typing_extensions import TypedDict

from annals.api.fields import (
    RESERVED_IDS,
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
from annals.conversations.genesis import AGENT_AGENT, USER_AGENT
from annals.errors import InvalidInput
from annals.ledger.messages import Message

MAX_SEQ = 10**9

TYPES = (USER_AGENT, AGENT_AGENT)


def _to_type(value: object) -> object:
    if value not in TYPES:
        raise field_error("INVALID_TYPE", f"must be one of {', '.join(TYPES)}")
    return value


ConversationType = Annotated[Literal["user-agent", "agent-agent"], BeforeValidator(_to_type)]


class Participants(Model):
    """Who takes part: a user and/or an agent with a memory space, or two agents."""

    user_id: Id | None = None
    agent_id: Id | None = None
    participant_id: Id | None = None
    agent1: Id | None = None
    agent2: Id | None = None
    agents: Annotated[list[Id], Field(json_schema_extra={"minItems": 2, "maxItems": 2})] | None = None
    memory_space_id: Id | None = None

    def for_type(self, kind: str, field: str = "participants") -> dict[str, str]:
        """The participants that a type of conversation asks for, by their names. Raises InvalidInput for others.

        ``field`` is the name of the field that they came in.
        """
        values = self.model_dump(by_alias=True, exclude_none=True)
        return _two_agents(values, field) if kind == AGENT_AGENT else _user_and_agent(values, field)

    def usual_type(self) -> str:
        """The type of conversation that such participants have, where none is named."""
        is_of_agents = (self.agent1, self.agent2, self.agents) != (None, None, None)
        return AGENT_AGENT if is_of_agents else USER_AGENT


def _user_and_agent(values: dict[str, str], field: str) -> dict[str, str]:
    if not values.keys() <= {"userId", "agentId", "participantId", "memorySpaceId"}:
        raise _bad_participants("A user-agent conversation has a userId and/or an agentId.", field)
    if "userId" not in values and "agentId" not in values:
        raise _bad_participants("A user-agent conversation needs a userId or an agentId.", field)
    if "memorySpaceId" not in values:
        missing = f"{field}.memorySpaceId"
        raise InvalidInput("MISSING_REQUIRED_FIELD", f"{missing} is required.", field=missing)
    return values


def _two_agents(values: dict[str, Any], field: str) -> dict[str, str]:
    space = values.pop("memorySpaceId", None)
    agents = values.pop("agents", None) or [values.pop(name) for name in ("agent1", "agent2") if name in values]
    if len(agents) != 2 or values:
        raise _bad_participants("An agent-agent conversation has exactly two agents, and nobody else.", field)
    if agents[0] == agents[1]:
        raise InvalidInput("DUPLICATE_VALUES", "The two agents must differ.", field=field)
    named = {"agent1": agents[0], "agent2": agents[1]}
    return {**named, "memorySpaceId": space} if space else named


def _bad_participants(detail: str, field: str) -> InvalidInput:
    return InvalidInput("INVALID_PARTICIPANTS", detail, field=field)


class CreateConversation(Model):
    """A conversation to be created; without an id it gets one."""

    type: ConversationType
    conversation_id: ConversationId | None = None
    participants: Participants
    metadata: MaskedJson = Field(default_factory=dict)

    def to_new(self) -> NewConversation:
        """The conversation as the domain takes it. Raises InvalidInput where its participants do not fit its type."""
        return NewConversation(self.type, self.participants.for_type(self.type), self.metadata, self.conversation_id)


class GetOrCreateConversation(CreateConversation):
    """A conversation to be found by its participants, or created. Its id is not the caller's to choose."""

    conversation_id: None = None


class MissingConversation(Model):
    """The conversation that a request makes if it is missing. Of one that exists, the participants must fit.

    Without a type, it is that of the participants. ``metadata`` is for a conversation that is made.
    """

    type: ConversationType | None = None
    participants: Participants
    metadata: MaskedJson = Field(default_factory=dict)

    def to_new(self, conversation_id: str) -> NewConversation:
        """The conversation as the domain takes it. Raises InvalidInput for participants that do not fit the type."""
        if conversation_id in RESERVED_IDS:
            detail = f"A conversation cannot have the id {conversation_id!r}, which is a route of its own."
            raise InvalidInput("INVALID_ID_FORMAT", detail, field="conversationId")
        kind = self.type or self.participants.usual_type()
        participants = self.participants.for_type(kind, "conversation.participants")
        return NewConversation(kind, participants, self.metadata, conversation_id)


class TurnConversation(Model):
    """The conversation that a turn makes if it is missing, as far as the turn does not say it already."""

    type: ConversationType | None = None
    participants: Participants = Field(default_factory=lambda: Participants())
    metadata: MaskedJson = Field(default_factory=dict)

    @property
    def names_participants(self) -> bool:
        """Whether it says more of who takes part than the turn does."""
        return bool({"type", "participants"} & self.model_fields_set)

    def to_new(self, conversation_id: str | None, of_turn: Mapping[str, str]) -> NewConversation:
        """The conversation as the domain takes it.

        Parameters
        ----------
        of_turn : the participants that the turn names, by their names

        Raises
        ------
        InvalidInput : the participants do not fit the type, or are others than the turn's
        """
        kind = self.type or self.participants.usual_type()
        given = self.participants.model_dump(by_alias=True, exclude_none=True)
        # Between two agents, a turn's own user and agent are those who speak.
        own = {name: of_turn[name] for name in of_turn if kind == USER_AGENT or name == "memorySpaceId"}
        for name in own.keys() & given.keys() - {"participantId"}:
            if given[name] != own[name]:
                field = f"conversation.participants.{name}"
                raise InvalidInput("INVALID_PARTICIPANTS", f"{field} is another than the turn's.", field=field)
        participants = Participants.model_validate({**own, **given})
        return NewConversation(
            kind, participants.for_type(kind, "conversation.participants"), self.metadata, conversation_id
        )


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
