"""Facts: stored, read, listed, deleted."""

from __future__ import annotations

from typing import Annotated

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Query

from annals.api.fields import Id, PathId, Word
from annals.api.query import read_flag, read_time
from annals.errors import FactNotFound
from annals.http.app import Api, respond
from annals.memory.facts import fact_creation, fact_reads
from annals.memory.facts.fact_deletion import delete_visible_fact
from annals.memory.facts.fact_lists import FactFilter, list_facts
from annals.memory.facts.fact_presenters import present_fact
from annals.memory.facts.models import CreateFact, Fact, FactList, FactPart
from annals.memory.index_pages import read_position

app = Api()
handler = app.handler

Part = Annotated[FactPart | None, Query()]


@app.post("/v1/facts", status_code=201, tags=["Facts"])
def create_fact(body: CreateFact) -> Response[Fact]:
    """Store a fact; the one of its subject and predicate that held before holds until then."""
    caller = app.caller.require_scope("write")
    fact, replayed = fact_creation.create_fact(fact_creation.new_fact(caller, body), app.idempotent_request("facts"))
    return respond(present_fact(fact), 201, replayed=replayed)


@app.get("/v1/facts", tags=["Facts"])
def list_them(
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    cursor: Annotated[str | None, Query()] = None,
    memory_space_id: Annotated[Id | None, Query(alias="memorySpaceId")] = None,
    user_id: Annotated[Id | None, Query(alias="userId")] = None,
    participant_id: Annotated[Id | None, Query(alias="participantId")] = None,
    subject: Part = None,
    predicate: Part = None,
    object_: Annotated[FactPart | None, Query(alias="object")] = None,
    fact_type: Annotated[Word | None, Query(alias="factType")] = None,
    at: Annotated[str | None, Query()] = None,
    include_superseded: Annotated[str, Query(alias="includeSuperseded")] = "false",
) -> FactList:
    """List facts, those that began to hold last first.

    Without ``at`` these are the facts that nothing has superseded, with it those that held then. Names are compared
    whatever their case and spaces. Lists follow what is stored a moment later.
    """
    caller = app.caller.require_scope("read")
    app.require_known_query(*LISTED)
    fact_filter = FactFilter(
        memory_space_id=memory_space_id,
        user_id=user_id,
        participant_id=participant_id,
        terms={"subject": subject, "predicate": predicate, "object": object_, "fact_type": fact_type},
        at=read_time(app.query_params, "at"),
        include_superseded=read_flag(app.query_params, "includeSuperseded"),
    )
    cursors = app.cursors("facts")
    items, position = list_facts(caller, fact_filter, limit, read_position(cursor, cursors))
    return {"items": items, **(cursors.next(*position) if position else {})}


LISTED = (
    "limit", "cursor", "memorySpaceId", "userId", "participantId", "subject", "predicate", "object", "factType", "at",
    "includeSuperseded",
)  # fmt: skip


@app.get("/v1/facts/<fact_id>", tags=["Facts"])
def get_fact(fact_id: PathId) -> Fact:
    """A fact, and until when it held if a newer one superseded it."""
    caller = app.caller.require_scope("read")
    app.require_known_query()
    return present_fact(fact_reads.get_fact(caller, fact_id))


@app.delete("/v1/facts/<fact_id>", status_code=204, tags=["Facts"])
def delete_fact(fact_id: PathId) -> Response[None]:
    """Delete a fact. The one before it holds for longer then."""
    caller = app.caller.require_scope("erase")
    app.require_known_query()
    if not delete_visible_fact(caller, fact_id):
        raise FactNotFound(fact_id)
    return respond(None, 204)
