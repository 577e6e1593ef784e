"""The query parameters of an import: whose conversations are that don't say it themselves."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import ValidationError

from annals.api.fields import Model
from annals.api.problems import from_validation
from annals.conversations.genesis import USER_AGENT
from annals.conversations.import_parsing import Owners
from annals.conversations.models import ConversationType, Participants
from annals.errors import InvalidInput

OWNER_PARAMS = ("type", "memorySpaceId", "userId", "agentId", "participantId", "agent1", "agent2")
"""The query parameters."""


class _Owners(Model):
    """A type of conversation, and its participants."""

    type: ConversationType
    participants: Participants


def read_owners(query_params: Mapping[str, str]) -> Owners:
    """Whose the conversations are. Raises InvalidInput, which names the query parameter."""
    participants = {name: value for name, value in query_params.items() if name != "type"}
    try:
        owners = _Owners.model_validate({"type": query_params.get("type", USER_AGENT), "participants": participants})
        return Owners(owners.type, owners.participants.for_type(owners.type))
    except ValidationError as error:
        refusal = from_validation(error.errors())
    except InvalidInput as error:
        refusal = error
    refusal.field = (refusal.field or "").removeprefix("participants.")
    raise refusal
