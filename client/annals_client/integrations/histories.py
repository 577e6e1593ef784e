"""Lists of messages as frameworks keep them, one for each session: appended to, replaced, read, taken back.

Every message is one of the ledger, with the framework's own JSON in its ``parts``, where it comes back equal.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any, TypeVar

from annals_client.calls import Steps
from annals_client.client import Annals, AsyncAnnals
from annals_client.errors import PreconditionFailed
from annals_client.integrations.support import Clients, Session, Sessions
from annals_client.listing import collect_items
from annals_client.models import Appended, Message, Rewound
from annals_client.resources.conversations import Conversations
from annals_client.resources.messages import Messages
from annals_client.wire import encoded

T = TypeVar("T")

MAX_MESSAGES, MAX_BYTES = 90, 4_000_000
"""What one append takes: messages with ids of their own, and bytes of a request."""
BEGINNING_CHARS = 16_000
"""How much of the words of a message that is larger is in the message itself."""
PAGE = 1000
TRIES = 8


@dataclass(frozen=True)
class Row:
    """A message to be stored.

    Parameters
    ----------
    external_id : its own id, under which it is stored once
    kind, value : the field of ``parts`` that holds the framework's JSON, and that JSON
    fields : of the ledger's message: its role, its text, when it was said
    """

    external_id: str
    kind: str
    value: Any
    fields: dict[str, Any]

    def body(self) -> dict[str, Any]:
        """The message that is sent."""
        return {**self.fields, "external_id": self.external_id, "parts": {self.kind: self.value}}

    def is_same(self, stored: Message) -> bool:
        """Whether a stored message says the same."""
        return bool(value_of(stored, self.kind) == self.value)


def value_of(stored: Message, kind: str) -> Any:
    """The framework's JSON of a message; None where it was stored by something else."""
    return stored.parts.get(kind) if isinstance(stored.parts, dict) else None


class Histories:
    """The lists of all sessions, for those who wait, and for asyncio.

    Every method raises AnnalsError.
    """

    def __init__(self, clients: Clients) -> None:
        self.clients = clients
        self.sessions = Sessions(clients)

    def read(self, session: Session, limit: int | None = None) -> list[Message] | None:
        """All messages, or the newest ``limit``, in order; None where there is no such session."""
        return self.sessions.find(session, _sync(lambda talk: read_steps(talk, limit)))

    async def aread(self, session: Session, limit: int | None = None) -> list[Message] | None:
        """``read`` for asyncio."""
        return await self.sessions.afind(session, _async(lambda talk: read_steps(talk, limit)))

    def append(self, session: Session, rows: Sequence[Row]) -> None:
        """Add messages; those that are stored already must come first, and are stored once."""
        self.sessions.use(session, _sync(lambda talk: append_steps(talk, rows)))

    async def aappend(self, session: Session, rows: Sequence[Row]) -> None:
        """``append`` for asyncio."""
        await self.sessions.ause(session, _async(lambda talk: append_steps(talk, rows)))

    def replace(self, session: Session, rows: Sequence[Row]) -> None:
        """Have the list be these messages: what they begin with and is there stays, what follows it is taken back."""
        self.sessions.use(session, _sync(lambda talk: _replace(talk, rows)))

    async def areplace(self, session: Session, rows: Sequence[Row]) -> None:
        """``replace`` for asyncio."""
        await self.sessions.ause(session, _async(lambda talk: _replace(talk, rows)))

    def pop(self, session: Session) -> Message | None:
        """Take back the newest message; None where there is none."""
        return self.sessions.find(session, _sync(_pop))

    async def apop(self, session: Session) -> Message | None:
        """``pop`` for asyncio."""
        return await self.sessions.afind(session, _async(_pop))

    def erase(self, session: Session) -> None:
        """Erase the conversation of a session, if there is one, and free its name."""
        self.sessions.find(session, lambda annals, talk: annals.conversations.erase(talk))
        self.sessions.forget(session)

    async def aerase(self, session: Session) -> None:
        """``erase`` for asyncio."""
        await self.sessions.afind(session, lambda annals, talk: annals.conversations.erase(talk))
        self.sessions.forget(session)


def _sync(steps: Callable[[str], Steps[T]]) -> Callable[[Annals, str], T]:
    return lambda annals, talk: annals.sender.run(steps(talk))


def _async(steps: Callable[[str], Steps[T]]) -> Callable[[AsyncAnnals, str], Any]:
    return lambda annals, talk: annals.sender.run(steps(talk))


def read_steps(talk: str, limit: int | None, *, with_rewound: bool = False) -> Steps[list[Message]]:
    """Read the newest messages of a conversation, in order, whole; ``with_rewound`` also those that are taken back."""
    if limit is not None and limit <= 0:
        return []
    walk = Messages.list.walk(
        talk, order="desc", limit=limit, page_size=min(limit or PAGE, PAGE), include_rewound=with_rewound
    )
    newest = yield from collect_items(walk)
    whole = []
    for message in reversed(newest):
        if message.status != "redacted":
            whole.append((yield from Messages.restore.steps(None, talk, message)))
    return whole


def append_steps(talk: str, rows: Sequence[Row], if_match: int | None = None) -> Steps[int]:
    """Append messages, in as many requests as they take, after the seq ``if_match``; the newest seq then."""
    bodies = []
    for row in rows:
        bodies.append((yield from _small(row)))
    tail = if_match or 0
    for some in _requests(bodies):
        appended: Appended = yield Messages.append_many.call(talk, some, if_match=if_match)
        if_match = tail = appended.tail_seq
    return tail


def _small(row: Row) -> Steps[dict[str, Any]]:
    """The message as it is sent; what no request has room for is uploaded before."""
    body = row.body()
    if _size(body) <= MAX_BYTES:
        return body
    value = BytesIO(json.dumps(row.value, ensure_ascii=False).encode())
    part = yield from Messages.upload.steps(None, value, media_type="application/json", encoding="json")
    return {**body, "content": body["content"][:BEGINNING_CHARS], "parts": {row.kind: part}}


def _requests(bodies: Sequence[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """The messages of each append: as many as fit."""
    some: list[dict[str, Any]] = []
    size = 0
    for body in bodies:
        added = _size(body)
        if some and (len(some) == MAX_MESSAGES or size + added > MAX_BYTES):
            yield some
            some, size = [], 0
        some.append(body)
        size += added
    if some:
        yield some


def _size(body: dict[str, Any]) -> int:
    """How much room a message takes in a request, as it reaches a function: as JSON within JSON, in ASCII."""
    return len(json.dumps(encoded({name: body[name] for name in ("content", "parts")}).decode()))


def _replace(talk: str, rows: Sequence[Row]) -> Steps[None]:
    for _ in range(TRIES - 1):
        try:
            return (yield from _replace_once(talk, rows))
        except PreconditionFailed:
            continue  # somebody else added to it meanwhile
    return (yield from _replace_once(talk, rows))


def _replace_once(talk: str, rows: Sequence[Row]) -> Steps[None]:
    stored = yield from read_steps(talk, None)
    kept = 0
    while kept < min(len(stored), len(rows)) and rows[kept].is_same(stored[kept]):
        kept += 1
    # Where there is nothing to take back, it says at least what the newest record is.
    rewound: Rewound = yield Conversations.rewind.call(talk, to_seq=stored[kept - 1].seq if kept else 0)
    yield from append_steps(talk, rows[kept:], rewound.seq)


def _pop(talk: str) -> Steps[Message | None]:
    popped: Message | None = yield from Messages.pop.steps(None, talk)
    return popped if popped is None else (yield from Messages.restore.steps(None, talk, popped))
