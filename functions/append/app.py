"""Append messages to a conversation."""

from __future__ import annotations

from typing import Annotated

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Body

from annals.api.fields import PathId
from annals.conversations.message_models import Appended, AppendMessages, NewMessages
from annals.conversations.read import require_conversation_access
from annals.http.app import Api, respond
from annals.ledger.append import append
from annals.ledger.messages import messages_of, new_message

app = Api()
handler = app.handler


@app.post("/v1/conversations/<conversation_id>/messages", status_code=201, tags=["Messages"])
def append_messages(conversation_id: PathId, body: Annotated[AppendMessages, Body()]) -> Response[Appended]:
    """Append a message, or several as one entry: all of them or none."""
    caller = app.caller.require_scope("write")
    require_conversation_access(caller, conversation_id)
    messages = body.messages if isinstance(body, NewMessages) else [body]
    stored = append(
        caller.tenant,
        conversation_id,
        [new_message(message.stored_fields()) for message in messages],
        expected_seq=app.if_match(),
        request=app.idempotent_request("append"),
        thread_id=messages[0].thread_id,
    )
    entry = stored.entry
    appended = Appended(
        conversationId=conversation_id,
        messages=list(messages_of(entry)),
        messageCount=entry.count,
        headHash=entry.hash.hex(),
    )
    return respond(appended, 201, etag=entry.last_seq, replayed=stored.replayed)
