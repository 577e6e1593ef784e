"""What Annals answers, as types. Fields that a newer server adds are kept under their own names."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

T = TypeVar("T")

Json = dict[str, Any]


class Model(BaseModel):
    """Part of an answer."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="allow", frozen=True)


class Page(Model, Generic[T]):
    """A page of a list. ``total`` and ``tail_seq`` are there for messages: all that there are, and the newest seq.

    ``unpaired`` are the messages of the last runs that are left out, as a call has no result, or a result no call.
    """

    items: list[T]
    next_cursor: str | None = None
    total: int | None = None
    tail_seq: int | None = None
    unpaired: list[str] = []


class Message(Model):
    """A message. One that was redacted, or is damaged, has no role and no content; ``status`` says so.

    ``finish_reason`` is why a model's reply ended, in the model's word. ``local_time`` is ``timestamp`` as it was said,
    where that was in another zone than UTC. In ``parts``, ``{"$annalsPart": …}`` stands in the place of each part that
    is stored beside the message; ``content_part`` is such a reference to the whole text, where ``content`` is only its
    beginning.
    """

    message_id: str
    seq: int
    role: str | None = None
    original_role: str | None = None
    content: str = ""
    parts: Any = None
    content_part: Any = None
    name: str | None = None
    user_id: str | None = None
    participant_id: str | None = None
    from_: str | None = Field(None, alias="from")
    to: str | None = None
    thread_id: str | None = None
    run_id: str | None = None
    external_id: str | None = None
    metadata: Json | None = None
    timestamp: datetime
    local_time: datetime | None = None
    status: str | None = None
    finish_reason: str | None = None
    supersedes: str | None = None
    superseded_by: str | None = None


class Document(Model):
    """A JSON value under a key. ``version`` is one more with each change.

    One of ``conversation_id``, ``memory_space_id``, ``agent_id`` and ``user_id`` is its owner, or none of them; a
    ``user_id`` beside another says whose data it is. ``value`` is None, too, where a list was asked for without values.
    """

    collection: str
    namespace: tuple[str, ...] = ()
    key: str
    value: Any = None
    version: int
    created_at: datetime
    updated_at: datetime
    expires_at: datetime | None = None
    ttl_seconds: int | None = None
    user_id: str | None = None
    conversation_id: str | None = None
    memory_space_id: str | None = None
    agent_id: str | None = None


class DocumentResult(Model):
    """What came of an operation on a document.

    ``document`` is what was read or stored, None where there is none; ``deleted`` whether there was one to delete;
    ``error`` the problem details of what the operation was refused for.
    """

    document: Document | None = None
    deleted: bool | None = None
    omitted: bool = False
    error: Json | None = None


DocumentResults = list[DocumentResult]

Namespace = tuple[str, ...]


class DeletedDocument(Model):
    """Whether there was a document to delete."""

    deleted: bool


class DeletedDocuments(Model):
    """How many documents were deleted, and whether that was all."""

    count: int
    done: bool


class MessagePart(Model):
    """A part that is stored beside its message, and the URL that reads its bytes until ``expires_at``."""

    sha256: str
    size: int
    media_type: str
    encoding: str
    prefix: str = ""
    url: str
    expires_at: datetime


class PartUpload(Model):
    """An upload that may begin: the reference that will stand for it, and where the bytes go."""

    part: Json
    upload: Json


class DraftMessage(Model):
    """A message while it is said; ``length`` is that of its text, which an answer leaves out where it is long."""

    external_id: str
    revision: int
    role: str
    original_role: str | None = None
    content: str | None = None
    content_part: Json | None = None
    parts: Any = None
    length: int
    name: str | None = None
    user_id: str | None = None
    participant_id: str | None = None
    from_: str | None = Field(None, alias="from")
    to: str | None = None
    thread_id: str | None = None
    run_id: str | None = None
    metadata: Json | None = None
    finish_reason: str | None = None
    timestamp: datetime
    status: Literal["draft"]
    expires_at: datetime


class DraftPage(Model):
    """The newest messages, with those that are being said after them."""

    items: list[DraftMessage | Message]


class Upserted(Model):
    """A message after an upsert: its draft, or, once it is complete, the message that is stored."""

    conversation_id: str
    message: DraftMessage | Message
    message_count: int | None = None
    head_hash: str | None = None


class AgentMessage(Message):
    """A message between agents, and the conversation that it is in."""

    conversation_id: str


class Appended(Model):
    """What an append stored, and where the conversation is now."""

    conversation_id: str
    messages: list[Message]
    message_count: int
    head_hash: str

    @property
    def tail_seq(self) -> int:
        """The seq of the newest message, for the next append's ``if_match``."""
        return self.messages[-1].seq


class Rewound(Model):
    """What a rewind took back, the oldest first, and where the conversation is now.

    ``omitted`` is whether more was taken back than ``removed`` shows. ``total`` is how many messages are left, and
    ``message_count`` how many the ledger keeps. ``seq`` is that of the rewind, for the next ``if_match``; where nothing
    was taken back, that of the newest record.
    """

    conversation_id: str
    removed: list[Message]
    omitted: bool = False
    seq: int
    total: int
    message_count: int
    head_hash: str


class Summary(Model):
    """The summary of a conversation's messages from seq ``from_seq`` to ``to_seq``."""

    summary: str
    topics: list[str]
    from_seq: int
    to_seq: int
    updated_at: datetime
    model: str


class ConversationRef(Model):
    """Where in the ledger a memory comes from."""

    conversation_id: str
    message_ids: list[str]


class Fact(Model):
    """A fact, with its source. ``valid_to`` and ``superseded_by`` are there where a newer one took its place.

    The local times are those that were said, where that was in another zone than UTC.
    """

    fact_id: str
    memory_space_id: str
    fact: str
    fact_type: str
    confidence: int
    subject: str
    predicate: str
    object: str
    valid_from: datetime
    valid_from_local_time: datetime | None = None
    valid_to: datetime | None = None
    valid_to_local_time: datetime | None = None
    superseded_by: str | None = None
    source_ref: ConversationRef | None = None
    user_id: str | None = None
    participant_id: str | None = None
    tags: list[str]
    metadata: Json
    created_at: datetime


class Conversation(Model):
    """A conversation. ``version`` counts the changes of its metadata.

    ``messages``, the newest ones, ``summary`` and ``facts`` are there where they were asked for.
    """

    conversation_id: str
    type: str
    participants: dict[str, str]
    session_id: str | None = None
    metadata: Json
    version: int
    message_count: int
    created_at: datetime
    updated_at: datetime
    last_message_at: datetime | None = None
    status: str
    head_hash: str
    messages: list[Message] | None = None
    summary: Summary | None = None
    facts: list[Fact] | None = None
    omitted: list[str] | None = None


class Run(Model):
    """A run of an agent. ``number`` is its place among the conversation's runs, ``version`` counts its changes.

    ``data`` is None also where it was not asked for, or there is none; ``model_fields_set`` tells that.
    """

    run_id: str
    number: int
    status: str
    parent_run_id: str | None = None
    agent_id: str | None = None
    error: str | None = None
    data: Any = None
    version: int
    created_at: datetime
    updated_at: datetime


class Removed(Model):
    """What an erasure took away; ``conversations`` and ``spaces`` where it was a person's, of whom it counts all."""

    messages: int
    memories: int
    facts: int = 0
    conversations: int | None = None
    spaces: int | None = None


class ErasedConversation(Model):
    """A conversation that went with a person: its own receipt's id, and the head of its chain."""

    receipt_id: str
    messages: int
    head_hash: str


class Receipt(Model):
    """How far an erasure is: ``erasing`` or ``erased``. Of a person's, not even the id is kept once it is done.

    ``damaged`` is how many items were changed by others than Annals, where any were: their words are gone, too. A
    person's receipt says whether anything of them was ``found``, and names a page of their ``conversations``;
    ``receipts.get`` with ``next_cursor`` gives the next one.
    """

    receipt_id: str
    conversation_id: str | None = None
    user_id: str | None = None
    status: str
    begun_at: datetime
    reason: str | None = None
    erased_at: datetime | None = None
    removed: Removed | None = None
    damaged: int | None = None
    head_hash: str | None = None
    found: bool | None = None
    conversations: list[ErasedConversation] | None = None
    next_cursor: str | None = None


class DeletedMany(Model):
    """The conversations that were erased, or would be."""

    count: int
    conversation_ids: list[str]
    dry_run: bool


class Match(Model):
    """A message that matches a search."""

    message_id: str
    snippet: str
    score: float


class ConversationHit(Model):
    """A conversation that a search found, and its best matching messages."""

    conversation: Conversation
    score: float
    matches: list[Match]


class PartsVerified(Model):
    """How many parts were checked that are stored beside messages, and for how many there was no time."""

    checked: int
    unchecked: int


class Verified(Model):
    """What verifying a conversation's chain found."""

    valid: bool
    message_count: int
    entries: int
    head_hash: str
    first_bad_seq: int | None = None
    reason: str | None = None
    parts: PartsVerified | None = None


class Omitted(Model):
    """What a context window left out: how many messages, and why, where it is not for their age.

    ``too_large`` are over the whole budget, alone or with all of their exchange; ``unpaired`` belong to exchanges in
    which a call of a tool has no result, or a result no call; ``being_answered`` are questions that a stream answers.
    """

    count: int
    too_large: list[str]
    unpaired: list[str] = []
    being_answered: list[str] = []


class SomeMessages(Model):
    """Messages, and the ids of those for which the answer had no room."""

    items: list[Message]
    omitted: list[str] = []


class ContextWindow(Model):
    """The newest messages that fit a budget of tokens, oldest first.

    ``total`` is how many messages the conversation has, ``included`` how many of them are in the window.
    ``tool_tokens_saved`` is there where ``tool_calls`` was ``unfinished``.
    """

    messages: list[Message]
    tokens: int
    total: int
    included: int
    tool_tokens_saved: int | None = None
    omitted: Omitted


class ProviderContext(Model):
    """The newest messages that fit a budget of tokens, in the shape of a provider or a framework.

    ``system`` is what the system says, where the shape has that beside the messages.
    """

    messages: list[dict[str, Any]]
    system: str | list[dict[str, Any]] | None = None
    tokens: int
    total: int
    included: int
    tool_tokens_saved: int | None = None
    omitted: Omitted


class Percentiles(Model):
    """Times in milliseconds; None where nothing was measured."""

    p50: int | None
    p95: int | None


class Analytics(Model):
    """The figures of a conversation. Tokens are estimates; a turn begins with a user's message."""

    message_count: int
    by_role: dict[str, int]
    by_participant: dict[str, int]
    tokens: dict[str, int]
    first_message_at: datetime | None
    last_message_at: datetime | None
    response_time_ms: Percentiles
    turns_per_day: dict[str, int]
    topics: list[str]
    omitted: dict[str, int] = {}


class Memory(Model):
    """A memory. ``fact`` is there where it is one.

    ``local_time`` is ``created_at`` as it was said, where that was in another zone than UTC. ``embedding`` is the
    vector that a caller brought, where that was asked for.
    """

    memory_id: str
    external_id: str | None = None
    memory_space_id: str
    content: str
    content_type: str
    source_type: str
    user_id: str | None = None
    agent_id: str | None = None
    participant_id: str | None = None
    importance: int
    tags: list[str]
    metadata: Json
    conversation_ref: ConversationRef | None = None
    version: int
    created_at: datetime
    local_time: datetime | None = None
    updated_at: datetime
    status: str
    fact: Fact | None = None
    embedding: list[float] | None = None


class MemoryWithVersions(Memory):
    """A memory with the previous versions that are kept, the newest first; ``omitted`` had no room in the answer."""

    previous_versions: list[Memory]
    omitted: int = 0


class DeletedMemories(Model):
    """The memories that were deleted, or would be."""

    count: int
    memory_ids: list[str]
    dry_run: bool


class Hit(Memory):
    """A memory that a search found. ``snippet`` marks the words that matched."""

    role: str | None = None
    name: str | None = None
    score: float
    snippet: str
    explanation: dict[str, float] | None = None


class Recollection(Model):
    """What was recalled: the memories found, the facts, the recent messages, and a text for a prompt.

    ``context`` holds facts and memories, without those that ``history`` shows; it takes ``tokens`` tokens.
    ``tool_tokens_saved`` is there where ``tool_calls`` was ``unfinished``. ``omitted`` is how much of each part is left
    out.
    """

    items: list[Hit]
    facts: list[Fact]
    history: list[Message]
    context: str
    tokens: int
    tool_tokens_saved: int | None = None
    omitted: dict[str, int] = {}


class UserMemory(Model):
    """What is remembered of a user. ``score`` is only in what a semantic search found."""

    memory_id: str
    external_id: str | None = None
    user_id: str
    memory: str
    topics: list[str]
    input: str | None = None
    agent_id: str | None = None
    memory_space_id: str | None = None
    metadata: Json
    version: int
    created_at: datetime
    updated_at: datetime
    score: float | None = None


class Topic(Model):
    """A topic, and how many memories have it."""

    topic: str
    count: int


class RememberedConversation(Model):
    """The conversation of a remembered turn."""

    conversation_id: str
    message_ids: list[str]
    message_count: int


class KeptFacts(Model):
    """A turn's facts.

    Where facts were to be extracted, ``facts_extracted`` says whether they were, and ``facts_problem`` why not.
    """

    facts: list[Fact]
    facts_omitted: int = 0
    facts_extracted: bool | None = None
    facts_problem: str | None = None


class Remembered(KeptFacts):
    """What remembering a turn stored."""

    conversation: RememberedConversation
    memories: list[Memory]


class Key(Model):
    """An API key, without its secret."""

    key_id: str
    name: str
    scopes: list[str]
    memory_spaces: list[str] | None = None
    created_at: datetime
    created_by: str | None = None
    expires_at: datetime | None = None
    revoked_at: datetime | None = None


class CreatedKey(Key):
    """A new API key. ``key`` is shown this once."""

    key: str
    tenant: str


class Imported(Model):
    """What an import did to a conversation: messages that it appended, and those that were there before."""

    conversation_id: str
    imported: int
    skipped: int


class BrokenImport(Model):
    """A conversation that an import left out: where in the file it is, and why."""

    place: str
    title: str | None = None
    conversation_id: str | None = None
    code: str
    detail: str


class ImportAnswer(Model):
    """What an import answers to one request. ``omitted`` is how many conversations it has no room for."""

    conversations: list[Imported]
    broken: list[BrokenImport] = Field(default_factory=list)
    omitted: int = 0


class Imports(list[Imported]):
    """What an import did to each conversation of a file; ``broken`` are those that it left out."""

    def __init__(self, imported: Iterable[Imported] = (), broken: Iterable[BrokenImport] = ()) -> None:
        super().__init__(imported)
        self.broken = list(broken)


class Health(Model):
    """That the service answers, and which version it is."""

    status: str
    version: str


class Participant(Model):
    """Somebody who takes part in a memory space: a person, an agent, a tool."""

    participant_id: str
    type: str | None = None
    name: str | None = None


class SpaceEmbeddings(Model):
    """Whose vectors a space's memories have: those of callers, of one model."""

    model: str
    dimensions: int
    caller_embeds: bool


class Space(Model):
    """A memory space, as it was described."""

    memory_space_id: str
    name: str | None = None
    participants: list[Participant]
    metadata: Json
    retention_days: int | None = None
    embeddings: SpaceEmbeddings | None = None
    version: int
    created_at: datetime
    updated_at: datetime


class Usage(Model):
    """What a reply cost, in tokens; None for what the model did not say."""

    input_tokens: int | None = None
    output_tokens: int | None = None
