"""What the API takes of turns whose reply is streamed."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from annals.api.fields import MAX_TEXT_CHARS, Name, field_error
from annals.conversations.message_models import MessageText
from annals.memory.memories.models import SearchFilter
from annals.memory.models import NewTurn
from annals.memory.recall.models import ForUser, Search
from annals.memory.recall.windows import ToolCalls


class RememberStream(NewTurn, ForUser):
    """A turn whose reply a model is to give, with what is recalled for it.

    ``history`` is how many recent messages the model gets, ``toolCalls`` whether those of turns that have a reply are
    among them; ``filter`` narrows what is recalled beside them.
    """

    model: Name | None = None
    instructions: Annotated[str, Field(max_length=MAX_TEXT_CHARS)] | None = None
    history: Annotated[int, Field(ge=0, le=100)] = 10
    tool_calls: ToolCalls = "all"
    on_failure: Literal["keep", "discard"] = "keep"
    filter: SearchFilter = Field(default_factory=lambda: SearchFilter())

    @field_validator("user_message")
    @classmethod
    def _has_words(cls, message: MessageText) -> MessageText:
        if not message.content.strip():
            raise field_error("MISSING_REQUIRED_FIELD", "must have words, which are what the model gets")
        return message

    def to_search(self, limit: int) -> Search:
        """The search for what is recalled. Raises InvalidInput for a filter that cannot be."""
        query = self.user_message.content[:MAX_TEXT_CHARS]  # what is longer is no entry, and is refused as that
        search = Search(query=query, memorySpaceId=self.memory_space_id, limit=limit, filter=self.filter)
        search.require_question()
        return search
