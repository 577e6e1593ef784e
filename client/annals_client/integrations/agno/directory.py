"""Which conversation an agno session is, and whose: agno names sessions by their ids alone.

Of each session there are two documents of the memory space that hold the same: one under its id, by which it is found
whoever asks, and one below its user, so that a list of theirs reads nobody else's.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any
from uuid import uuid4

from annals_client import wire
from annals_client.calls import Steps
from annals_client.errors import AnnalsError, Erased, NotFound
from annals_client.listing import collect_items
from annals_client.models import Document
from annals_client.resources.conversations import Conversations
from annals_client.resources.documents import DocumentDelete, DocumentGet, DocumentPut, Documents

SPACE = "agno"
"""The memory space of databases that name none."""

SESSIONS = "agno.sessions"
BY_ID = ("id",)

ROWS = "agno.session"
ROW = "row"
"""Where a conversation's document is that holds the session's row."""

REMEMBERED = 1000
"""How many sessions a process remembers."""


GONE = ("CONVERSATION_NOT_FOUND", "CONVERSATION_ERASED", "RUN_NOT_FOUND")
"""Refusals that say that a session, or a run, is no longer there."""


def is_gone(refusal: AnnalsError) -> bool:
    """Whether it says that a session, or a run, is no longer there."""
    return refusal.code in GONE


class SessionOfAnother(ValueError):
    """A session belongs to another user than the one for whom it was to be written."""

    def __init__(self, session_id: str) -> None:
        super().__init__(f"The session {session_id!r} belongs to another user: nothing is stored.")


@dataclass(frozen=True)
class Entry:
    """A session: its conversation, its owner, and what lists are filtered by.

    ``created_at`` is what agno says of it, in seconds; ``made_at`` is when the entry was made, in nanoseconds.
    ``claimed`` says that it was nobody's when its conversation was made; ``version`` is that of the entry's document, 0
    where there is none.
    """

    session_id: str
    conversation_id: str
    user_id: str | None
    session_type: str
    agent_id: str | None
    team_id: str | None
    workflow_id: str | None
    created_at: int
    made_at: int
    claimed: bool = False
    version: int = 0

    @staticmethod
    def of(document: Document) -> Entry:
        """The entry that a document holds. It names the session by its key."""
        return Entry(**document.value, session_id=document.key, version=document.version)

    def value(self) -> dict[str, Any]:
        """What its documents hold."""
        return {name: value for name, value in vars(self).items() if name not in ("session_id", "version")}

    def is_open_to(self, user_id: str | None) -> bool:
        """Whether it is found for this user; None stands for everybody's."""
        return user_id is None or user_id == self.user_id

    def is_writable_by(self, user_id: str | None) -> bool:
        """Whether a session with this user may take its place: its owner's, or anybody's where it has none."""
        return self.user_id is None or user_id == self.user_id

    def with_row(self, row: Mapping[str, Any]) -> Entry:
        """The entry once this row is stored."""
        user_id = self.user_id if self.user_id is not None else row["user_id"]
        claimed = self.claimed or user_id != self.user_id
        components = {name: row[name] for name in ("session_type", "agent_id", "team_id", "workflow_id")}
        return replace(self, user_id=user_id, claimed=claimed, **components)


class Directory:
    """The sessions of a memory space. What is remembered of them is asked for again where it turns out to be old."""

    def __init__(self, memory_space_id: str) -> None:
        self.memory_space_id = memory_space_id
        self._known: OrderedDict[str, Entry] = OrderedDict()
        self._lock = Lock()

    def remembered(self, session_id: str) -> Entry | None:
        """What this process knows of a session."""
        with self._lock:
            return self._known.get(session_id)

    def remember(self, entry: Entry) -> Entry:
        """Know a session from now on."""
        with self._lock:
            self._known[entry.session_id] = entry
            self._known.move_to_end(entry.session_id)
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        return entry

    def forget(self, session_id: str) -> None:
        """Ask for a session the next time."""
        with self._lock:
            self._known.pop(session_id, None)

    def find(self, session_id: str) -> Steps[Entry | None]:
        """A session by its id, as it is stored."""
        document = yield from Documents.get.steps(
            None, SESSIONS, session_id, namespace=BY_ID, memory_space_id=self.memory_space_id
        )
        if document is None:
            self.forget(session_id)
            return None
        return self.remember(Entry.of(document))

    def of_conversation(self, conversation_id: str) -> Steps[Entry | None]:
        """The session that a conversation is."""
        try:
            row = yield from Documents.get.steps(None, ROWS, ROW, conversation_id=conversation_id)
        except (NotFound, Erased) as gone:
            if not is_gone(gone):
                raise
            return None
        entry = None if row is None else (yield from self.find(row.value["session_id"]))
        return entry if entry is not None and entry.conversation_id == conversation_id else None

    def get(self, session_id: str) -> DocumentGet:
        """What reads a session's entry."""
        return DocumentGet(collection=SESSIONS, key=session_id, namespace=BY_ID, memory_space_id=self.memory_space_id)

    def find_many(self, session_ids: Sequence[str]) -> Steps[list[Entry]]:
        """Those sessions of these ids that there are."""
        results = yield from Documents.batch.steps(None, [self.get(session_id) for session_id in session_ids])
        return [self.remember(Entry.of(result.document)) for result in results if result.document is not None]

    def all_of(self, user_id: str | None) -> Steps[list[Entry]]:
        """The sessions of a user, or all that there are, in the order in which they were made."""
        namespace = BY_ID if user_id is None else ("user", user_id)
        walk = Documents.list.walk(SESSIONS, namespace=namespace, memory_space_id=self.memory_space_id, page_size=1000)
        documents = yield from collect_items(walk)
        return sorted(map(Entry.of, documents), key=lambda entry: entry.made_at)

    def make_conversation(self, row: Mapping[str, Any]) -> Steps[str]:
        """The id of the conversation that a session is: the one there is, or a new one."""
        conversation = yield Conversations.get_or_create_session.call(
            row["session_id"], memory_space_id=self.memory_space_id, **_participants(row)
        )
        return str(conversation.conversation_id)

    def make_conversations(self, rows: Sequence[Mapping[str, Any]]) -> Steps[list[str]]:
        """Make the conversations of new sessions in one request; their ids. Raises Conflict where one is there."""
        lines = [
            {
                "type": "conversation",
                "conversationType": "user-agent",
                "conversationId": f"conv-{uuid4().hex}",
                "sessionId": row["session_id"],
                "participants": wire.body(memory_space_id=self.memory_space_id, **_participants(row)),
            }
            for row in rows
        ]
        if lines:
            yield from Conversations.import_.steps(None, [json.dumps(line) for line in lines])
        return [str(line["conversationId"]) for line in lines]

    def puts(self, entry: Entry) -> list[DocumentPut]:
        """What stores an entry. It is refused where another one was stored meanwhile."""
        stored = [
            self._put(entry, BY_ID, if_version=entry.version),
        ]
        if entry.user_id is not None:
            stored.append(self._put(entry, ("user", entry.user_id)))
        return stored

    def _put(self, entry: Entry, namespace: tuple[str, ...], if_version: int | None = None) -> DocumentPut:
        return DocumentPut(
            collection=SESSIONS,
            key=entry.session_id,
            namespace=namespace,
            value=entry.value(),
            if_version=if_version,
            memory_space_id=self.memory_space_id,
            user_id=entry.user_id,
        )

    def deletes(self, entries: Iterable[Entry]) -> list[DocumentDelete]:
        """What deletes entries."""
        return [
            DocumentDelete(
                collection=SESSIONS, key=entry.session_id, namespace=namespace, memory_space_id=self.memory_space_id
            )
            for entry in entries
            for namespace in (BY_ID, *([("user", entry.user_id)] if entry.user_id is not None else []))
        ]


def _participants(row: Mapping[str, Any]) -> dict[str, Any]:
    """Who takes part in a session: its user, and what answers them."""
    component = row["agent_id"] or row["team_id"] or row["workflow_id"]
    return {"user_id": row["user_id"], "agent_id": component or (None if row["user_id"] else "agno")}
