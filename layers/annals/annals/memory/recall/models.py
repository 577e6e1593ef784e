"""What the API takes and gives of searches, recall and context windows."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired

from pydantic import AfterValidator, Field
from typing_extensions import TypedDict

from annals.api.fields import Id, Model, QueryText, Score, field_error
from annals.api.filters import Omittable
from annals.api.vectors import Embedding
from annals.errors import InvalidInput
from annals.ledger.messages import Message
from annals.memory.facts.models import Fact
from annals.memory.memories.models import Memory, SearchFilter
from annals.memory.recall.windows import ToolCalls


class ForUser(Model):
    """The part of a request that says for whom is recalled.

    ``recallScope`` is ``user`` for what belongs to the user of ``userId`` or to nobody, as it is where a user is named;
    or ``space`` for what the spaces hold, whosever it is.
    """

    user_id: Omittable[Id] = None
    recall_scope: Omittable[Literal["user", "space"]] = None

    def for_user(self) -> str | None:
        """The user for whom is recalled; None to recall whomever's.

        Raises InvalidInput MISSING_REQUIRED_FIELD where it is to be a user's, and none is named.
        """
        if self.recall_scope == "space":
            return None
        if self.user_id is None and (self.recall_scope or "user_id" in self.model_fields_set):
            detail = 'What is recalled for a user needs a userId; recallScope "space" recalls for everybody.'
            raise InvalidInput("MISSING_REQUIRED_FIELD", detail, field="userId")
        return self.user_id


def _check_share(value: float) -> float:
    if not 0 <= value <= 1:
        raise field_error("INVALID_RANGE", "must be from 0 to 1")
    return value


class Search(Model):
    """A question to the memories."""

    query: QueryText | None = None
    embedding: Embedding | None = None
    memory_space_id: Omittable[Id] = None
    limit: Annotated[int, Field(ge=1, le=1000)] = 50
    min_score: Annotated[Score, AfterValidator(_check_share)] = 0.0
    filter: SearchFilter = Field(default_factory=SearchFilter)
    consistent: bool = False
    explain: bool = False

    def require_question(self) -> None:
        """Raise InvalidInput MISSING_REQUIRED_FIELD where there is neither a text nor an embedding to search by."""
        if self.query is None and self.embedding is None:
            raise InvalidInput("MISSING_REQUIRED_FIELD", "A search needs a query or an embedding.", field="query")
        after, before = self.filter.created_after, self.filter.created_before
        if after is not None and before is not None and after >= before:
            detail = "createdAfter must be before createdBefore."
            raise InvalidInput("INVALID_DATE_RANGE", detail, field="filter.createdAfter")


class Recall(Search, ForUser):
    """A question to facts and memories, whose answer is to go into a prompt of so many tokens.

    ``history`` is how many recent messages of ``conversationId``, or else of ``filter.conversationId``, come with it.
    ``toolCalls`` is ``unfinished`` to leave the calls and results of turns that have a reply out of them.
    """

    max_tokens: Annotated[int, Field(ge=1, le=1_000_000)] = 2_000
    history: Annotated[int, Field(ge=0, le=100)] = 10
    conversation_id: Id | None = None
    tool_calls: ToolCalls = "all"

    @property
    def history_conversation_id(self) -> str | None:
        """The conversation whose recent messages come with the answer; None for none."""
        return self.conversation_id or self.filter.conversation_id


class Hit(Memory):
    """A memory that was found. ``snippet`` marks the words that matched; ``name`` is who said it, or which agent."""

    role: NotRequired[str]
    name: NotRequired[str]
    score: float
    snippet: str
    explanation: NotRequired[dict[str, float]]


class Recollection(TypedDict):
    """What was recalled: the memories found, the facts, the recent messages, oldest first, and a text for a prompt.

    ``context`` holds facts and memories, without those that ``history`` shows; it takes ``tokens`` tokens. ``omitted``
    is how much of each part is left out: because the answer has no room for it or, of the history, because a call of a
    tool would be without its result, or a result without its call. ``toolTokensSaved`` is how many tokens the history
    takes less without the tool calls of finished turns, where these are not asked for.
    """

    omitted: NotRequired[dict[str, int]]
    items: list[Hit]
    facts: list[Fact]
    history: list[Message]
    context: str
    tokens: int
    toolTokensSaved: NotRequired[int]


class Omitted(TypedDict):
    """What a context window left out: how many messages, and why, where it is not for their age.

    ``tooLarge`` are those that are over the whole budget, alone or with all of their exchange; ``unpaired`` those of
    exchanges in which a call has no result, or a result no call; ``beingAnswered`` questions that a stream answers now.
    """

    count: int
    tooLarge: list[str]
    unpaired: NotRequired[list[str]]
    beingAnswered: NotRequired[list[str]]


ContextFormat = Literal["annals", "openai-chat", "anthropic", "bedrock", "ai-sdk", "sharegpt"]
"""The shapes that the messages of a context window can have."""


class ContextWindow(TypedDict):
    """The newest messages that fit a budget of tokens, in Annals' shape or in the one that was asked for.

    ``system`` is what the system says, where the shape has that beside the messages: text, or blocks. ``total`` is how
    many messages the conversation has, and ``included`` how many of them are in the window. ``toolTokensSaved`` is how
    many tokens it takes less without the tool calls of finished turns, where these are not asked for.
    """

    messages: list[Message] | list[dict[str, Any]]
    system: NotRequired[str | list[dict[str, Any]]]
    tokens: int
    total: int
    included: int
    toolTokensSaved: NotRequired[int]
    omitted: Omitted


class Hits(TypedDict):
    """What was found, the best first. ``omitted`` is how many hits the answer has no room for."""

    items: list[Hit]
    omitted: NotRequired[int]
