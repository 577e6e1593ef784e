"""What the API takes and gives of messages."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, ValidationInfo, field_validator
from pydantic import Tag as Branch
from typing_extensions import TypedDict

from annals.api.fields import (
    MAX_NAME_CHARS,
    MAX_TEXT_CHARS,
    ExternalId,
    Id,
    Importance,
    MaskedJson,
    MessageId,
    Model,
    Tag,
    Time,
    Word,
    field_error,
)
from annals.conversations.models import MissingConversation
from annals.ledger.external_ids import MAX_EXTERNAL_IDS
from annals.ledger.messages import Message, memory_field
from annals.privacy.masking import mask, mask_all
from annals.times import to_rfc3339

ROLES = {"user": "user", "assistant": "assistant", "agent": "assistant", "system": "system", "tool": "tool"}


def to_role(value: Any) -> str:
    """The role that is stored for a caller's word for it."""
    if not isinstance(value, str) or value not in ROLES:
        raise field_error("INVALID_ROLE", f"must be one of {', '.join(ROLES)}")
    return ROLES[value]


Role = Annotated[Literal["user", "assistant", "system", "tool"], BeforeValidator(to_role)]


class NewMessage(Model):
    """A message as a caller sends it. ``content`` is the text that is searched; ``parts`` is any JSON.

    ``status`` is ``incomplete`` for what came of a reply that broke off; ``finishReason`` is why a model's reply ended,
    in the model's word. ``supersedes`` is the id of an incomplete message, of which this one is the whole.
    ``importance`` and ``tags`` say what it is as a memory.
    """

    role: Role
    parts: Annotated[Any, AfterValidator(mask_all)] = None
    content: Annotated[
        str, AfterValidator(mask), Field(validate_default=True, json_schema_extra={"maxLength": MAX_TEXT_CHARS})
    ] = ""
    name: Annotated[str, Field(max_length=MAX_NAME_CHARS)] | None = None
    user_id: Id | None = None
    participant_id: Id | None = None
    from_: Annotated[Id | None, Field(alias="from")] = None
    to: Id | None = None
    thread_id: Id | None = None
    run_id: ExternalId | None = None
    metadata: MaskedJson | None = None
    external_id: ExternalId | None = None
    timestamp: Time | None = None
    supersedes: MessageId | None = None
    status: Literal["incomplete"] | None = None
    finish_reason: Word | None = None
    importance: Importance | None = None
    tags: list[Tag] = Field(default_factory=list, max_length=100)

    @field_validator("content")
    @classmethod
    def _says_something(cls, content: str, info: ValidationInfo) -> str:
        if not content and info.data.get("parts") is None:
            raise field_error("MISSING_REQUIRED_FIELD", "must not be empty where there are no parts")
        return content

    def stored_fields(self) -> dict[str, Any]:
        """What is stored: the fields that the caller set, and nothing else."""
        fields = self.model_dump(by_alias=True, exclude_unset=True, exclude={"importance", "tags"})
        if self.timestamp is not None:
            fields["timestamp"] = to_rfc3339(self.timestamp)
        return {"role": self.role, "content": self.content} | {
            **{name: value for name, value in fields.items() if value is not None or name == "parts"},
            **memory_field(self.importance, self.tags),
        }


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


class History(TypedDict):
    """A page of messages; ``total`` counts all messages of the conversation.

    ``omitted`` is whether the answer has no room for all the runs of the request.
    """

    items: list[Message]
    nextCursor: NotRequired[str]
    omitted: NotRequired[bool]
    total: int


class MessageList(TypedDict):
    """Messages. ``omitted`` are the ids of those for which the answer has no room."""

    items: list[Message]
    omitted: NotRequired[list[str]]


class Verified(TypedDict):
    """The result of verifying a conversation's chain."""

    valid: bool
    messageCount: int
    entries: int
    headHash: str
    firstBadSeq: NotRequired[int]
    reason: NotRequired[str]
