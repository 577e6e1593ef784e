"""Turns: what a user said, and what an agent answered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from typing_extensions import Required, TypedDict, Unpack

from annals_client import wire
from annals_client.calls import Repeat, RequestSpec
from annals_client.embeddings import GenerateEmbedding, require_function, said_text, with_embedding
from annals_client.filters import memory_body
from annals_client.methods import Resource, S, call
from annals_client.models import Remembered
from annals_client.resources.conversations import TurnConversation
from annals_client.resources.facts import NewFact, facts_body
from annals_client.shapes import said_body
from annals_client.wire import Time

SIDES = {"userMessage": "user", "agentResponse": "assistant"}
"""The two sides of a turn as a request has them, and the role of each."""


class TurnFields(TypedDict, total=False):
    """What all parts of a turn have in common. The conversation is made if it is missing.

    ``participant_id`` is who answers; ``thread_id`` and ``run_id`` are those of both messages. ``importance``, from 0
    to 100, and ``tags`` say what the turn is as a memory. ``facts`` are known to follow from it.
    """

    memory_space_id: Required[str]
    conversation_id: str | None
    thread_id: str | None
    run_id: str | None
    user_id: str | None
    agent_id: str | None
    participant_id: str | None
    metadata: Mapping[str, Any] | None
    timestamp: Time | None
    importance: int
    tags: Sequence[str]
    facts: Iterable[NewFact] | None


class Turn(TurnFields, total=False):
    """What every way of remembering a turn takes.

    ``user_message`` is a text, a list of a provider's content parts, or a message as ``messages.append`` takes it.
    ``user_name`` is the name of the user's message. ``extract_facts`` has the server's model look for facts.
    """

    user_message: Required[object]
    user_name: str | None
    extract_facts: bool


class RememberedTurn(Turn, total=False):
    """A turn that the server stores as a whole. ``conversation`` is for one that is made, as far as the turn does not
    say it: ``metadata``, or more participants.
    """

    conversation: TurnConversation | None


class Reply(TurnFields, total=False):
    """The reply of a turn whose user's message is stored."""

    extract_facts: bool


class Turns(Resource[S]):
    """Remember turns."""

    @call("POST /v1/memory/remember", Remembered, Repeat.WITH_KEY)
    def remember(
        self,
        *,
        agent_response: object = None,
        generate_embedding: GenerateEmbedding | None = None,
        idempotency_key: str | None = None,
        **turn: Unpack[RememberedTurn],
    ) -> RequestSpec:
        """Store what a user said and what the agent answered, as one entry of their conversation.

        ``agent_response`` is what ``user_message`` may be, too: a text, content parts, or a message. Without it, the
        user's message is stored alone; ``remember_reply`` stores the reply to it.

        ``generate_embedding`` makes the vectors of both texts, in a memory space that takes such; it is called once
        for each, and what it raises is raised. A message may also have an ``embedding`` already.

        Raises
        ------
        Conflict : MEMORY_SPACE_MISMATCH, PARTICIPANT_MISMATCH, CONVERSATION_SEALED, IDEMPOTENCY_KEY_REUSED
        ValidationFailed : OWNER_REQUIRED, INVALID_IMPORTANCE and others
        """
        body = turn_body(**turn, agent_response=agent_response)
        return RequestSpec(body=with_vectors(body, generate_embedding), key=idempotency_key)

    @call("POST /v1/memory/remember", Remembered, Repeat.WITH_KEY)
    def remember_reply(
        self,
        user_message_id: str,
        *,
        agent_response: object,
        generate_embedding: GenerateEmbedding | None = None,
        idempotency_key: str | None = None,
        **turn: Unpack[Reply],
    ) -> RequestSpec:
        """Store what an agent answered to a user's message that is stored; the result shows the whole turn.

        Raises
        ------
        NotFound, Erased : there is no such conversation, or message, or it was redacted
        ValidationFailed : INVALID_ROLE for a message that is no user's, and others
        and what ``remember`` raises
        """
        body = turn_body(**turn, user_message_id=user_message_id, agent_response=agent_response)
        return RequestSpec(body=with_vectors(body, generate_embedding), key=idempotency_key)


def with_vectors(body: Mapping[str, Any], generate: GenerateEmbedding | None) -> dict[str, Any]:
    """A turn as a request has it, with the vectors of what was said. Raises TypeError, and what the function raises."""
    require_function(generate)
    said = {name: role for name, role in SIDES.items() if generate and name in body}
    vectors = {name: _vector_of(body[name], role, generate) for name, role in said.items()}
    return {**body, **{name: with_embedding(body[name], said[name], vector) for name, vector in vectors.items()}}


def _vector_of(said: Any, role: str, generate: Any) -> list[float] | None:
    text = said_text(said, role)
    made = generate(text) if text.strip() else None
    return None if made is None else wire.vector(made)


def turn_body(
    *, facts: Iterable[NewFact] | None = None, conversation: TurnConversation | None = None, **turn: Any
) -> dict[str, Any]:
    """A turn as a request has it."""
    nested = {"filter": memory_body(**turn.pop("filter"))} if turn.get("filter") else {}
    if conversation is not None:
        participants = wire.body(**conversation.get("participants", {})) or None
        nested["conversation"] = wire.body(participants=participants, metadata=conversation.get("metadata"))
    said = {name: said_body(turn.pop(name)) for name in ("user_message", "agent_response") if name in turn}
    return {**wire.body(**said, **turn, facts=facts_body(facts)), **nested}
