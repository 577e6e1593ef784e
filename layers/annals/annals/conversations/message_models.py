"""What the API takes and gives of messages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, NotRequired

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic import Tag as Branch
from typing_extensions import TypedDict

from annals.api.fields import (
    MAX_NAME_CHARS,
    MAX_TEXT_CHARS,
    ExternalId,
    Id,
    Importance,
    MaskedJson,
    MaskedParts,
    MessageId,
    Model,
    Said,
    Tag,
    WholeContent,
    Word,
    field_error,
)
from annals.api.vectors import OwnEmbedding
from annals.conversations.participant_models import MissingConversation
from annals.formats.messages import OWN_FIELDS, ROLES, to_annals
from annals.json_text import require_depth
from annals.ledger.external_ids import MAX_EXTERNAL_IDS
from annals.ledger.messages import Message, memory_field
from annals.privacy.masking import mask
from annals.times import SaidTime

MAX_FIELDS = 100
"""How many fields a message may have, a provider's among them."""

MAX_CONTENT_PARTS = 4_000


def to_role(value: Any) -> str:
    """The role that is stored for a caller's word for it."""
    if not isinstance(value, str) or value not in ROLES:
        raise field_error("INVALID_ROLE", f"must be one of {', '.join(ROLES)}")
    return ROLES[value]


Role = Annotated[
    Literal["user", "assistant", "system", "tool"],
    BeforeValidator(to_role),
    WithJsonSchema({"type": "string", "enum": list(ROLES)}),
]


def in_annals_shape(message: Mapping[str, Any], own_fields: frozenset[str] = OWN_FIELDS) -> dict[str, Any]:
    """A message of any provider as Annals'.

    Raises PydanticCustomError for one of too many fields or content parts, InvalidInput for one that would nest too
    deep.
    """
    if len(message) > MAX_FIELDS:
        raise field_error("INVALID_RANGE", f"must have at most {MAX_FIELDS} fields")
    if isinstance(content := message.get("content"), list) and len(content) > MAX_CONTENT_PARTS:
        raise field_error("INVALID_RANGE", f"must have at most {MAX_CONTENT_PARTS} parts", ("content",))
    stored = to_annals(message, own_fields)
    if stored.get("parts") is not message.get("parts"):  # a provider's fields are a level deeper there
        require_depth(stored)
    return stored


CONTENT_SCHEMA = {
    "anyOf": [
        {"type": "string", "maxLength": MAX_TEXT_CHARS},
        {"type": "array", "items": {}, "maxItems": MAX_CONTENT_PARTS, "description": "A provider's content parts"},
        {"type": "null"},
    ]
}

SHAPES_SCHEMA: dict[str, Any] = {
    "additionalProperties": True,
    "maxProperties": MAX_FIELDS,
    "required": [],
    "anyOf": [{"required": ["role"]}, {"required": ["type"]}, {"required": ["from", "to", "text"]}],
}
PROVIDER_SCHEMAS: dict[str, Any] = {
    "tool_calls": {"description": "Calls of tools, as OpenAI, Mistral, Cohere, Ollama and LangChain have them"},
    "tool_call_id": {"description": "The call that a message of the role tool answers"},
    "function_call": {"description": "A call, in OpenAI's former shape"},
    "refusal": {"description": "OpenAI's; its text is found by search"},
    "reasoning_content": {"description": "What a model thought; it is kept, and not found by search"},
    "type": {"description": "An item of OpenAI's responses, or a LangChain message; these need no role"},
    "text": {"description": "With from and to, and without a role: a message of one agent to another"},
}


def _describe_shapes(schema: dict[str, Any]) -> None:
    """Describe the fields of providers beside Annals' own. Others of theirs are taken with them, so all are open."""
    schema["properties"] |= PROVIDER_SCHEMAS
    schema |= SHAPES_SCHEMA


class MessageText(Model):
    """What somebody said, in Annals' shape or any provider's, as it is stored.

    ``content`` is the text that is searched: where it is a list of a provider's parts, their text. ``parts`` is any
    JSON, and holds what else a provider's message has.

    ``embedding`` is the caller's own vector of the text, where the memory space takes such.

    Parts may hold references to uploads, ``{"$annalsPart": …}``; ``contentPart`` is one to the whole text, where
    ``content`` is only its beginning.
    """

    model_config = ConfigDict(json_schema_extra=_describe_shapes)

    BESIDE_MESSAGE: ClassVar[frozenset[str]] = frozenset()
    """The fields that stand beside a message's own, and are no provider's."""

    role: Role
    original_role: Annotated[str, WithJsonSchema({"type": "string", "enum": list(ROLES)})] | None = None
    parts: MaskedParts = None
    content: Annotated[str, AfterValidator(mask), Field(validate_default=True), WithJsonSchema(CONTENT_SCHEMA)] = ""
    content_part: WholeContent | None = None
    name: Annotated[str, Field(max_length=MAX_NAME_CHARS)] | None = None
    embedding: OwnEmbedding | None = None

    @model_validator(mode="before")
    @classmethod
    def _to_annals(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        beside = {name: value[name] for name in cls.BESIDE_MESSAGE & value.keys()}
        message = {name: part for name, part in value.items() if name not in beside}
        return {**in_annals_shape(message), **beside}

    @field_validator("original_role")
    @classmethod
    def _is_said_for_role(cls, word: str | None, info: ValidationInfo) -> str | None:
        if word is not None and ROLES.get(word) != info.data.get("role", ROLES.get(word)):
            raise field_error("INVALID_ROLE", "must be another word for the role")
        return word

    @field_validator("content")
    @classmethod
    def _says_something(cls, content: str, info: ValidationInfo) -> str:
        may_be_silent = info.data.get("role") == "assistant"  # as the replies of providers may be
        if not content and info.data.get("parts") is None and not may_be_silent:
            raise field_error("MISSING_REQUIRED_FIELD", "must not be empty where there are no parts")
        return content

    def stored_fields(self) -> dict[str, Any]:
        """What is stored: the fields that the caller set, and nothing else."""
        fields = self.model_dump(by_alias=True, exclude_unset=True, exclude={"importance", "tags"})
        given = {name: value for name, value in fields.items() if value is not None or name == "parts"}
        return {"role": self.role, "content": self.content, **given}


def require_same_time(local: SaidTime | None, info: ValidationInfo) -> SaidTime | None:
    """The local time of a message, which must be that of its ``timestamp``."""
    timestamp = info.data.get("timestamp")
    if local is not None and timestamp is not None and local.ms != timestamp.ms:
        raise field_error("INVALID_FORMAT", "must be the same moment as timestamp")
    return local


class NewMessage(MessageText):
    """A message as a caller sends it: Annals', or a provider's, whose fields are kept in ``parts``.

    ``content`` is the text that is searched: where it is a list of a provider's parts, their text. ``parts`` is any
    JSON. ``status`` is ``incomplete`` for what came of a reply that broke off; ``finishReason`` is why a model's reply
    ended, in the model's word. ``supersedes`` is the id of an incomplete message, of which this one is the whole.
    ``timestamp`` is when it was said; one in another zone than UTC is kept as it was said in ``localTime``, which may
    also be given itself. ``importance`` and ``tags`` say what it is as a memory.
    """

    user_id: Id | None = None
    participant_id: Id | None = None
    from_: Annotated[Id | None, Field(alias="from")] = None
    to: Id | None = None
    thread_id: Id | None = None
    run_id: ExternalId | None = None
    metadata: MaskedJson | None = None
    external_id: ExternalId | None = None
    timestamp: Said | None = None
    local_time: Said | None = None
    supersedes: MessageId | None = None
    status: Literal["incomplete"] | None = None
    finish_reason: Word | None = None
    importance: Importance | None = None
    tags: list[Tag] = Field(default_factory=list, max_length=100)

    _is_same_time = field_validator("local_time")(require_same_time)

    def stored_fields(self) -> dict[str, Any]:
        """What is stored: the fields that the caller set, and nothing else."""
        fields = super().stored_fields()
        said = self.local_time or self.timestamp
        return {**fields, **(said.fields() if said else {}), **memory_field(self.importance, self.tags)}


def _own_external_ids(messages: list[NewMessage]) -> list[NewMessage]:
    """Each external id, and each message that is superseded, once, and no more than a transaction has room for."""
    positions: dict[tuple[str, str], int] = {}
    for position, message in enumerate(messages):
        for field, name in (("externalId", message.external_id), ("supersedes", message.supersedes)):
            if name is not None and positions.setdefault((field, name), position) != position:
                path = (position, field)
                raise field_error("DUPLICATE_VALUES", "must not be that of another message of the request", path)
    if len(positions) > MAX_EXTERNAL_IDS:
        detail = f"must have at most {MAX_EXTERNAL_IDS} externalIds, and messages that are superseded"
        raise field_error("INVALID_RANGE", detail)
    return messages


def _one_thread(messages: list[NewMessage]) -> list[NewMessage]:
    if len({message.thread_id for message in messages}) > 1:
        raise field_error("INVALID_FORMAT", "must all belong to one thread")
    return messages


MAX_MESSAGES = 4_000
"""How many messages one request may append; no entry has room for as many."""


class NewMessages(Model):
    """Several messages that are stored as one entry: all of them or none.

    Those whose ``externalId`` is known are stored already; they come first.
    """

    messages: Annotated[
        list[NewMessage],
        Field(min_length=1, max_length=MAX_MESSAGES),
        AfterValidator(_one_thread),
        AfterValidator(_own_external_ids),
    ]


def _distinct(ids: list[str]) -> list[str]:
    if len(set(ids)) < len(ids):
        raise field_error("DUPLICATE_VALUES", "must not name an id twice")
    return ids


class GetMessages(Model):
    """The ids of messages to be read."""

    message_ids: Annotated[list[MessageId], Field(min_length=1, max_length=1000), AfterValidator(_distinct)]


def _shape(value: Any) -> str:
    return "<messages>" if isinstance(value, dict) and "messages" in value else "<message>"


class AppendMessage(NewMessage):
    """A message to be appended. ``conversation`` makes its conversation if that is missing."""

    BESIDE_MESSAGE = frozenset({"conversation"})

    conversation: MissingConversation | None = None

    @property
    def messages(self) -> list[NewMessage]:
        """The message alone."""
        return [self]

    def stored_fields(self) -> dict[str, Any]:
        """What is stored: the fields of the message itself."""
        return {name: value for name, value in super().stored_fields().items() if name != "conversation"}


class AppendSeveral(NewMessages):
    """Several messages to be appended. ``conversation`` makes their conversation if that is missing."""

    conversation: MissingConversation | None = None


AppendMessages = Annotated[
    Annotated[AppendMessage, Branch("<message>")] | Annotated[AppendSeveral, Branch("<messages>")],
    Discriminator(_shape),
]
"""One message, or several."""


class Appended(TypedDict):
    """What an append stored, and where the conversation is now."""

    conversationId: str
    messages: list[Message]
    messageCount: int
    headHash: str


DraftMessage = TypedDict(
    "DraftMessage",
    {
        "externalId": str,
        "revision": int,
        "role": str,
        "originalRole": NotRequired[str],
        "content": NotRequired[str],
        "contentPart": NotRequired[dict[str, Any]],
        "parts": NotRequired[Any],
        "length": int,
        "name": NotRequired[str],
        "userId": NotRequired[str],
        "participantId": NotRequired[str],
        "from": NotRequired[str],
        "to": NotRequired[str],
        "threadId": NotRequired[str],
        "runId": NotRequired[str],
        "metadata": NotRequired[dict[str, Any]],
        "finishReason": NotRequired[str],
        "timestamp": str,
        "status": Literal["draft"],
        "expiresAt": str,
    },
)
"""A message while it is said. ``length`` is that of its text in characters, which an answer may leave out."""


class History(TypedDict):
    """A page of messages; ``total`` counts all messages of the conversation.

    ``omitted`` is whether the answer has no room for all the runs of the request; ``unpaired`` names the messages of
    those runs that are left out, as they have a call of a tool without its result, or a result without its call. With
    ``drafts=true``, messages that are still being said come after the newest one.
    """

    items: list[Message | DraftMessage]
    nextCursor: NotRequired[str]
    omitted: NotRequired[bool]
    unpaired: NotRequired[list[str]]
    total: int


class MessageList(TypedDict):
    """Messages. ``omitted`` are the ids of those for which the answer has no room."""

    items: list[Message]
    omitted: NotRequired[list[str]]


class PartsVerified(TypedDict):
    """How many parts beside the ledger were checked, and for how many there was no time."""

    checked: int
    unchecked: int


class Verified(TypedDict):
    """The result of verifying a conversation's chain."""

    valid: bool
    messageCount: int
    entries: int
    headHash: str
    firstBadSeq: NotRequired[int]
    reason: NotRequired[str]
    parts: NotRequired[PartsVerified]
