"""Upload the parts of messages that are too large for a request, and fetch those that are stored beside the ledger."""

from __future__ import annotations

from typing import Annotated

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Query

from annals.api.fields import PathId, PathMessageId
from annals.conversations.part_models import NewUpload, PartResponse, UploadResponse, present_part, present_upload
from annals.conversations.read import open_conversation
from annals.http.app import Api, respond
from annals.ledger.messages import seq_of
from annals.ledger.part_reading import get_part_url
from annals.ledger.part_storing import begin_upload

app = Api()
handler = app.handler


@app.post("/v1/parts", status_code=201, tags=["Messages"])
def upload_part(body: NewUpload) -> UploadResponse:
    """Upload a part of up to 100 MB, which messages can name within a day.

    The answer says where the bytes go, and the reference that then stands for them in a message's `parts`. Only bytes
    of this size and SHA-256 are taken. An upload that no message names is deleted after a day.
    """
    caller = app.caller.require_scope("write")
    reference = body.to_reference()
    return present_upload(begin_upload(caller.tenant, reference, app.base_url))


@app.get("/v1/conversations/<conversation_id>/messages/<message_id>/parts/<sha256>", tags=["Messages"])
def get_part(
    conversation_id: PathId, message_id: PathMessageId, sha256: PathId, redirect: Annotated[bool, Query()] = False
) -> Response[PartResponse]:
    """A URL that reads a part of a message for a few minutes; with `redirect`, the answer leads there (302)."""
    caller = app.caller.require_scope("read")
    app.require_known_query("redirect")
    conversation = open_conversation(caller, conversation_id)
    found = get_part_url(conversation.pk, message_id, seq_of(message_id), sha256, app.base_url)
    if redirect:
        return respond(present_part(found), 302, location=found.url)
    return respond(present_part(found))
