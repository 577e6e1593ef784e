"""The envelope: the payload of an event, whichever way it comes (``docs/events.md``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import Field, ValidationError, model_validator

from annals.api.fields import ConversationId, ExternalId, MaskedJson, Model, Text, field_error
from annals.api.problems import from_validation
from annals.conversations.create import NewConversation
from annals.conversations.message_models import NewMessages
from annals.conversations.participant_models import ConversationType, Participants
from annals.errors import InvalidInput
from annals.ledger.idempotency import MAX_KEY_CHARS
from annals.memory.models import Remember

Key = Annotated[Text, Field(max_length=MAX_KEY_CHARS)]


class NamedConversation(Model):
    """The conversation that the messages go to.

    With an id alone, it must exist. With participants, it is found by them, or created; with a session id, it is that
    session of theirs, which may lack participants. With an id as well, it is created under that id if it is missing,
    and must fit. Without a type, it is that of the participants. ``metadata`` is for a conversation that is created.
    """

    conversation_id: ConversationId | None = None
    type: ConversationType | None = None
    participants: Participants | None = None
    metadata: MaskedJson = Field(default_factory=dict)
    session_id: ExternalId | None = None

    @model_validator(mode="after")
    def _names_one(self) -> Self:
        if self.type is not None and self.participants is None:
            raise field_error("MISSING_REQUIRED_FIELD", "needs participants where it has a type")
        if (self.conversation_id, self.participants, self.session_id) == (None, None, None):
            raise field_error("MISSING_REQUIRED_FIELD", "needs a conversationId, participants, or a sessionId")
        return self

    @property
    def target(self) -> str | NewConversation:
        """The id of a conversation that must exist, or one to be found or created. Raises InvalidInput."""
        if self.participants is None and self.session_id is None:
            return str(self.conversation_id)
        named, is_session = self.participants or Participants(), self.session_id is not None
        kind = self.type or named.usual_type()
        participants = named.for_type(kind, "conversation.participants", is_session=is_session)
        return NewConversation(kind, participants, self.metadata, self.conversation_id, session_id=self.session_id)


class MessagesEnvelope(NewMessages):
    """Messages for a conversation: all of them are stored as one entry, or none."""

    idempotency_key: Key | None = None
    conversation: NamedConversation


class TurnEnvelope(Model):
    """A turn, as ``POST /v1/memory/remember`` takes it."""

    idempotency_key: Key | None = None
    turn: Remember


Envelope = MessagesEnvelope | TurnEnvelope


def parse_envelope(payload: Any) -> Envelope:
    """The envelope of a JSON value. Raises InvalidInput, which names the field."""
    if not isinstance(payload, Mapping):
        raise InvalidInput("INVALID_FORMAT", "An event must be a JSON object.")
    try:
        return (TurnEnvelope if "turn" in payload else MessagesEnvelope).model_validate(payload)
    except ValidationError as error:
        raise from_validation(error.errors()) from None
