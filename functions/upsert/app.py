"""Say more of a message while it is said."""

from __future__ import annotations

from aws_lambda_powertools.event_handler import Response

from annals.api.fields import PathExternalId, PathId
from annals.http.app import Api, respond
from annals.memory.message_drafts.models import Upserted, UpsertMessage
from annals.memory.message_drafts.presenters import present_upserted
from annals.memory.message_drafts.upserting import upsert

app = Api()
handler = app.handler


@app.put("/v1/conversations/<conversation_id>/messages/<message_id>", tags=["Messages"])
def upsert_message(conversation_id: PathId, message_id: PathExternalId, body: UpsertMessage) -> Response[Upserted]:
    """Say more of a message while it is said, by its ``externalId``; once it is complete, it is stored.

    ``conversation`` makes a missing conversation.
    """
    caller = app.caller.require_scope("write")
    result = upsert(caller, conversation_id, message_id, body, app.idempotent_request("upsert"))
    status = 201 if result.is_new else 200
    return respond(present_upserted(conversation_id, result), status, replayed=result.replayed)
