"""What the API takes and gives of turns that are remembered, and of conversations with what belongs to them."""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from annals.api.fields import MAX_TEXT_CHARS, ConversationId, Importance, MaskedJson, MaskedText, Name, Tag
from annals.conversations.models import Conversation, SummaryResponse
from annals.errors import InvalidInput
from annals.ledger.messages import Message
from annals.memory.facts.models import Fact, NewTurnFacts, TurnFactsResponse
from annals.memory.memories.models import Memory, SearchFilter
from annals.memory.recall.models import ForUser, Search


class NewTurn(NewTurnFacts):
    """What every way of remembering a turn takes."""

    conversation_id: ConversationId | None = None
    user_message: MaskedText
    importance: Importance = 50
    tags: list[Tag] = Field(default_factory=list, max_length=100)
    metadata: MaskedJson | None = None

    def require_owner(self) -> None:
        """Raise InvalidInput OWNER_REQUIRED where nobody is named whose turn it is."""
        if self.user_id is None and self.agent_id is None:
            raise InvalidInput("OWNER_REQUIRED", "A turn needs a userId or an agentId.", field="userId")


class Remember(NewTurn):
    """A turn to be remembered: what the user said, and what the agent answered."""

    agent_response: MaskedText


class RememberStream(NewTurn, ForUser):
    """A turn whose answer a model is to give, with what is recalled for it.

    ``history`` is how many recent messages the model gets; ``filter`` narrows what is recalled beside them.
    """

    model: Name | None = None
    instructions: Annotated[str, Field(max_length=MAX_TEXT_CHARS)] | None = None
    history: Annotated[int, Field(ge=0, le=100)] = 10
    on_failure: Literal["keep", "discard"] = "keep"
    filter: SearchFilter = Field(default_factory=lambda: SearchFilter())

    def question(self, limit: int) -> Search:
        """What is asked of the memories. Raises InvalidInput for a filter that cannot be."""
        query = self.user_message[:MAX_TEXT_CHARS]  # what is longer is no entry, and is refused as that
        asked = Search(query=query, memorySpaceId=self.memory_space_id, limit=limit, filter=self.filter)
        asked.require_question()
        return asked


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
