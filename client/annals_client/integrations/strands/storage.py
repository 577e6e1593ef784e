"""Strands' unified storage over documents: bytes of any size under keys, of which a write stores what is new."""

from __future__ import annotations

import asyncio
import base64
import builtins
import copy
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from hashlib import sha256
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

from annals_client.client import Annals, AsyncAnnals
from annals_client.errors import AnnalsError, PreconditionFailed
from annals_client.integrations.strands.pieces import Piece, cut
from annals_client.integrations.support import Clients, framework
from annals_client.models import DocumentResult
from annals_client.resources.documents import (
    DocumentGet,
    DocumentOperation,
    DocumentPut,
    Documents,
)
from annals_client.senders import Sender

with framework("strands"):
    from strands.storage.search import KeywordSearchStrategy
    from strands.storage.storage import _NAMESPACED, StorageSearchResult
    from strands.types.exceptions import StorageError

if TYPE_CHECKING:
    from strands.storage.search import SearchStrategy

T = TypeVar("T")

COLLECTION = "strands-storage"
TRIES = 5
ABANDONED = timedelta(hours=1)
"""After this, a piece that no value names is one that a process which ended left behind."""

DELETED_S = 24 * 3600
GONE_S = 60
PRESENT = {"deleted": {"$exists": False}}

KEPT_VALUES = 10_000
KEPT_CHARS = 32_000_000
"""How much is kept of what was read and written, so that a write finds what is stored already."""


class StaleWrite(StorageError):
    """Another process wrote the value since it was read here. Read it again, as with a new agent, and go on from it."""


@dataclass(frozen=True)
class Known:
    """A value as it was read or written last.

    Parameters
    ----------
    version : 0 where there was none
    pieces : those that are stored apart may be without their texts
    write : the last write, of which it may not be known whether it was done
    """

    version: int
    pieces: tuple[Piece, ...] = ()
    write: str = ""

    @property
    def ids(self) -> list[str]:
        """The pieces that are stored apart."""
        return [piece.id for piece in self.pieces if piece.id]

    @property
    def chars(self) -> int:
        """How long it is."""
        return sum(len(piece.text) for piece in self.pieces)

    def without_texts(self) -> Known:
        """What takes little memory of it."""
        return replace(self, pieces=tuple(Piece("", id_) for id_ in self.ids))


class AnnalsStorage:
    """Bytes under keys, for ``SnapshotSessionManager(storage=…)`` and all else that takes a Storage of Strands.

    A value is stored in pieces. A snapshot of an agent that grew by a turn shares all others with the one before, so
    that what a turn writes does not grow with the conversation. Values may have any size.

    What was read is written again only if nobody wrote it meanwhile: otherwise ``write`` raises StaleWrite, and the
    newer value stays. A value that this object never read nor wrote is overwritten. So an agent that is resumed needs a
    storage of its own: ``view()`` gives one, at no cost.

    Parameters
    ----------
    client : an Annals or AsyncAnnals to be used instead of one of ``url`` and ``key``
    url, key : where Annals answers, and the key; else ``ANNALS_URL`` and ``ANNALS_KEY``
    user_id, memory_space_id : whose it is, if anybody's: what a user owns is erased and exported with that user
    search_strategy : searches what is stored, and is told of all that is written; else keywords are looked for
    """

    def __init__(
        self,
        client: Annals | AsyncAnnals | None = None,
        *,
        url: str | None = None,
        key: str | None = None,
        user_id: str | None = None,
        memory_space_id: str | None = None,
        search_strategy: SearchStrategy[AnnalsStorage] | None = None,
    ) -> None:
        owner = {"user_id": user_id, "memory_space_id": memory_space_id}
        self._owner = {name: value for name, value in owner.items() if value is not None}
        self._clients = Clients(client, url=url, key=key)
        self._search_strategy = search_strategy
        self._prefix = ""
        self._seen = Seen()

    def close(self) -> None:
        """Close the connections that were opened here."""
        self._clients.close()

    async def write(self, key: str, data: bytes) -> None:
        """Store a value.

        Raises
        ------
        StaleWrite : another process wrote it since it was read here
        StorageError : the key is invalid, or the write failed
        """
        name = _key(key)
        await self._run(f"write {key!r}", self._write, f"{self._prefix}{name}", data)
        if self._search_strategy is not None:
            try:
                await self._search_strategy.index(self, name, data)
            except Exception as failure:
                raise StorageError(f"Wrote {key!r} but indexing failed") from failure

    async def read(self, key: str) -> bytes | None:
        """The value, or None. Raises StorageError."""
        return await self._run(f"read {key!r}", self._read, f"{self._prefix}{_key(key)}")

    async def delete(self, key: str) -> None:
        """Delete a value, if it is there. Raises StorageError."""
        await self._run(f"delete {key!r}", self._delete, f"{self._prefix}{_key(key)}")

    async def list(self, query: str = "") -> builtins.list[str]:
        """The keys that begin with a text, sorted. Raises StorageError."""
        return await self._run(f"list {query!r}", self._list, f"{self._prefix}{_prefix(query)}")

    async def search(self, query: str) -> builtins.list[StorageSearchResult]:
        """The values that fit the query, the best first. Without a search strategy, all of them are read."""
        if self._search_strategy is not None:
            return await self._search_strategy.search(self, query)
        return await KeywordSearchStrategy().search(self, query)

    def namespace(self, prefix: str) -> AnnalsStorage:
        """The same storage, of the keys below a prefix."""
        scoped = copy.copy(self)
        below = _prefix(prefix).rstrip("/")
        scoped._prefix = f"{self._prefix}{below}/" if below else self._prefix
        scoped._namespaced = _NAMESPACED  # type: ignore[attr-defined]
        return scoped

    def view(self) -> AnnalsStorage:
        """The same storage for another reader, whose writes are told from those of this one."""
        other = copy.copy(self)
        other._seen = Seen()
        return other

    async def _run(self, what: str, act: Callable[..., T], *args: Any) -> T:
        """Do something in a thread: an agent that is called without asyncio runs each call in a loop of its own."""
        try:
            return await asyncio.to_thread(act, *args)
        except AnnalsError as failure:
            raise StorageError(f"Annals could not {what}: {failure}") from failure

    def _write(self, name: str, data: bytes) -> None:
        with self._seen.lock(name):
            known = self._seen.get(name)
            before = known or self._head(name)
            text, is_text = _as_text(data)
            pieces, fresh = self._store(name, cut(text, before.pieces))
            write = uuid4().hex
            head = {"pieces": [_entry(piece) for piece in pieces], "text": is_text, "write": write}
            try:
                before, version = self._put_head(name, head, before, overwrites=known is None)
            except PreconditionFailed as failure:
                self._drop(name, fresh)
                raise StaleWrite(f"{name!r} was written by another process since it was read here") from failure
            except AnnalsError:  # it may be stored all the same
                self._seen.put(name, replace(before, write=write))
                raise
            after = Known(version, tuple(pieces), write)
            self._seen.put(name, after)
            self._drop(name, sorted({*before.ids} - {*after.ids}))

    def _put_head(self, name: str, head: dict[str, Any], before: Known, *, overwrites: bool) -> tuple[Known, int]:
        """Store which pieces a value has, if it is as it was ``before``; what was there, and the new version.

        What others wrote meanwhile is replaced only where that ``overwrites``; what this object wrote, whose answer was
        lost, always. Raises PreconditionFailed.
        """
        for left in reversed(range(TRIES)):
            try:
                put = self._documents.put(COLLECTION, name, head, if_version=before.version, **self._values)
            except PreconditionFailed:
                found = self._head(name)
                if not left or not (overwrites or found.write == before.write):
                    raise
                before = found
            else:
                break
        return before, put.version

    def _store(self, name: str, pieces: Sequence[Piece]) -> tuple[builtins.list[Piece], builtins.list[str]]:
        """Store the pieces that are not stored yet; all of them with their ids, and the new ids."""
        own = uuid4().hex[:12]
        named = [
            piece if piece.id or piece.is_inline else replace(piece, id=f"{own}{place}")
            for place, piece in enumerate(pieces)
        ]
        fresh = {
            after.id: after.text for before, after in zip(pieces, named, strict=True) if after.id and not before.id
        }
        where = self._apart(name)
        self._batch(DocumentPut(collection=COLLECTION, key=id_, value=text, **where) for id_, text in fresh.items())
        return named, [*fresh]

    def _drop(self, name: str, ids: Sequence[str]) -> None:
        """Take the texts of pieces away at once; their documents go by themselves. It needs no scope but ``write``."""
        where = self._apart(name)
        self._batch(DocumentPut(collection=COLLECTION, key=id_, value=None, ttl_seconds=GONE_S, **where) for id_ in ids)

    def _batch(self, operations: Iterable[DocumentOperation]) -> builtins.list[DocumentResult]:
        todo = [*operations]
        return self._documents.batch(todo) if todo else []

    def _head(self, name: str) -> Known:
        """The version of a value, and which pieces it has, without their texts."""
        head = self._documents.get(COLLECTION, name, **self._values)
        if head is None:
            return Known(0)
        pieces = tuple(Piece("", id_) for id_ in _ids(head.value.get("pieces", ())))
        return Known(head.version, pieces, head.value.get("write", ""))

    def _read(self, name: str) -> bytes | None:
        for _ in range(TRIES):
            head = self._documents.get(COLLECTION, name, **self._values)
            if head is None or "pieces" not in head.value:
                self._seen.put(name, Known(head.version if head else 0))
                return None
            pieces = self._fetch(name, head.value["pieces"])
            if pieces is not None:  # else it was written meanwhile
                self._seen.put(name, Known(head.version, tuple(pieces), head.value["write"]))
                return _as_bytes("".join(piece.text for piece in pieces), is_text=head.value["text"])
        raise StorageError(f"A piece of {name!r} is missing")

    def _fetch(self, name: str, entries: Sequence[Any]) -> builtins.list[Piece] | None:
        """The pieces that a list names; None if one is gone."""
        ids, where = _ids(entries), self._apart(name)
        found = self._batch(DocumentGet(collection=COLLECTION, key=id_, **where) for id_ in ids)
        texts = {each.document.key: each.document.value for each in found if each.document and each.document.value}
        if len(texts) < len(ids):
            return None
        return [Piece(texts[entry], entry) if isinstance(entry, str) else Piece(entry["text"]) for entry in entries]

    def _delete(self, name: str) -> None:
        """Delete a value. What stays of it for a day is its version: a value that comes after has another one."""
        with self._seen.lock(name):
            before = self._documents.get(COLLECTION, name, **self._values)
            if before is None or "pieces" not in before.value:
                return
            self._documents.put(COLLECTION, name, {"deleted": True}, ttl_s=DELETED_S, **self._values)
            self._seen.forget(name)
            self._drop(name, [*_ids(before.value["pieces"]), *self._abandoned(name)])

    def _abandoned(self, name: str) -> builtins.list[str]:
        """The pieces that no value names, since a process ended before it could delete them."""
        before = datetime.now(timezone.utc) - ABANDONED
        found = self._documents.list(COLLECTION, include_values=False, page_size=1000, **self._apart(name))
        return [document.key for document in found if document.updated_at < before]

    def _list(self, prefix: str) -> builtins.list[str]:
        found = self._documents.list(
            COLLECTION, key_prefix=prefix or None, filter=PRESENT, include_values=False, page_size=1000, **self._values
        )
        return sorted(document.key[len(self._prefix) :] for document in found)

    @property
    def _documents(self) -> Documents[Sender]:
        return self._clients.sync.documents

    @property
    def _values(self) -> dict[str, Any]:
        """Where the values are."""
        return {"namespace": ("values",), **self._owner}

    def _apart(self, name: str) -> dict[str, Any]:
        """Where the pieces of a value are."""
        return {"namespace": ("pieces", sha256(name.encode()).hexdigest()), **self._owner}


class Seen:
    """What was read and written, as far as it is kept: of many values, those that were used last."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, Known] = OrderedDict()
        self._chars = 0
        self._lock = Lock()
        self._locks = tuple(Lock() for _ in range(64))

    def lock(self, name: str) -> Lock:
        """What is held while a value is written, so that writes of one process wait for each other."""
        return self._locks[hash(name) % len(self._locks)]

    def get(self, name: str) -> Known | None:
        """What is known of a value."""
        with self._lock:
            return self._known.get(name)

    def put(self, name: str, known: Known) -> None:
        """Keep what is known of a value."""
        with self._lock:
            self._pop(name)
            self._known[name] = known
            self._chars += known.chars
            while len(self._known) > KEPT_VALUES:
                self._pop(next(iter(self._known)))
            for other, texts in [*self._known.items()]:
                if self._chars <= KEPT_CHARS:
                    break
                self._known[other] = texts.without_texts()
                self._chars -= texts.chars

    def forget(self, name: str) -> None:
        """Know nothing of a value any more."""
        with self._lock:
            self._pop(name)

    def _pop(self, name: str) -> None:
        known = self._known.pop(name, None)
        self._chars -= known.chars if known else 0


def _ids(entries: Sequence[Any]) -> builtins.list[str]:
    """The pieces of a list that are stored apart."""
    return [entry for entry in entries if isinstance(entry, str)]


def _entry(piece: Piece) -> str | dict[str, str]:
    """A piece as it stands in a value's list."""
    return piece.id or {"text": piece.text}


def _as_text(data: bytes) -> tuple[str, bool]:
    """Bytes as text, and whether they are that; otherwise it is their Base64."""
    try:
        return bytes(data).decode(), True
    except UnicodeDecodeError:
        return base64.b64encode(data).decode(), False


def _as_bytes(text: str, *, is_text: bool) -> bytes:
    return text.encode() if is_text else base64.b64decode(text)


def _key(key: str) -> str:
    """A key as Strands' own stores take it. Raises StorageError."""
    normal = _prefix(key).strip("/")
    if not normal:
        raise StorageError("Storage key must not be empty")
    return normal


def _prefix(prefix: str) -> str:
    """How keys begin, as Strands' own stores take it. Raises StorageError."""
    normal = re.sub("/+", "/", prefix).lstrip("/")
    if "\\" in normal or ".." in normal.split("/"):
        raise StorageError(f"Invalid storage key {prefix!r}: it must not have backslashes, nor '..' as a segment")
    return normal
