"""Describe memory spaces and who takes part in them."""

from __future__ import annotations

from aws_lambda_powertools.event_handler import Response

from annals.api.fields import PathId
from annals.http.app import Api, respond
from annals.memory import spaces
from annals.memory.space_models import PutSpace, SpaceResponse

app = Api()
handler = app.handler


@app.get("/v1/spaces/<memory_space_id>", tags=["Spaces"])
def get_space(memory_space_id: PathId) -> Response[SpaceResponse]:
    """A memory space, as it was described. One that nobody described can be used all the same, but is not here."""
    caller = app.caller.require_scope("read")
    app.require_known_query()
    space = spaces.get_space(caller, memory_space_id)
    return respond(space.present(), etag=space.version)


@app.put("/v1/spaces/<memory_space_id>", tags=["Spaces"])
def describe_space(memory_space_id: PathId, body: PutSpace) -> Response[SpaceResponse]:
    """Describe a memory space; a new description replaces the one before: 201 for the first time, then 200.

    With `retentionDays`, a conversation in which nothing was said for so many days is erased by itself, up to a few
    days later; until then it can be read. A change of it counts for a conversation when something is said there next,
    or when its time was up before. It takes the scope `erase` to set it, to change it, or to take it back.
    """
    caller = app.caller.require_scope("admin")
    request = app.idempotent_request("put-space")
    space, replayed = spaces.put_space(caller, memory_space_id, body, app.if_match(), request)
    return respond(space.present(), 201 if space.version == 1 else 200, etag=space.version, replayed=replayed)
