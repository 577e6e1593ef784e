"""What an import takes and gives: the lines of an exported ``jsonl`` file, and what became of its conversations."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field, field_validator
from typing_extensions import TypedDict

from annals.api.fields import ConversationId, ExternalId, MaskedJson, MessageId, Model, Said, Time, Word
from annals.conversations.create import NewConversation
from annals.conversations.message_models import NewMessage, require_same_time
from annals.conversations.participant_models import ConversationType, Participants
from annals.conversations.run_items import NewRun
from annals.conversations.run_models import PutRun
from annals.ledger.messages import HIDDEN_STATUSES

LINE_FIELDS = frozenset({"type", "conversationId", "messageId", "seq", "kind", "status"})
"""The fields of a message's line that are no part of what is stored of it."""


class ConversationLine(Model):
    """A conversation. ``offset`` says how many of its messages came in earlier parts of the file.

    What an export says beside that follows from the ledger, and is not stored.
    """

    type: Literal["conversation"]
    conversation_type: ConversationType
    conversation_id: ConversationId
    participants: Participants
    metadata: MaskedJson = Field(default_factory=dict)
    offset: Annotated[int, Field(ge=0, le=10**9)] = 0
    status: Literal["active", "sealed", "archived"] = "active"
    message_count: Annotated[int | None, Field(ge=0)] = None
    version: int | None = None
    created_at: Time | None = None
    updated_at: Time | None = None
    last_message_at: Time | None = None
    head_hash: Word | None = None
    session_id: ExternalId | None = None

    def to_new(self) -> NewConversation:
        """The conversation as the domain takes it. Raises InvalidInput where its participants do not fit its type."""
        participants = self.participants.for_type(self.conversation_type, is_session=self.session_id is not None)
        return NewConversation(
            self.conversation_type,
            participants,
            self.metadata,
            self.conversation_id,
            self.created_at,
            self.session_id,
        )


class MessageLine(NewMessage):
    """A message, or a preamble. It gets a new id and a new seq."""

    BESIDE_MESSAGE = LINE_FIELDS

    type: Literal["message"]
    conversation_id: ConversationId
    message_id: MessageId | None = None
    seq: int | None = None
    kind: Literal["message", "preamble"] = "message"
    status: Literal["incomplete", "archived"] | None = None  # type: ignore[assignment] # an export says more

    def stored_fields(self) -> dict[str, Any]:
        """What is stored: the fields of the message itself, without those of the line."""
        fields = {name: value for name, value in super().stored_fields().items() if name not in LINE_FIELDS}
        return {**fields, "status": "incomplete"} if self.status == "incomplete" else fields


class RedactedLine(Model):
    """A message that was redacted, or damaged, before it was exported: its seq stays taken."""

    type: Literal["message"]
    conversation_id: ConversationId
    message_id: MessageId | None = None
    seq: int | None = None
    kind: Literal["message", "preamble"] = "message"
    status: Literal["redacted", "damaged"]
    timestamp: Said | None = None
    local_time: Said | None = None

    _is_same_time = field_validator("local_time")(require_same_time)

    def stored_fields(self) -> dict[str, Any]:
        """What is stored: that the message was redacted, and its time."""
        said = self.local_time or self.timestamp
        return {"status": "redacted", **(said.fields() if said else {})}


class RunLine(PutRun):
    """A run. It gets a new number; its version is not stored."""

    type: Literal["run"]
    conversation_id: ConversationId
    run_id: ExternalId
    number: int | None = None
    version: int | None = None
    created_at: Time | None = None
    updated_at: Time | None = None

    def to_new(self) -> NewRun:
        """The run as the domain takes it. Raises RequestTooLarge."""
        return self.to_new_run(self.run_id, self.created_at)


class ImportedConversation(TypedDict):
    """What an import did to a conversation: messages that it appended, and those that were there before."""

    conversationId: str
    imported: int
    skipped: int


class BrokenConversation(TypedDict):
    """A conversation that an import left out: where in the file it is, and why. ``title`` is its own, if it has one."""

    place: str
    title: NotRequired[str]
    conversationId: NotRequired[str]
    code: str
    detail: str


class ImportedConversations(TypedDict):
    """The conversations of an import.

    ``broken`` are those that were left out, where the request asks for that. ``omitted`` is how many more there were,
    for which the answer has no room.
    """

    conversations: list[ImportedConversation]
    broken: NotRequired[list[BrokenConversation]]
    omitted: NotRequired[int]


def parse_line(value: Any) -> ConversationLine | MessageLine | RedactedLine | RunLine | None:
    """The line that a JSON value is, or None for a value of another type than these.

    Raises ValidationError.
    """
    kind = value.get("type") if isinstance(value, dict) else None
    if kind == "run":
        return RunLine.model_validate(value)
    if kind == "conversation":
        return ConversationLine.model_validate(value)
    if kind != "message":
        return None
    is_hidden = value.get("status") in HIDDEN_STATUSES
    return (RedactedLine if is_hidden else MessageLine).model_validate(value)
