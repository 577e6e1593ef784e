"""Remember a turn, or the facts of one whose messages are stored."""

from __future__ import annotations

from typing import Annotated

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Body

from annals.http.app import Api, respond
from annals.memory.facts.models import RememberFacts, TurnFactsResponse
from annals.memory.models import Remembered, RememberReply, RememberRequest
from annals.memory.remember import remember, remember_facts, remember_reply

app = Api()
handler = app.handler


@app.post("/v1/memory/remember", status_code=201, tags=["Memory"])
def remember_turn(body: Annotated[RememberRequest, Body()]) -> Response[Remembered]:
    """Store what a user said and what the agent answered, as one entry of their conversation.

    Where the reply comes later, the user's message is stored alone, without `agentResponse`; then the reply, with
    `userMessageId` instead of `userMessage`. The answer to that shows the whole turn.
    """
    caller = app.caller.require_scope("write")
    request = app.idempotent_request("remember")
    if isinstance(body, RememberReply):
        remembered, replayed = remember_reply(caller, body, request)
        return respond(remembered, 201, replayed=replayed)
    stored = remember(caller, body, request)
    return respond(stored.present(), 201, replayed=stored.appended.replayed)


@app.post("/v1/memory/remember-facts", status_code=201, tags=["Memory"])
def remember_facts_of_turn(body: RememberFacts) -> Response[TurnFactsResponse]:
    """Store facts of a turn whose messages are stored: those of the request, and, if requested, extracted ones.

    They are stored once for each turn, so that no Idempotency-Key is needed.
    """
    caller = app.caller.require_scope("write")
    return respond(remember_facts(caller, body).present(), 201)
