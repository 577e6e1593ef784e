"""Summarise conversations."""

from __future__ import annotations

from annals.api.fields import PathId
from annals.conversations.models import Summarize, SummaryResponse
from annals.conversations.presenters import present_summary
from annals.conversations.read import require_conversation_access
from annals.http.app import Api
from annals.memory.summarizing import summarize

app = Api()
handler = app.handler


@app.post("/v1/conversations/<conversation_id>/summarize", tags=["Conversations"])
def summarize_conversation(conversation_id: PathId, body: Summarize) -> SummaryResponse:
    """Bring a conversation's summary up to its newest message; the one there is where there is no newer one.

    It is made of the summary before and the messages after that one. Of a long conversation, one request may cover a
    part only: ``toSeq`` says how far it came, and the next request goes on.
    """
    caller = app.caller.require_scope("write")
    require_conversation_access(caller, conversation_id)
    return present_summary(summarize(caller.tenant, conversation_id, model=body.model))
