"""What of a conversation fits into a prompt, and its figures."""

from __future__ import annotations

from typing import Annotated

from aws_lambda_powertools.event_handler.openapi.params import Query

from annals.api.fields import PathId
from annals.api.query import read_flag
from annals.conversations.analytics import analyse
from annals.conversations.models import Analytics
from annals.conversations.read import open_conversation
from annals.formats.lines import present_line
from annals.http.app import Api
from annals.memory.recall.context_window import context_window, read_opening
from annals.memory.recall.models import ContextFormat, ContextWindow
from annals.memory.recall.windows import ToolCalls

app = Api()
handler = app.handler


@app.get("/v1/conversations/<conversation_id>/context", tags=["Messages"])
def get_context(
    conversation_id: PathId,
    max_tokens: Annotated[int, Query(alias="maxTokens", ge=1, le=10_000_000)],
    include_summary: Annotated[str, Query(alias="includeSummary")] = "false",
    tool_calls: Annotated[ToolCalls, Query(alias="toolCalls")] = "all",
    format_name: Annotated[ContextFormat, Query(alias="format")] = "annals",
) -> ContextWindow:
    """The newest messages that fit a budget of tokens, oldest first; preamble and summary before them if asked for.

    They are in Annals' shape, or in the one of a provider or a framework. A call of a tool comes with its results, or
    not at all. With ``toolCalls=unfinished``, those of turns that have a reply are left out, and a reply comes with its
    question.
    """
    caller = app.caller.require_scope("read")
    app.require_known_query("maxTokens", "includeSummary", "toolCalls", "format")
    conversation = open_conversation(caller, conversation_id)
    has_opening = read_flag({"includeSummary": include_summary}, "includeSummary")
    opening = read_opening(conversation.pk, conversation.tail) if has_opening else ()
    window = context_window(
        caller.tenant, conversation_id, conversation.tail, max_tokens, opening=opening, tool_calls=tool_calls
    )
    return window if format_name == "annals" else {**window, **present_line(format_name, window["messages"])}


@app.get("/v1/conversations/<conversation_id>/analytics", tags=["Conversations"])
def get_analytics(conversation_id: PathId) -> Analytics:
    """Counts by role and participant, tokens, response times and turns per day."""
    caller = app.caller.require_scope("read")
    app.require_known_query()
    return analyse(open_conversation(caller, conversation_id))
