"""What the API takes and gives of keys."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from annals.access.caller import Caller
from annals.access.keys import Key
from annals.answers import Room
from annals.api.fields import Id, Model, Name, Time
from annals.api.filters import Omittable
from annals.errors import Forbidden, InvalidInput
from annals.times import now_ms, to_rfc3339

MAX_SPACES = 1_000
"""How many memory spaces a key may be limited to."""


class CreateKey(Model):
    """A key to be made. It can do no more than the key or token that makes it, and lives no longer."""

    name: Name
    tenant: Id | None = None
    scopes: Annotated[list[Literal["read", "write", "erase", "admin"]], Field(min_length=1, max_length=4)]
    memory_spaces: Omittable[Annotated[list[Id], Field(min_length=1, max_length=MAX_SPACES)]] = None
    expires_at: Omittable[Time] = None

    def spaces_within(self, caller: Caller) -> frozenset[str] | None:
        """The spaces of the new key: those that are named, else the caller's. Raises Forbidden."""
        if self.tenant not in (None, caller.tenant):
            caller.require_scope("operator")
        if excess := set(self.scopes) - caller.scopes:
            raise Forbidden(f"This key lacks {', '.join(sorted(excess))}, so it cannot give it.")
        spaces = caller.spaces if self.memory_spaces is None else frozenset(self.memory_spaces)
        if not caller.covers(spaces):
            raise Forbidden("A key can open no memory spaces beyond its own.")
        return spaces

    def expiry_within(self, caller: Caller) -> int | None:
        """When the new key expires: as the request has it, else with the caller. Raises Forbidden, InvalidInput."""
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
    response = KeyResponse(
        keyId=key.key_id, name=key.name, scopes=sorted(key.scopes), createdAt=to_rfc3339(key.created_at)
    )
    if key.spaces is not None:
        response["memorySpaces"] = sorted(key.spaces)
    if key.created_by is not None:
        response["createdBy"] = key.created_by
    if key.valid_until is not None:
        response["expiresAt"] = to_rfc3339(key.valid_until)
    if key.revoked_at is not None:
        response["revokedAt"] = to_rfc3339(key.revoked_at)
    return response


def present_key_page(keys: Iterable[Key], limit: int) -> tuple[list[KeyResponse], str | None]:
    """A page of keys, and the id after which the next one begins; None where there are no more."""
    items: list[KeyResponse] = []
    room = Room()
    for response in map(present_key, keys):
        if len(items) == limit or not room.takes(response):
            return items, items[-1]["keyId"]
        items.append(response)
    return items, None
