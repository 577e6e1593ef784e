"""Remember a turn, or the facts of one whose messages are stored."""

from __future__ import annotations

from aws_lambda_powertools.event_handler import Response

from annals.http.app import Api, respond
from annals.memory.facts.models import RememberFacts, TurnFactsResponse
from annals.memory.models import Remember, Remembered
from annals.memory.remember import remember, remember_facts

app = Api()
handler = app.handler


@app.post("/v1/memory/remember", status_code=201, tags=["Memory"])
def remember_turn(body: Remember) -> Response[Remembered]:
    """Store what a user said and what the agent answered, as one entry of their conversation."""
    caller = app.caller.require_scope("write")
    stored = remember(caller, body, app.idempotent_request("remember"))
    return respond(stored.present(), 201, replayed=stored.appended.replayed)


@app.post("/v1/memory/remember-facts", status_code=201, tags=["Memory"])
def remember_facts_of_turn(body: RememberFacts) -> Response[TurnFactsResponse]:
    """Store facts of a turn whose messages are stored: those of the request, and, if requested, extracted ones.

    They are stored once for each turn, so that no Idempotency-Key is needed.
    """
    caller = app.caller.require_scope("write")
    return respond(remember_facts(caller, body).present(), 201)
