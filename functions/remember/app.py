"""Remember a turn."""

from __future__ import annotations

from aws_lambda_powertools.event_handler import Response

from annals.http.app import Api, reply
from annals.memory.models import Remember, Remembered
from annals.memory.remember import remember

app = Api()
handler = app.handler


@app.post("/v1/memory/remember", status_code=201, tags=["Memory"])
def remember_turn(body: Remember) -> Response[Remembered]:
    """Store what a user said and what the agent answered, as one entry of their conversation."""
    caller = app.caller.require("write")
    stored = remember(caller, body, app.idempotent_request("remember"))
    return reply(stored.show(), 201, replayed=stored.appended.replayed)
