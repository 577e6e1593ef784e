"""The query parameters of an import: whose conversations are that don't say it themselves, and how it is done."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import ValidationError

from annals.api.fields import Model
from annals.api.problems import from_validation
from annals.conversations.genesis import USER_AGENT
from annals.conversations.import_parsing import Owners
from annals.conversations.participant_models import ConversationType, Participants
from annals.errors import InvalidInput

OWNER_PARAMS = ("type", "memorySpaceId", "userId", "agentId", "participantId", "agent1", "agent2")
SKIP_BROKEN, DRY_RUN = "skipBroken", "dryRun"
IMPORT_PARAMS = (*OWNER_PARAMS, SKIP_BROKEN, DRY_RUN)
"""The query parameters: those that say whose the conversations are, and all."""


class _Owners(Model):
    """A type of conversation, and its participants."""

    type: ConversationType
    participants: Participants


def read_owners(query_params: Mapping[str, str]) -> Owners:
    """Whose the conversations are. Raises InvalidInput, which names the query parameter."""
    participants = {name: query_params[name] for name in OWNER_PARAMS if name in query_params and name != "type"}
    try:
        owners = _Owners.model_validate({"type": query_params.get("type", USER_AGENT), "participants": participants})
        return Owners(owners.type, owners.participants.for_type(owners.type))
    except ValidationError as error:
        refusal = from_validation(error.errors())
    except InvalidInput as error:
        refusal = error
    refusal.field = (refusal.field or "").removeprefix("participants.")
    raise refusal
