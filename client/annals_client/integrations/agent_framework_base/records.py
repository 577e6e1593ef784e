"""JSON under keys, of any size and any depth, as documents of a scope."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal
from uuid import uuid4

from typing_extensions import TypedDict

from annals_client.formats.plain_json import is_plain
from annals_client.integrations.agent_framework_base.scope import Scope
from annals_client.integrations.support import Clients
from annals_client.resources.documents import Documents
from annals_client.senders import AsyncSender

PIECE_CHARS = 900_000
"""How long a text is that one document is sure to hold, whatever its characters; longer ones are in several."""
PIECES = "pieces"
LABEL_CHARS, KEY_CHARS = 200, 400
DIGEST = "sha256:"
TRIES = 5
"""How often a value is read whose pieces are replaced meanwhile."""


class Place(TypedDict):
    """Where documents are, beside their collection and their key."""

    namespace: Sequence[str]
    memory_space_id: str
    user_id: str | None


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
    labels : which of them, within the scope
    ttl_s : for how many seconds they are kept after their last change; for good without
    """

    def __init__(
        self, clients: Clients, scope: Scope, collection: str, labels: Sequence[str] = (), *, ttl_s: int | None = None
    ) -> None:
        self._clients = clients
        self._scope = scope
        self._collection = collection
        self._labels = [*scope.labels(), *map(name_of, labels)]
        self._ttl_s = ttl_s

    async def get(self, key: str) -> Record | None:
        """The value under a key; None where there is none. Strongly consistent."""
        for _ in range(TRIES):
            document = await self._documents.get(self._collection, name_of(key, KEY_CHARS), **self._place())
            if document is None:
                return None
            stored: dict[str, Any] = document.value
            if PIECES not in stored:
                value = json.loads(stored["json"]) if "json" in stored else stored["value"]
                return Record(value, document.version)
            text = await self._read_pieces(stored[PIECES], stored["count"])
            if text is not None:
                return Record(json.loads(text), document.version, stored[PIECES])
        raise TimeoutError(f"{key!r} was replaced {TRIES} times while it was read")

    async def put(
        self, key: str, value: Any, *, replaces: Record | None = None, if_version: int | None = None
    ) -> Record:
        """Store a value under a key.

        Parameters
        ----------
        replaces : what must be there
        if_version : or the version that must be there, 0 for none. Without both, the last writer wins

        Raises
        ------
        PreconditionFailed : another version is there
        TypeError : the value is no JSON
        """
        text = _text_of(value)
        before = replaces if replaces or if_version is not None else await self._find_head(key)
        pieces = await self._put_pieces(text) if len(text) > PIECE_CHARS else None
        if pieces is not None:
            stored: dict[str, Any] = {PIECES: pieces, "count": len(_pieces_of(text))}
        else:
            stored = {"value": value} if is_plain(value) else {"json": text}
        document = await self._documents.put(
            self._collection,
            name_of(key, KEY_CHARS),
            stored,
            if_version=replaces.version if replaces else if_version,
            ttl_s=self._ttl_s,
            **self._place(),
        )
        await self._delete_pieces(before)
        return Record(value, document.version, pieces)

    async def delete(self, key: str) -> Record | None:
        """Delete the value under a key: what it was, or None where there was none."""
        found = await self.get(key)
        if found is None or not await self._documents.delete(
            self._collection, name_of(key, KEY_CHARS), **self._place()
        ):
            return None
        await self._delete_pieces(found)
        return found

    async def values(self, *, order: Literal["asc", "desc"] = "asc") -> list[Any]:
        """The values, which are small, in the order of their keys."""
        listing = self._documents.list(self._collection, order=order, **self._place())
        return [document.value["value"] async for document in listing]

    @property
    def _documents(self) -> Documents[AsyncSender]:
        return self._clients.asynchronous.documents

    def _place(self, *labels: str) -> Place:
        return {
            "namespace": [*self._labels, *labels],
            "memory_space_id": self._scope.application_id,
            "user_id": self._scope.user_id,
        }

    async def _find_head(self, key: str) -> Record | None:
        """What is under a key, without its value."""
        document = await self._documents.get(self._collection, name_of(key, KEY_CHARS), **self._place())
        return None if document is None else Record(None, document.version, document.value.get(PIECES))

    async def _put_pieces(self, text: str) -> str:
        """Store a text in several documents, before anything names them."""
        name = uuid4().hex
        for number, piece in enumerate(_pieces_of(text)):
            await self._documents.put(
                self._collection, f"{number:06}", piece, ttl_s=self._ttl_s, **self._place(PIECES, name)
            )
        return name

    async def _read_pieces(self, name: str, count: int) -> str | None:
        """The text of several documents; None where they are gone, since the value was replaced."""
        listing = self._documents.list(self._collection, page_size=1, **self._place(PIECES, name))
        pieces = [str(document.value) async for document in listing]
        return "".join(pieces) if len(pieces) == count else None

    async def _delete_pieces(self, record: Record | None) -> None:
        if record is not None and record.pieces is not None:
            await self._documents.delete_many(
                self._collection,
                namespace=[*self._labels, PIECES, record.pieces],
                memory_space_id=self._scope.application_id,
            )


def _text_of(value: Any) -> str:
    """A value as JSON text that can be sent: half of a surrogate pair is escaped in it."""
    text = json.dumps(value, ensure_ascii=False)
    return text if text == text.encode("utf-8", "replace").decode() else json.dumps(value)


def name_of(text: str, longest: int = LABEL_CHARS) -> str:
    """A text as a label or a key: itself, or a digest where it may not stand there."""
    is_name = 0 < len(text) <= longest and text.isprintable() and not text.startswith(DIGEST)
    return text if is_name else DIGEST + sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _pieces_of(text: str) -> list[str]:
    return [text[start : start + PIECE_CHARS] for start in range(0, len(text), PIECE_CHARS)]
