"""What the API takes and gives of turns that are remembered, and of conversations with what belongs to them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, Literal, NotRequired

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, GetJsonSchemaHandler
from pydantic import Tag as Branch
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema
from typing_extensions import TypedDict

from annals.api.fields import (
    MAX_TEXT_CHARS,
    ConversationId,
    ExternalId,
    Id,
    Importance,
    MaskedJson,
    MessageId,
    Name,
    Tag,
    Word,
    field_error,
)
from annals.conversations.create import NewConversation
from annals.conversations.genesis import USER_AGENT
from annals.conversations.message_models import MAX_CONTENT_PARTS, MessageText, in_annals_shape
from annals.conversations.models import Conversation, SummaryResponse
from annals.conversations.participant_models import TurnConversation
from annals.errors import InvalidInput
from annals.formats.messages import COMMON_FIELDS, ROLES
from annals.ledger.messages import Message
from annals.memory.facts.models import Fact, NewTurnFacts, TurnFactsResponse
from annals.memory.memories.models import Memory

OWN_FIELDS = COMMON_FIELDS | {"originalRole", "embedding"}
"""The fields of a turn's messages that are Annals'; all others belong to the turn, or to a provider."""

REPLY_FIELDS = OWN_FIELDS | {"status", "finishReason"}
"""Those of its reply."""


def to_message(value: Any, role: str) -> Any:
    """What one side of a turn said, as a message: a text, a list of content parts, or any provider's message.

    Raises PydanticCustomError for a message of the other side, and what ``in_annals_shape`` raises.
    """
    if isinstance(value, str | list):
        value = {"content": value}
    if not isinstance(value, Mapping):
        return value
    said = value if value.keys() & {"role", "type"} else {"role": role, **value}
    message = in_annals_shape(said, REPLY_FIELDS if role == "assistant" else OWN_FIELDS)
    if ROLES.get(str(message.get("role")), role) != role:
        raise field_error("INVALID_ROLE", f"must be {role}, or another word for it", ("role",))
    return message


class ReplyText(MessageText):
    """What an agent answered; ``status`` and ``finishReason`` are those of a message that is appended."""

    status: Literal["incomplete"] | None = None
    finish_reason: Word | None = None


def _says_something(message: MessageText) -> MessageText:
    if not message.content.strip() and not message.parts:
        raise field_error("MISSING_REQUIRED_FIELD", "must not be blank")
    return message


class _SaidShapes:
    """Describes in the API's document that a text or a list of content parts stands for a message."""

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        text = {"type": "string", "minLength": 1, "maxLength": MAX_TEXT_CHARS}
        return {"anyOf": [text, {"type": "array", "items": {}, "maxItems": MAX_CONTENT_PARTS}, handler(core)]}


UserMessage = Annotated[
    MessageText, BeforeValidator(partial(to_message, role="user")), AfterValidator(_says_something), _SaidShapes()
]
"""What a user said."""

AgentResponse = Annotated[
    ReplyText, BeforeValidator(partial(to_message, role="assistant")), AfterValidator(_says_something), _SaidShapes()
]
"""What an agent answered."""


class TurnFields(NewTurnFacts):
    """What the messages of a turn have in common, in every request that has some remembered.

    ``participantId`` is who answers.
    """

    thread_id: Id | None = None
    run_id: ExternalId | None = None
    importance: Importance = 50
    tags: list[Tag] = Field(default_factory=list, max_length=100)
    metadata: MaskedJson | None = None

    def require_owner(self) -> None:
        """Raise InvalidInput OWNER_REQUIRED for a turn that names neither a user nor an agent."""
        if self.user_id is None and self.agent_id is None:
            raise InvalidInput("OWNER_REQUIRED", "A turn needs a userId or an agentId.", field="userId")


class NewTurn(TurnFields):
    """The fields of a turn that a request begins. ``userName`` is the name of its user's message."""

    conversation_id: ConversationId | None = None
    user_message: UserMessage
    user_name: Name | None = None
    conversation: TurnConversation | None = None

    def to_new_conversation(self) -> NewConversation:
        """The conversation that the turn makes if it is missing. Raises InvalidInput."""
        fields = {
            "userId": self.user_id,
            "agentId": self.agent_id,
            "memorySpaceId": self.memory_space_id,
        }
        participants = {name: value for name, value in fields.items() if value is not None}
        if self.conversation is None:
            return NewConversation(USER_AGENT, participants, {}, self.conversation_id)
        return self.conversation.to_new(self.conversation_id, participants)

    @property
    def user_says(self) -> MessageText:
        """What the user said, with the user's name."""
        said = self.user_message
        return said.model_copy(update={"name": self.user_name}) if self.user_name else said


class Remember(NewTurn):
    """A turn to be remembered: what the user said, and what the agent answered, if it has answered yet."""

    agent_response: AgentResponse | None = None


class RememberReply(TurnFields):
    """The reply of a turn whose user's message is stored: ``userMessageId`` names it."""

    conversation_id: ConversationId
    user_message_id: MessageId
    agent_response: AgentResponse


def _shape(value: Any) -> str:
    return "<reply>" if isinstance(value, dict) and "userMessageId" in value else "<turn>"


RememberRequest = Annotated[
    Annotated[Remember, Branch("<turn>")] | Annotated[RememberReply, Branch("<reply>")], Discriminator(_shape)
]
"""A turn, or the reply of one."""


class RememberedConversation(TypedDict):
    """The conversation of a remembered turn."""

    conversationId: str
    messageIds: list[str]
    messageCount: int


class Remembered(TurnFactsResponse):
    """What is stored of a turn."""

    conversation: RememberedConversation
    memories: list[Memory]


class ConversationWithMore(Conversation):
    """A conversation with what ``include`` asks for: its newest 50 messages, its facts, its summary.

    The summary is null where none is. ``omitted`` names the parts of which the answer has no room for all: the lists of
    messages and facts have them.
    """

    messages: NotRequired[list[Message]]
    facts: NotRequired[list[Fact]]
    summary: NotRequired[SummaryResponse | None]
    omitted: NotRequired[list[str]]
