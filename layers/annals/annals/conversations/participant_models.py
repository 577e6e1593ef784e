"""What the API takes of who takes part in a conversation, and of conversations that are made on the way.

These few are apart from the other models because appending a message needs them, and starts the faster without those.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from annals.api.fields import RESERVED_IDS, ExternalId, Id, MaskedJson, Model, field_error
from annals.conversations.create import NewConversation
from annals.conversations.genesis import AGENT_AGENT, USER_AGENT
from annals.errors import InvalidInput

TYPES = (USER_AGENT, AGENT_AGENT)


def _to_type(value: object) -> object:
    if value not in TYPES:
        raise field_error("INVALID_TYPE", f"must be one of {', '.join(TYPES)}")
    return value


ConversationType = Annotated[Literal["user-agent", "agent-agent"], BeforeValidator(_to_type)]


class Participants(Model):
    """Who takes part: a user and/or an agent with a memory space, or two agents."""

    user_id: Id | None = None
    agent_id: Id | None = None
    participant_id: Id | None = None
    agent1: Id | None = None
    agent2: Id | None = None
    agents: Annotated[list[Id], Field(json_schema_extra={"minItems": 2, "maxItems": 2})] | None = None
    memory_space_id: Id | None = None

    def for_type(self, kind: str, field: str = "participants", *, is_session: bool = False) -> dict[str, str]:
        """The participants that a type of conversation asks for, by their names. Raises InvalidInput for others.

        ``field`` is the name of the field that they came in. A session may lack them, since its id is its name.
        """
        values = self.model_dump(by_alias=True, exclude_none=True)
        if kind == AGENT_AGENT:
            return _two_agents(values, field)
        return _user_and_agent(values, field, may_lack=is_session)

    def usual_type(self) -> str:
        """The type of conversation that such participants have, where none is named."""
        is_of_agents = (self.agent1, self.agent2, self.agents) != (None, None, None)
        return AGENT_AGENT if is_of_agents else USER_AGENT


def _user_and_agent(values: dict[str, str], field: str, *, may_lack: bool) -> dict[str, str]:
    if not values.keys() <= {"userId", "agentId", "participantId", "memorySpaceId"}:
        raise _bad_participants("A user-agent conversation has a userId and/or an agentId.", field)
    if may_lack:
        return values
    if "userId" not in values and "agentId" not in values:
        raise _bad_participants("A user-agent conversation needs a userId or an agentId.", field)
    if "memorySpaceId" not in values:
        missing = f"{field}.memorySpaceId"
        raise InvalidInput("MISSING_REQUIRED_FIELD", f"{missing} is required.", field=missing)
    return values


def _two_agents(values: dict[str, Any], field: str) -> dict[str, str]:
    space = values.pop("memorySpaceId", None)
    agents = values.pop("agents", None) or [values.pop(name) for name in ("agent1", "agent2") if name in values]
    if len(agents) != 2 or values:
        raise _bad_participants("An agent-agent conversation has exactly two agents, and nobody else.", field)
    if agents[0] == agents[1]:
        raise InvalidInput("DUPLICATE_VALUES", "The two agents must differ.", field=field)
    named = {"agent1": agents[0], "agent2": agents[1]}
    return {**named, "memorySpaceId": space} if space else named


def _bad_participants(detail: str, field: str) -> InvalidInput:
    return InvalidInput("INVALID_PARTICIPANTS", detail, field=field)


class MissingConversation(Model):
    """The conversation that a request makes if it is missing. Of one that exists, the participants must fit.

    Without a type, it is that of the participants. ``metadata`` is for a conversation that is made. With a
    ``session_id`` it is a session, and one that exists must be the same.
    """

    type: ConversationType | None = None
    participants: Participants
    metadata: MaskedJson = Field(default_factory=dict)
    session_id: ExternalId | None = None

    def to_new(self, conversation_id: str) -> NewConversation:
        """The conversation as the domain takes it. Raises InvalidInput for participants that do not fit the type."""
        if conversation_id in RESERVED_IDS:
            detail = f"A conversation cannot have the id {conversation_id!r}, which is a route of its own."
            raise InvalidInput("INVALID_ID_FORMAT", detail, field="conversationId")
        kind = self.type or self.participants.usual_type()
        is_session = self.session_id is not None
        participants = self.participants.for_type(kind, "conversation.participants", is_session=is_session)
        return NewConversation(kind, participants, self.metadata, conversation_id, session_id=self.session_id)


class TurnConversation(Model):
    """The conversation that a turn makes if it is missing, as far as the turn does not say it already."""

    type: ConversationType | None = None
    participants: Participants = Field(default_factory=lambda: Participants())
    metadata: MaskedJson = Field(default_factory=dict)

    @property
    def names_participants(self) -> bool:
        """Whether it says more of who takes part than the turn does."""
        return bool({"type", "participants"} & self.model_fields_set)

    def to_new(self, conversation_id: str | None, of_turn: Mapping[str, str]) -> NewConversation:
        """The conversation as the domain takes it.

        Parameters
        ----------
        of_turn : the participants that the turn names, by their names

        Raises
        ------
        InvalidInput : the participants do not fit the type, or are others than the turn's
        """
        kind = self.type or self.participants.usual_type()
        given = self.participants.model_dump(by_alias=True, exclude_none=True)
        # Between two agents, a turn's own user and agent are those who speak.
        own = {name: of_turn[name] for name in of_turn if kind == USER_AGENT or name == "memorySpaceId"}
        for name in own.keys() & given.keys() - {"participantId"}:
            if given[name] != own[name]:
                field = f"conversation.participants.{name}"
                raise InvalidInput("INVALID_PARTICIPANTS", f"{field} is another than the turn's.", field=field)
        participants = Participants.model_validate({**own, **given})
        return NewConversation(
            kind, participants.for_type(kind, "conversation.participants"), self.metadata, conversation_id
        )
