"""API keys, and the receipts of erasures."""

from __future__ import annotations

from collections.abc import Sequence
from types import NoneType
from typing import Literal

from annals_client import wire
from annals_client.calls import Repeat, RequestSpec, Steps
from annals_client.listing import ListSpec, collect_items
from annals_client.methods import Resource, S, StepsMethod, call, listing
from annals_client.models import CreatedKey, Key, Receipt
from annals_client.wire import NOT_GIVEN, NotGiven, Time

KeyList = list[Key]


class Keys(Resource[S]):
    """Make, list and revoke API keys."""

    @call("POST /v1/keys", CreatedKey, Repeat.WITH_KEY)
    def create(
        self,
        name: str,
        scopes: Sequence[Literal["read", "write", "erase", "admin"]],
        *,
        tenant: str | None = None,
        memory_spaces: Sequence[str] | NotGiven = NOT_GIVEN,
        expires_at: Time | NotGiven = NOT_GIVEN,
        idempotency_key: str | None = None,
    ) -> RequestSpec:
        """Make a key. Its text, ``key``, is shown this once. Without ``expires_at`` it lives as long as its maker.

        Raises
        ------
        Conflict : KEY_ALREADY_MADE: an earlier try made it, and its answer was lost; the key is to be revoked
        Forbidden : it would open more than the key that makes it, or live longer
        """
        limits = wire.conditions(memory_spaces=memory_spaces, expires_at=expires_at)
        body = wire.body(name=name, tenant=tenant, **limits)
        return RequestSpec(body={**body, "scopes": [*scopes]}, key=idempotency_key)

    @listing("GET /v1/keys", Key)
    def each(self, *, limit: int | None = None, page_size: int = 100) -> ListSpec:
        """The tenant's keys that open no more than the caller's own, read page by page as they are iterated."""
        return ListSpec(RequestSpec(), limit, page_size)

    @StepsMethod
    def list(self) -> Steps[KeyList]:
        """All of the tenant's keys that open no more than the caller's own."""
        return collect_items(Keys.each.walk())

    @call("DELETE /v1/keys/{keyId}", NoneType)
    def revoke(self, key_id: str) -> RequestSpec:
        """Revoke a key. It stops working within the authorizer's cache time; keys that it made work on."""
        return RequestSpec({"key_id": key_id})


class Receipts(Resource[S]):
    """Read the receipts of erasures."""

    @call("GET /v1/receipts/{receiptId}", Receipt)
    def get(self, receipt_id: str, *, cursor: str | None = None) -> RequestSpec:
        """An erasure's receipt. That of a person names their conversations, in the page after ``cursor``."""
        return RequestSpec({"receipt_id": receipt_id}, query=wire.query(cursor=cursor))
