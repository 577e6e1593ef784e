"""What the API takes and gives of keys."""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from annals.access.caller import Caller
from annals.access.keys import Key, list_keys
from annals.answers import Room
from annals.api.cursors import Cursors
from annals.api.fields import Id, Model, Name, Time
from annals.api.filters import Omittable
from annals.errors import Forbidden, InvalidInput
from annals.times import now_ms, to_rfc3339

MAX_SPACES = 1_000
"""How many memory spaces a key may be limited to."""


class CreateKey(Model):
    """A key to be made. It can do no more than what makes it, and lives no longer."""

    name: Name
    tenant: Id | None = None
    scopes: Annotated[list[Literal["read", "write", "erase", "admin"]], Field(min_length=1, max_length=4)]
    memory_spaces: Omittable[Annotated[list[Id], Field(min_length=1, max_length=MAX_SPACES)]] = None
    expires_at: Omittable[Time] = None

    def spaces_within(self, caller: Caller) -> frozenset[str] | None:
        """The spaces of the new key: those asked for, else the maker's. Raises Forbidden, InvalidInput."""
        if self.tenant not in (None, caller.tenant):
            caller.require_scope("operator")
        if excess := set(self.scopes) - caller.scopes:
            raise Forbidden(f"This key lacks {', '.join(sorted(excess))}, so it cannot give it.")
        asked = caller.spaces if self.memory_spaces is None else frozenset(self.memory_spaces)
        if not caller.covers(asked):
            raise Forbidden("A key can open no memory spaces beyond its own.")
        return asked

    def expiry_within(self, caller: Caller) -> int | None:
        """When the new key expires: as it is asked for, else with its maker. Raises Forbidden, InvalidInput."""
        if self.expires_at is not None and self.expires_at <= now_ms():
            raise InvalidInput("INVALID_DATE_RANGE", "expiresAt must be in the future.", field="expiresAt")
        if caller.expires_at is None:
            return self.expires_at
        if caller.expires_at <= max(now_ms(), (self.expires_at or 0) - 1):
            until = to_rfc3339(caller.expires_at)
            raise Forbidden(f"A key lives no longer than what makes it, here until {until}.", field="expiresAt")
        return self.expires_at or caller.expires_at


class KeyResponse(TypedDict):
    """A key without its secret. ``createdBy`` is the key or token that made it, where that is known."""

    keyId: str
    name: str
    scopes: list[str]
    memorySpaces: NotRequired[list[str]]
    createdAt: str
    createdBy: NotRequired[str]
    expiresAt: NotRequired[str]
    revokedAt: NotRequired[str]


class CreatedKey(KeyResponse):
    """A new key. ``key`` is shown this once."""

    key: str
    tenant: str


class KeyList(TypedDict):
    """A page of the tenant's keys."""

    items: list[KeyResponse]
    nextCursor: NotRequired[str]


def present_key(key: Key) -> KeyResponse:
    """A key as the API shows it."""
    shown = KeyResponse(
        keyId=key.key_id, name=key.name, scopes=sorted(key.scopes), createdAt=to_rfc3339(key.created_at)
    )
    if key.spaces is not None:
        shown["memorySpaces"] = sorted(key.spaces)
    if key.created_by is not None:
        shown["createdBy"] = key.created_by
    if key.valid_until is not None:
        shown["expiresAt"] = to_rfc3339(key.valid_until)
    if key.revoked_at is not None:
        shown["revokedAt"] = to_rfc3339(key.revoked_at)
    return shown


def present_key_page(caller: Caller, limit: int, cursor: str | None, cursors: Cursors) -> KeyList:
    """A page of the tenant's keys that open no more than the caller's own. Raises InvalidInput for a damaged cursor."""
    last = cursors.read(cursor)[0] if cursor else ""
    items: list[KeyResponse] = []
    room = Room()
    for key in list_keys(caller.tenant, after=last):
        if not caller.covers(key.spaces):
            continue
        shown = present_key(key)
        if len(items) == limit or not room.takes(shown):
            return {"items": items, **cursors.next(items[-1]["keyId"])}  # type: ignore[typeddict-item]
        items.append(shown)
    return {"items": items}
