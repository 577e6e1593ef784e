"""Make, list and revoke API keys."""

from __future__ import annotations

from typing import Annotated

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.openapi.params import Query

from annals.access import keys
from annals.access.models import CreatedKey, CreateKey, KeyList, present_key, present_key_page
from annals.api.fields import PathId
from annals.http.app import Api, respond

app = Api()
handler = app.handler


@app.post("/v1/keys", status_code=201, tags=["Keys"])
def create_key(body: CreateKey) -> Response[CreatedKey]:
    """Make a key. Its text is in this answer and nowhere else.

    It can do no more than the key or token that makes it, and lives no longer: without `expiresAt`, exactly as long.
    Sent again with its Idempotency-Key, a request makes no second key: it is 409 KEY_ALREADY_MADE, which names the
    first.
    """
    caller = app.caller.require_scope("admin")
    spaces = body.spaces_within(caller)
    tenant = body.tenant or caller.tenant
    request = app.idempotent_request("keys")
    key, text = keys.create_key(
        tenant, body.name, frozenset(body.scopes), spaces, body.expiry_within(caller), caller.key_id, request
    )
    return respond({**present_key(key), "key": text, "tenant": tenant}, 201)


@app.get("/v1/keys", tags=["Keys"])
def list_tenant_keys(
    limit: Annotated[int, Query(ge=1, le=1000)] = 1000, cursor: Annotated[str | None, Query()] = None
) -> KeyList:
    """The tenant's keys that open no more than the caller's own, by their ids."""
    caller = app.caller.require_scope("admin")
    app.require_known_query("limit", "cursor")
    cursors = app.cursors("keys")
    after = cursors.read(cursor)[0] if cursor else ""
    items, last = present_key_page(keys.list_keys(caller, after=after), limit)
    return {"items": items, **(cursors.next(last) if last else {})}  # type: ignore[typeddict-item]


@app.delete("/v1/keys/<key_id>", status_code=204, tags=["Keys"])
def delete_key(key_id: PathId) -> Response[None]:
    """Revoke a key. It stops working within the authorizer's cache time; keys that it made work on."""
    caller = app.caller.require_scope("admin")
    keys.revoke_key(caller, key_id)
    return respond(None, 204)
