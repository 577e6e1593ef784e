"""The caller: whom a request speaks for, and what that one may do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from annals.errors import Forbidden, NotFound

SCOPES = ("read", "write", "erase", "admin", "operator")


@dataclass(frozen=True)
class Caller:
    """Who a key or a token stands for.

    ``spaces`` are the memory spaces it may see; None stands for all of them. ``expires_at`` is until when it works, in
    Unix milliseconds; None stands for ever.
    """

    tenant: str
    key_id: str
    scopes: frozenset[str]
    spaces: frozenset[str] | None = None
    expires_at: int | None = None

    @staticmethod
    def from_authorizer(context: Mapping[str, Any]) -> Caller:
        """The caller that the authorizer put into the request's context: strings, lists as JSON."""
        spaces, expires_at = context.get("memorySpaces"), context.get("expiresAt")
        return Caller(
            tenant=context["tenant"],
            key_id=context["keyId"],
            scopes=frozenset(json.loads(context["scopes"])),
            spaces=None if spaces is None else frozenset(json.loads(spaces)),
            expires_at=None if expires_at is None else int(expires_at),
        )

    def to_authorizer(self) -> dict[str, str]:
        """The request context in which functions find this caller again."""
        context = {"tenant": self.tenant, "keyId": self.key_id, "scopes": json.dumps(sorted(self.scopes))}
        if self.spaces is not None:
            context["memorySpaces"] = json.dumps(sorted(self.spaces))
        if self.expires_at is not None:
            context["expiresAt"] = str(self.expires_at)
        return context

    def require_scope(self, scope: str) -> Caller:
        """This caller, if it has the scope. Raises Forbidden."""
        if scope not in self.scopes:
            raise Forbidden(f"This key lacks the scope {scope!r}.")
        return self

    def may_see(self, space: str | None) -> bool:
        """Whether a memory space is open to this caller."""
        return self.spaces is None or space in self.spaces

    def visible_spaces(self, space: str | None) -> frozenset[str] | None:
        """The memory spaces open to this caller, or of them only the one that is named; None stands for all."""
        if space is None:
            return self.spaces
        named = frozenset({space})
        return named if self.spaces is None else self.spaces & named

    def covers(self, spaces: frozenset[str] | None) -> bool:
        """Whether this caller may see all of these memory spaces; None stands for all there are."""
        return self.spaces is None or (spaces is not None and spaces <= self.spaces)

    def require_space(self, space: str | None) -> None:
        """Raise NotFound unless the space is open to this caller: what it may not see is not there."""
        if not self.may_see(space):
            raise NotFound(f"There is no memory space {space!r}.", field="memorySpaceId")
