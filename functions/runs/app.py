"""Store, read, list and delete the runs of a conversation's agents."""

from __future__ import annotations

from typing import Annotated, Literal

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Query

from annals.api.fields import ExternalId, Id, PathExternalId, PathId, Word
from annals.conversations import run_store
from annals.conversations.read import open_conversation
from annals.conversations.run_models import PutRun, Run, RunList, present_run
from annals.conversations.run_store import RunSelection
from annals.http.app import Api, respond

LIST_PARAMS = ("limit", "cursor", "order", "status", "parentRunId", "agentId", "includeData")

app = Api()
handler = app.handler


@app.put("/v1/conversations/<conversation_id>/runs/<run_id>", tags=["Runs"])
def put_run(conversation_id: PathId, run_id: PathExternalId, body: PutRun) -> Response[Run]:
    """Store a run (201), or replace what is stored of it (200); the answer leaves out its data.

    A new run gets the conversation's next number. Sent again, a request finds what it stored, and changes nothing.
    """
    conversation = open_conversation(app.caller.require_scope("write"), conversation_id)
    run, created = run_store.put_run(conversation.pk, body.to_new_run(run_id), app.if_match())
    return respond(present_run(run, {}), 201 if created else 200, etag=run.version)


@app.get("/v1/conversations/<conversation_id>/runs", tags=["Runs"])
def list_runs(
    conversation_id: PathId,
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    cursor: Annotated[str | None, Query()] = None,
    order: Annotated[Literal["asc", "desc"], Query()] = "desc",
    status: Annotated[Word | None, Query()] = None,
    parent_run_id: Annotated[ExternalId | None, Query(alias="parentRunId")] = None,
    agent_id: Annotated[Id | None, Query(alias="agentId")] = None,
    include_data: Annotated[bool, Query(alias="includeData")] = False,
) -> RunList:
    """The runs of a conversation, the newest first unless ``order`` says otherwise, without their data by default."""
    caller = app.caller.require_scope("read")
    app.require_known_query(*LIST_PARAMS)
    conversation = open_conversation(caller, conversation_id)
    cursors = app.cursors("runs", conversation_id)
    page = run_store.list_runs(
        conversation.pk,
        RunSelection(status, parent_run_id, agent_id),
        limit,
        after=cursors.read(cursor)[0] if cursor else None,
        newest_first=order == "desc",
        with_data=include_data,
    )
    more = {} if page.next_number is None else cursors.next(page.next_number)
    return {"items": [present_run(run, data) for run, data in page.runs], **more}  # type: ignore[typeddict-item]


@app.get("/v1/conversations/<conversation_id>/runs/<run_id>", tags=["Runs"])
def get_run(conversation_id: PathId, run_id: PathExternalId) -> Response[Run]:
    """A run with its data."""
    conversation = open_conversation(app.caller.require_scope("read"), conversation_id)
    run, data = run_store.get_run(conversation.pk, run_id)
    return respond(present_run(run, data), etag=run.version)


@app.delete("/v1/conversations/<conversation_id>/runs/<run_id>", status_code=204, tags=["Runs"])
def delete_run(conversation_id: PathId, run_id: PathExternalId) -> Response[None]:
    """Delete a run. Its messages stay, and its number is not given again."""
    conversation = open_conversation(app.caller.require_scope("erase"), conversation_id)
    run_store.delete_run(conversation.pk, run_id)
    return respond(None, 204)
