"""Import conversations from a file."""

from __future__ import annotations

from annals.answers import fitting_counted
from annals.conversations.import_models import ImportedConversation, ImportedConversations
from annals.conversations.import_parsing import parse_import
from annals.conversations.importing import import_all
from annals.conversations.query_params.imports import OWNER_PARAMS, read_owners
from annals.errors import InvalidInput
from annals.http.app import Api
from annals.http.requests import JSON_LINES
from annals.json_text import dump

app = Api(content_types=(*JSON_LINES, "text/csv"), query_params=OWNER_PARAMS)
handler = app.handler


@app.post("/v1/conversations/import", tags=["Conversations"])
def import_conversations() -> ImportedConversations:
    """Bring conversations in: JSON lines as an export writes them, or one conversation of OpenAI's format per line.

    Everything is checked before anything is stored. What is there already is left, so sending a file again completes
    it and stores nothing twice. A conversation of OpenAI's format is the query's: `memorySpaceId` with `userId` or
    `agentId`, or `type=agent-agent` with `agent1` and `agent2`; so are those of an exported CSV file (`text/csv`).
    A file over 6 MB comes in parts, where each further
    part of a conversation begins with its line and an `offset`: how many of its messages came before. What is more than
    one request has time for is answered with 503 `IMPORT_UNFINISHED`: the same request, sent again, goes on there.
    """
    caller = app.caller.require_scope("write")
    body = app.current_event.decoded_body or ""
    incoming = parse_import(body, lambda: read_owners(app.query_params), caller.tenant)
    if not incoming:
        raise InvalidInput("MISSING_REQUIRED_FIELD", "The body must hold at least one conversation.", field="body")
    results = import_all(caller, incoming, dump([sorted(app.query_params.items()), body]).encode())
    conversations, omitted = fitting_counted(
        ImportedConversation(conversationId=each.conversation_id, imported=each.imported, skipped=each.skipped)
        for each in results
    )
    return {"conversations": conversations, **omitted}  # type: ignore[typeddict-item]
