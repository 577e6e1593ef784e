"""JSON under keys, of any size and any depth, as documents of a scope."""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from uuid import uuid4

from annals_client.integrations.agent_framework_base.messages import is_plain
from annals_client.integrations.agent_framework_base.scope import Scope
from annals_client.integrations.support import Clients
from annals_client.resources.documents import DocumentGet, DocumentPut

PIECE_CHARS = 900_000
"""How long a text is that one document is sure to hold, whatever its characters; longer ones are in several."""
KEY_CHARS = 400
DIGEST = "sha256:"
TRIES = 5
"""How often a value is read whose pieces are replaced meanwhile."""


@dataclass(frozen=True)
class Record:
    """A value, and its version: 1, and one more with each change. ``pieces`` names the documents that it is in."""

    value: Any
    version: int
    pieces: str | None = None


class Records:
    """The values of one kind in a scope.

    Parameters
    ----------
    collection : what kind they are of
    ttl_s : for how many seconds they are kept after their last change; for good without
    """

    def __init__(self, clients: Clients, scope: Scope, collection: str, ttl_s: int | None = None) -> None:
        self._clients = clients
        self._collection = collection
        self._namespace = scope.labels()
        self._ttl_s = ttl_s
        self._memory_space_id = scope.application_id
        self._user_id = scope.user_id

    async def get(self, key: str) -> Record | None:
        """The value under a key; None where there is none. Strongly consistent."""
        for _ in range(TRIES):
            document = await self._documents.get(
                self._collection,
                name_of(key),
                namespace=self._namespace,
                memory_space_id=self._memory_space_id,
                user_id=self._user_id,
            )
            if document is None:
                return None
            stored: dict[str, Any] = document.value
            if "pieces" not in stored:
                value = json.loads(stored["json"]) if "json" in stored else stored["value"]
                return Record(value, document.version)
            text = await self._read_pieces(stored["pieces"], stored["count"])
            if text is not None:
                return Record(json.loads(text), document.version, stored["pieces"])
        raise TimeoutError(f"{key!r} was replaced {TRIES} times while it was read")

    async def put(self, key: str, value: Any, *, replaces: Record | None = None, if_version: int | None = None) -> Record:
        """Store a value under a key.

        Parameters
        ----------
        replaces : what must be there
        if_version : or the version that must be there, 0 for none. Without both, the last writer wins

        Raises
        ------
        PreconditionFailed : another version is there
        TypeError, ValueError : the value is no JSON, or has a number in it that is none
        """
        text = json.dumps(value, allow_nan=False)
        pieces = await self._put_pieces(text) if len(text) > PIECE_CHARS else None
        if pieces is not None:
            stored: dict[str, Any] = {"pieces": pieces, "count": _count(text)}
        else:
            stored = {"value": value} if is_plain(value) else {"json": text}
        document = await self._documents.put(
            self._collection,
            name_of(key),
            stored,
            namespace=self._namespace,
            memory_space_id=self._memory_space_id,
            user_id=self._user_id,
            if_version=replaces.version if replaces else if_version,
            ttl_s=self._ttl_s,
        )
        await self._delete_pieces(replaces)
        return Record(value, document.version, pieces)

    async def delete(self, key: str) -> Record | None:
        """Delete the value under a key: what it was, or None."""
        found = await self.get(key)
        deleted = found is not None and await self._documents.delete(
            self._collection,
            name_of(key),
            namespace=self._namespace,
            memory_space_id=self._memory_space_id,
            user_id=self._user_id,
        )
        await self._delete_pieces(found)
        return found if deleted else None

    async def keys(self, prefix: str = "", *, order: Order = "asc", limit: int | None = None) -> list[str]:
        """The keys that begin so, in their order."""
