"""What the API takes and gives of turns that are remembered, and of conversations with what belongs to them."""

from __future__ import annotations

from typing import NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from annals.api.fields import ConversationId, ExternalId, Importance, MaskedJson, MaskedText, Tag
from annals.conversations.create import NewConversation
from annals.conversations.genesis import USER_AGENT
from annals.conversations.models import Conversation, SummaryResponse, TurnConversation
from annals.errors import InvalidInput
from annals.ledger.messages import Message
from annals.memory.facts.models import Fact, NewTurnFacts, TurnFactsResponse
from annals.memory.memories.models import Memory


class NewTurn(NewTurnFacts):
    """The fields of a turn in every request that has one remembered."""

    conversation_id: ConversationId | None = None
    user_message: MaskedText
    importance: Importance = 50
    tags: list[Tag] = Field(default_factory=list, max_length=100)
    metadata: MaskedJson | None = None
    run_id: ExternalId | None = None
    conversation: TurnConversation | None = None

    def to_new_conversation(self) -> NewConversation:
        """The conversation that the turn makes if it is missing. Raises InvalidInput."""
        fields = {
            "userId": self.user_id,
            "agentId": self.agent_id,
            "participantId": self.participant_id,
            "memorySpaceId": self.memory_space_id,
        }
        participants = {name: value for name, value in fields.items() if value is not None}
        if self.conversation is None:
            return NewConversation(USER_AGENT, participants, {}, self.conversation_id)
        return self.conversation.to_new(self.conversation_id, participants)

    def require_owner(self) -> None:
        """Raise InvalidInput OWNER_REQUIRED for a turn that names neither a user nor an agent."""
        if self.user_id is None and self.agent_id is None:
            raise InvalidInput("OWNER_REQUIRED", "A turn needs a userId or an agentId.", field="userId")


class Remember(NewTurn):
    """A turn to be remembered: what the user said, and what the agent answered."""

    agent_response: MaskedText


class RememberedConversation(TypedDict):
    """The conversation of a remembered turn."""

    conversationId: str
    messageIds: list[str]
    messageCount: int


class Remembered(TurnFactsResponse):
    """What remembering a turn stored."""

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
