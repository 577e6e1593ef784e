"""Send a message from one agent to another."""

from __future__ import annotations

from aws_lambda_powertools.event_handler import Response

from annals.conversations.between_agents import send
from annals.conversations.models import SendBetweenAgents, SentBetweenAgents
from annals.http.app import Api, respond

app = Api()
handler = app.handler


@app.post("/v1/a2a/messages", status_code=201, tags=["Messages"])
def post_message(body: SendBetweenAgents) -> Response[SentBetweenAgents]:
    """Send a message. Two agents share one conversation, whoever writes first."""
    caller = app.caller.require_scope("write")
    caller.require_space(body.memory_space_id)
    sent, replayed = send(caller, body, app.idempotent_request("a2a"))
    return respond(sent, 201, replayed=replayed)
