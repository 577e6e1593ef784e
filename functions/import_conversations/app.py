"""Import conversations from a file."""

from __future__ import annotations

from collections.abc import Iterable

from annals.answers import Room, fitting_counted
from annals.api.problems import MAX_DETAIL_CHARS
from annals.api.query import read_flag
from annals.conversations.import_models import BrokenConversation, ImportedConversation, ImportedConversations
from annals.conversations.import_parsing import BrokenConversation as Broken
from annals.conversations.import_parsing import ImportOptions, parse_import
from annals.conversations.importing import import_all
from annals.conversations.query_params.imports import DRY_RUN, IMPORT_PARAMS, SKIP_BROKEN, read_owners
from annals.errors import InvalidInput
from annals.http.app import Api
from annals.http.requests import COMPRESSED, JSON_LINES
from annals.json_text import dump

app = Api(content_types=(*JSON_LINES, "text/csv"), query_params=IMPORT_PARAMS, binary_types=COMPRESSED)
handler = app.handler

BROKEN_SHARE = 0.3
"""How much of an answer's room the conversations that were left out may take."""


@app.post("/v1/conversations/import", tags=["Conversations"])
def import_conversations() -> ImportedConversations:
    """Bring conversations in from a file, which is recognised by what it holds.

    It takes ChatGPT's and Claude's exports (zip or `conversations.json`), those of LibreChat, Open WebUI, LobeChat and
    Cortex, ShareGPT, chats of OpenAI's, Anthropic's, Bedrock's or the AI SDK's shape, LangChain's messages, and Annals'
    own `json`, `jsonl`, `csv` and `ledger`; plain, gzip or zip.

    Everything is checked before anything is stored. What is there already is left, so sending a file again completes
    it and stores nothing twice. Conversations that do not name their participants are the query's: `memorySpaceId` with
    `userId` or `agentId`, or `type=agent-agent` with `agent1` and `agent2`. With `skipBroken=true`, a conversation that
    cannot be read or stored is left out and named in `broken`, and the others are imported. With `dryRun=true`, nothing
    is stored: the answer says what would be.

    A file over 6 MB comes in parts, where each further part of a conversation begins with its line and an `offset`: how
    many of its messages came before. What is more than one request has time for is answered with 503
    `IMPORT_UNFINISHED`: the same request, sent again, goes on there.
    """
    caller, query = app.caller.require_scope("write"), app.query_params
    skip_broken, dry_run = read_flag(query, SKIP_BROKEN), read_flag(query, DRY_RUN)
    options = ImportOptions(lambda: read_owners(query), caller.tenant, query.get("memorySpaceId"), skip_broken)
    body = app.body_bytes
    parsed = parse_import(body, options)
    if not parsed.conversations and not parsed.broken:
        raise InvalidInput("MISSING_REQUIRED_FIELD", "The body must hold at least one conversation.", field="body")
    request = dump(sorted(query.items())).encode() + body
    results = import_all(caller, parsed.conversations, request, skip_broken=skip_broken, dry_run=dry_run)
    broken, broken_omitted = fitting_counted(_present([*parsed.broken, *results.broken]), Room(BROKEN_SHARE))
    imported = (
        ImportedConversation(conversationId=each.conversation_id, imported=each.imported, skipped=each.skipped)
        for each in results.imported
    )
    conversations, omitted = fitting_counted(imported, Room(1 - BROKEN_SHARE))
    more = omitted.get("omitted", 0) + broken_omitted.get("omitted", 0)
    return {
        "conversations": conversations,
        **({"broken": broken} if broken else {}),  # type: ignore[typeddict-item]
        **({"omitted": more} if more else {}),
    }


def _present(broken: Iterable[Broken]) -> Iterable[BrokenConversation]:
    for each in broken:
        presented = BrokenConversation(
            place=each.place.name, code=each.refusal.code, detail=each.refusal.detail[:MAX_DETAIL_CHARS]
        )
        if each.place.title:
            presented["title"] = each.place.title
        if each.conversation_id:
            presented["conversationId"] = each.conversation_id
        yield presented
