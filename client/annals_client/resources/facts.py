"""Facts: what is known, from when to when, and from which messages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import NoneType
from typing import Any

from typing_extensions import Required, TypedDict, Unpack

from annals_client import wire
from annals_client.calls import Repeat, RequestSpec
from annals_client.listing import ListSpec
from annals_client.methods import Resource, S, call, listing
from annals_client.models import ConversationRef, Fact, KeptFacts
from annals_client.wire import NOT_GIVEN, NotGiven, Time


class NewFact(TypedDict, total=False):
    """A fact to be stored: as a sentence, and as subject, predicate and object. ``confidence`` is from 0 to 100."""

    fact: Required[str]
    subject: Required[str]
    predicate: Required[str]
    object: Required[str]
    fact_type: str
    confidence: int
    valid_from: Time | None
    tags: Sequence[str]
    metadata: Mapping[str, Any]


def facts_body(facts: Iterable[NewFact] | None) -> list[dict[str, Any]] | None:
    """Facts as a request has them."""
    return None if facts is None else [wire.body(**fact) for fact in facts]


class Facts(Resource[S]):
    """Store, read, list and delete facts."""

    @call("POST /v1/memory/remember-facts", KeptFacts)
    def of_turn(
        self,
        conversation_id: str,
        message_ids: Sequence[str],
        *,
        memory_space_id: str,
        facts: Iterable[NewFact] | None = None,
        extract_facts: bool | None = None,
        user_id: str | None = None,
        agent_id: str | None = None,
        participant_id: str | None = None,
        timestamp: Time | None = None,
    ) -> RequestSpec:
        """Store facts of a turn whose messages are stored: those that are said, and those that it states.

        The same ones are stored once. ``extract_facts`` has the server's model look for what it states.

        Raises
        ------
        NotFound, Erased : there is no such conversation, or message
        Conflict : MEMORY_SPACE_MISMATCH, PARTICIPANT_MISMATCH
        """
        body = wire.body(
            conversation_id=conversation_id,
            message_ids=message_ids,
            memory_space_id=memory_space_id,
            facts=facts_body(facts),
            extract_facts=extract_facts,
            user_id=user_id,
            agent_id=agent_id,
            participant_id=participant_id,
            timestamp=timestamp,
        )
        return RequestSpec(body=body)

    @call("POST /v1/facts", Fact, Repeat.WITH_KEY)
    def create(
        self,
        *,
        memory_space_id: str,
        user_id: str | None = None,
        participant_id: str | None = None,
        source_ref: ConversationRef | None = None,
        idempotency_key: str | None = None,
        **fact: Unpack[NewFact],
    ) -> RequestSpec:
        """Store a fact; the one of its subject and predicate that held before holds until then.

        ``source_ref`` names the messages that it comes from. A fact that is a user's is superseded by newer ones of
        that user only.
        """
        body = wire.body(
            memory_space_id=memory_space_id,
            user_id=user_id,
            participant_id=participant_id,
            source_ref=source_ref and source_ref.model_dump(by_alias=True),
        )
        return RequestSpec(body={**body, **wire.body(**fact)}, key=idempotency_key)

    @listing("GET /v1/facts", Fact)
    def list(
        self,
        *,
        limit: int | None = None,
        page_size: int = 100,
        memory_space_id: str | NotGiven = NOT_GIVEN,
        user_id: str | NotGiven = NOT_GIVEN,
        participant_id: str | NotGiven = NOT_GIVEN,
        subject: str | NotGiven = NOT_GIVEN,
        predicate: str | NotGiven = NOT_GIVEN,
        object: str | NotGiven = NOT_GIVEN,  # noqa: A002 - the API's word
        fact_type: str | NotGiven = NOT_GIVEN,
        at: Time | NotGiven = NOT_GIVEN,
        include_superseded: bool | None = None,
    ) -> ListSpec:
        """Facts, those that began to hold last first, ``limit`` at most.

        Without ``at`` these are the facts that nothing has superseded, with it those that held then.
        """
        conditions = wire.conditions(
            memory_space_id=memory_space_id,
            user_id=user_id,
            participant_id=participant_id,
            subject=subject,
            predicate=predicate,
            object=object,
            fact_type=fact_type,
            at=at,
        )
        body = wire.query(**conditions, include_superseded=include_superseded)
        return ListSpec(RequestSpec(query=body), limit, page_size)

    @call("GET /v1/facts/{factId}", Fact)
    def get(self, fact_id: str) -> RequestSpec:
        """A fact, and until when it held if a newer one superseded it. Raises NotFound."""
        return RequestSpec({"fact_id": fact_id})

    @call("DELETE /v1/facts/{factId}", NoneType)
    def delete(self, fact_id: str) -> RequestSpec:
        """Delete a fact. The one before it holds for longer then."""
        return RequestSpec({"fact_id": fact_id})
