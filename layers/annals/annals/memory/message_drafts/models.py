"""What the API takes and gives of messages that are being said."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field, ValidationInfo, field_validator, model_validator
from typing_extensions import TypedDict

from annals.conversations.message_models import DraftMessage, NewMessage, in_annals_shape
from annals.conversations.participant_models import MissingConversation
from annals.ledger.messages import Message

MAX_REVISION = 2**53 - 1
"""The largest revision: the largest whole number that every JSON parser gives back exactly."""

OF_UPSERT = frozenset({"replace", "completed", "revision", "onExpiry", "conversation"})
"""The fields of an upsert that are no message's."""

ALL_OF_IT = ("parts", "contentPart")
"""The fields that say all of a message, so that no text can be added to it."""


class UpsertMessage(NewMessage):
    """A message while it is said: what is new of it, or all of it.

    ``content`` is added to what was said before, and takes its place where ``replace`` is true, or where it comes with
    ``parts``. Other fields are as the last request that has them says. A request whose ``revision`` is not larger than
    the last one's changes nothing. ``completed`` stores the message. ``onExpiry`` is what becomes of one that nobody
    completes; ``conversation`` makes its conversation if that is missing.
    """

    BESIDE_MESSAGE = OF_UPSERT

    replace: bool = False
    completed: bool = False
    revision: Annotated[int, Field(ge=1, le=MAX_REVISION)] | None = None
    on_expiry: Literal["keep", "discard"] | None = None
    conversation: MissingConversation | None = None
    external_id: None = None

    @model_validator(mode="before")
    @classmethod
    def _says_nothing_new(cls, value: Any) -> Any:
        """A request without content, which adds nothing; of a whole message that would say that it has none."""
        if not isinstance(value, Mapping) or value.get("content") is not None:
            return value
        message = {name: part for name, part in value.items() if name not in OF_UPSERT}
        has_parts = in_annals_shape(message).get("parts") not in (None, {}, {"content": None})
        return value if has_parts else {**value, "content": ""}

    @field_validator("content")
    @classmethod
    def _says_something(cls, content: str, info: ValidationInfo) -> str:
        # A draft may begin with nothing; what is completed is looked at as a whole.
        return content

    @property
    def replaces(self) -> bool:
        """Whether all that was said before is replaced."""
        return self.replace or self.parts is not None or self.content_part is not None

    def other_fields(self) -> dict[str, Any]:
        """What is stored of it beside its text."""
        fields = self.stored_fields()
        left_out = {"content", *OF_UPSERT, *({"parts"} if self.parts is None else ())}
        return {name: value for name, value in fields.items() if name not in left_out}


class Upserted(TypedDict):
    """A message as it is after an upsert; once it is stored, with what an append answers."""

    conversationId: str
    message: Message | DraftMessage
    messageCount: NotRequired[int]
    headHash: NotRequired[str]
