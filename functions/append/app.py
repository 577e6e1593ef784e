"""Append messages to a conversation."""

from __future__ import annotations

from typing import Annotated

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Body

from annals.api.fields import PathId
from annals.conversations.appending import append_for
from annals.conversations.message_models import Appended, AppendMessages
from annals.http.app import Api, respond
from annals.ledger.messages import appended_messages, new_message

app = Api()
handler = app.handler


@app.post("/v1/conversations/<conversation_id>/messages", status_code=201, tags=["Messages"])
def append_messages(conversation_id: PathId, body: Annotated[AppendMessages, Body()]) -> Response[Appended]:
    """Append a message, or several as one entry: all of them or none.

    Messages whose ``externalId`` is known are stored already. ``conversation`` makes a missing conversation.
    """
    caller = app.caller.require_scope("write")
    records = [new_message(message.stored_fields()) for message in body.messages]
    new = body.conversation.to_new(conversation_id) if body.conversation else None
    if any(record.dimensions for record in records):
        from annals.memory.caller_vectors import require_appendable

        require_appendable(caller, conversation_id, new, records)
    stored = append_for(
        caller,
        conversation_id,
        records,
        new=new,
        expected_seq=app.if_match(),
        request=app.idempotent_request("append"),
        thread_id=body.messages[0].thread_id,
    )
    entry = stored.entry
    appended = Appended(
        conversationId=conversation_id,
        messages=list(appended_messages(stored)),
        messageCount=entry.count,
        headHash=entry.hash.hex(),
    )
    return respond(appended, 201, etag=entry.last_seq, replayed=stored.replayed)
