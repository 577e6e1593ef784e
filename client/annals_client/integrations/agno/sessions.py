"""Sessions: each is a conversation; its row is a document of the conversation, and goes with it."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

from agno.db.base import SessionType
from agno.db.utils import deserialize_session
from agno.session import AgentSession, Session, TeamSession

from annals_client.calls import Steps
from annals_client.errors import Conflict, Erased, NotFound, PreconditionFailed
from annals_client.integrations.agno.directory import ROW, ROWS, Directory, Entry, SessionOfAnother, is_gone
from annals_client.integrations.agno.order import Order
from annals_client.integrations.agno.run_mapping import as_json
from annals_client.integrations.agno.runs import RunStore
from annals_client.models import DocumentResult
from annals_client.resources.conversations import Conversations
from annals_client.resources.documents import DocumentGet, DocumentPut, Documents

Json = dict[str, Any]

LOG = logging.getLogger(__name__)

COLUMNS = (
    *("session_id", "session_type", "agent_id", "team_id", "workflow_id", "user_id", "session_data", "agent_data"),
    *("team_data", "workflow_data", "metadata", "summary", "created_at", "updated_at"),
)

SORTED_BY_ENTRIES = (None, "created_at", "session_id", "session_type", "agent_id", "team_id", "workflow_id", "user_id")
"""The orders of lists that entries tell, so that no rows are read but those of the page."""

AT_ONCE = 12
"""How many new sessions are stored together: a transaction takes 100 items, and a session eight."""

ROWS_AT_ONCE = 100
"""How many rows are read together."""

TRIES = 5
"""How often a row is stored anew, where its session was erased, or made by another, meanwhile."""


@dataclass(frozen=True)
class SessionFilter:
    """Which sessions are listed; what is None doesn't count."""

    session_type: str | None = None
    user_id: str | None = None
    component_id: str | None = None
    session_name: str | None = None
    start_timestamp: int | None = None
    end_timestamp: int | None = None

    def takes(self, entry: Entry) -> bool:
        """Whether a session is meant, as far as its entry tells."""
        return (
            self.session_type in (None, entry.session_type)
            and entry.is_open_to(self.user_id)
            and (self.component_id is None or self.component_id in self._components(entry))
            and (self.start_timestamp is None or entry.created_at >= self.start_timestamp)
            and (self.end_timestamp is None or entry.created_at <= self.end_timestamp)
        )

    def takes_row(self, row: Json) -> bool:
        """Whether a session has the name that is looked for, or one that holds it."""
        name = str((row["session_data"] or {}).get("session_name") or "")
        return self.session_name is None or self.session_name.casefold() in name.casefold()

    def _components(self, entry: Entry) -> list[str | None]:
        ids = {"agent": entry.agent_id, "team": entry.team_id, "workflow": entry.workflow_id}
        return [*ids.values()] if self.session_type is None else [ids[self.session_type]]


class SessionStore:
    """The sessions of a memory space."""

    def __init__(self, directory: Directory, runs: RunStore) -> None:
        self._directory = directory
        self._runs = runs

    def get(self, session_id: str, user_id: str | None, runs_limit: int | None) -> Steps[Json | None]:
        """A session's row with its runs; None where there is none for that user."""
        found = yield from self._find(session_id)
        if found is None or not found[0].is_open_to(user_id):
            return None
        return (yield from self._with_runs(*found, runs_limit))

    def page(self, wanted: SessionFilter, order: Order, *, include_runs: bool) -> Steps[tuple[list[Json], int]]:
        """A page of rows, and how many there are in all."""
        entries = yield from self._directory.all_of(wanted.user_id)
        entries = [entry for entry in entries if wanted.takes(entry)]
        read: Sequence[Entry] = entries
        if wanted.session_name is None and order.sort_by in SORTED_BY_ENTRIES:
            read = order.page_of(order.sort(entries, vars))
        rows = yield from self._rows(read)
        if read is entries or None in rows:  # erased elsewhere: only all rows tell what is on the page
            rows = rows if read is entries else (yield from self._rows(entries))
            pairs = [pair for pair in zip(entries, rows, strict=True) if pair[1] and wanted.takes_row(pair[1])]
            total = len(pairs)
            found = order.page_of(order.sort(pairs, lambda pair: pair[1]))
        else:
            total, found = len(entries), [*zip(read, rows, strict=True)]
        listed = []
        for entry, row in found:
            whole = (yield from self._with_runs(entry, row, None)) if include_runs else {**row, "runs": None}
            listed.append(whole)
        return [row for row in listed if row is not None], total

    def upsert(self, row: Json) -> Steps[Json | None]:
        """Store a session's row, without its runs, and return it; None where it is another user's."""
        gone_ids: set[str] = set()
        for _ in range(TRIES):
            try:
                return (yield from self._upsert(row, gone_ids))
            except (NotFound, Erased) as gone:
                if not is_gone(gone):
                    raise
                self._directory.forget(row["session_id"])
            except (Conflict, PreconditionFailed) as lost:
                if isinstance(lost, Conflict) and lost.code != "DOCUMENT_OF_ANOTHER":
                    raise
                self._directory.forget(row["session_id"])
        raise RuntimeError(f"The session {row['session_id']!r} changes all the time: its row is not stored.")

    def rename(self, session_id: str, name: str, user_id: str | None) -> Steps[Json | None]:
        """Give a session a name; its row, or None where there is no such session for that user."""
        found = yield from self._find(session_id)
        if found is None or not found[0].is_open_to(user_id):
            return None
        entry, row = found
        row["session_data"] = {**(row["session_data"] or {}), "session_name": name}
        yield from self._store(entry, row)
        return (yield from self._with_runs(entry, row, None))

    def delete(self, session_ids: Sequence[str], user_id: str | None) -> Steps[int]:
        """Erase sessions with all that is in them; how many there were for that user."""
        deleted = 0
        for session_id in session_ids:
            entry = yield from self._directory.find(session_id)
            if entry is None or not entry.is_open_to(user_id):
                continue
            yield from self._runs.forget_all(entry.conversation_id)
            try:
                yield Conversations.erase.call(entry.conversation_id)
                deleted += 1
            except (NotFound, Erased) as gone:
                if not is_gone(gone):
                    raise
            yield from Documents.batch.steps(None, self._directory.deletes([entry]))
            self._directory.forget(session_id)
        return deleted

    def upsert_many(self, rows: Sequence[Json]) -> Steps[list[Json | None]]:
        """Store many rows in as few requests as that takes; each as it is stored, or None as ``upsert`` says."""
        by_id = {row["session_id"]: row for row in rows}
        there = yield from self._directory.find_many([*by_id])
        new = [row for session_id, row in by_id.items() if session_id not in {entry.session_id for entry in there}]
        stored: dict[str, Json | None] = {row["session_id"]: row for row in (yield from self._create_many(new))}
        for session_id, row in by_id.items():
            if session_id not in stored:
                stored[session_id] = yield from self.upsert(row)
        return [stored[row["session_id"]] for row in rows]

    def _upsert(self, row: Json, gone_ids: set[str]) -> Steps[Json | None]:
        session_id = row["session_id"]
        entry = self._directory.remembered(session_id)
        if entry is None or not entry.is_writable_by(row["user_id"]):
            entry = yield from self._directory.find(session_id)
        if entry is None or entry.conversation_id in gone_ids:
            return (yield from self._create(row, entry))
        if not entry.is_writable_by(row["user_id"]):
            if None in (yield from self._rows([entry])):  # it was erased elsewhere
                return (yield from self._create(row, entry))
            LOG.error("%s", SessionOfAnother(session_id))
            return None
        try:
            return (yield from self._store(entry, row))
        except (NotFound, Erased):
            gone_ids.add(entry.conversation_id)
            raise

    def _create(self, row: Json, erased: Entry | None) -> Steps[Json]:
        """Make a session of a row; ``erased`` is one of this id that was erased elsewhere."""
        if erased is not None:
            yield from Documents.batch.steps(None, self._directory.deletes([erased]))
        conversation_id = yield from self._directory.make_conversation(row)
        return (yield from self._put_new([(row, conversation_id)]))[0]

    def _create_many(self, rows: Sequence[Json]) -> Steps[list[Json]]:
        """Make sessions of rows, and return them; without those that may have been made by others meanwhile."""
        created: list[Json] = []
        try:
            conversation_ids = yield from self._directory.make_conversations(rows)
            new = [*zip(rows, conversation_ids, strict=True)]
            for begin in range(0, len(new), AT_ONCE):
                created += yield from self._put_new(new[begin : begin + AT_ONCE])
        except (Conflict, PreconditionFailed):
            return created
        return created

    def _put_new(self, new: Sequence[tuple[Json, str]]) -> Steps[list[Json]]:
        """Store rows and entries of new sessions, all or none. Raises PreconditionFailed where there is one by now."""
        rows = [{**row, "updated_at": row["updated_at"] or row["created_at"]} for row, _ in new]
        entries = [_new_entry(row, conversation_id) for row, (_, conversation_id) in zip(rows, new, strict=True)]
        puts = [[_row_put(entry, row), *self._directory.puts(entry)] for entry, row in zip(entries, rows, strict=True)]
        yield from Documents.batch.steps(None, [put for each in puts for put in each], atomic=True)
        for entry in entries:
            self._directory.remember(replace(entry, version=1))
        return rows

    def _store(self, entry: Entry, row: Json) -> Steps[Json]:
        """Store a row in the place of another, and return it."""
        changed = entry.with_row(row)
        now = int(time.time())
        row = {
            **row,
            "user_id": changed.user_id,
            "created_at": entry.created_at,
            "updated_at": row["updated_at"] or now,
        }
        put = _row_put(changed, row)
        if changed == entry:
            yield from Documents.batch.steps(None, [put])
            return row
        yield from Documents.batch.steps(None, [put, *self._directory.puts(changed)], atomic=True)
        self._directory.remember(replace(changed, version=entry.version + 1))
        return row

    def _find(self, session_id: str) -> Steps[tuple[Entry, Json] | None]:
        """A session and its row. One that was erased elsewhere is not found."""
        known = self._directory.remembered(session_id)
        if known is not None:
            found = yield from self._find_again(known)
            if found is not None:
                return found
        entry = yield from self._directory.find(session_id)
        if entry is None:
            return None
        (row,) = yield from self._rows([entry])
        return None if row is None else (entry, row)

    def _find_again(self, known: Entry) -> Steps[tuple[Entry, Json] | None]:
        """What ``_find`` gives for a session that is known, in one request; None where it is another one by now."""
        try:
            entry, row = yield from Documents.batch.steps(
                None, [self._directory.get(known.session_id), _row_get(known)]
            )
        except (NotFound, Erased) as gone:
            if not is_gone(gone):
                raise
            return None
        if entry.document is None:
            return None
        found, again = self._directory.remember(Entry.of(entry.document)), _row_in(known, row)
        if again is None or found.conversation_id != known.conversation_id:
            return None
        return found, {**again, "user_id": found.user_id}

    def _rows(self, entries: Sequence[Entry]) -> Steps[list[Any]]:
        """The rows of sessions; None for each that was erased."""
        rows: list[Json | None] = []
        for begin in range(0, len(entries), ROWS_AT_ONCE):
            some = entries[begin : begin + ROWS_AT_ONCE]
            try:
                results = yield from Documents.batch.steps(None, [_row_get(entry) for entry in some])
                rows += [_row_in(entry, result) for entry, result in zip(some, results, strict=True)]
            except (NotFound, Erased) as gone:
                if not is_gone(gone):
                    raise
                rows += [None] if len(some) == 1 else (yield from self._rows_one_by_one(some))
        return rows

    def _rows_one_by_one(self, entries: Sequence[Entry]) -> Steps[list[Json | None]]:
        rows: list[Json | None] = []
        for entry in entries:
            rows += yield from self._rows([entry])
        return rows

    def _with_runs(self, entry: Entry, row: Json, runs_limit: int | None) -> Steps[Json | None]:
        try:
            runs = yield from self._runs.of_session(entry.conversation_id, runs_limit)
        except (NotFound, Erased) as gone:
            if not is_gone(gone):
                raise
            return None
        return {**row, "runs": runs}


def row_of(session: Session, updated_at: int | None = None) -> Json:
    """A session's row. Its ``updated_at`` is None where it is the time at which it is stored."""
    values = as_json(session.to_dict(include_runs=False))
    row = {name: values.get(name) for name in COLUMNS}
    return {
        **row,
        "session_type": _type_of(session).value,
        "created_at": values.get("created_at") or int(time.time()),
        "updated_at": updated_at,
    }


def to_session(row: Json, session_type: SessionType | None) -> Session:
    """The session of a row."""
    return deserialize_session(session_type, row)


def stored_session(row: Json, session: Session, *, deserialize: bool) -> Session | Json:
    """What agno gets back of a session that was stored: what is stored of it, with the runs that it had."""
    if not deserialize:
        runs: list[Any] = [*(session.runs or [])]
        return {**row, "runs": [run if isinstance(run, dict) else run.to_dict() for run in runs]}
    stored = deserialize_session(None, deepcopy(row))
    stored.runs = session.runs
    return stored


def _type_of(session: Session) -> SessionType:
    if isinstance(session, AgentSession):
        return SessionType.AGENT
    return SessionType.TEAM if isinstance(session, TeamSession) else SessionType.WORKFLOW


def _new_entry(row: Json, conversation_id: str) -> Entry:
    components = {name: row[name] for name in ("agent_id", "team_id", "workflow_id")}
    return Entry(
        row["session_id"],
        conversation_id,
        row["user_id"],
        row["session_type"],
        created_at=row["created_at"],
        made_at=time.time_ns(),
        **components,
    )


def _row_put(entry: Entry, row: Json) -> DocumentPut:
    """What stores a row. It is a person's own where the conversation is not theirs."""
    person = entry.user_id if entry.claimed else None
    return DocumentPut(collection=ROWS, key=ROW, value=row, conversation_id=entry.conversation_id, user_id=person)


def _row_get(entry: Entry) -> DocumentGet:
    return DocumentGet(collection=ROWS, key=ROW, conversation_id=entry.conversation_id)


def _row_in(entry: Entry, result: DocumentResult) -> Json | None:
    """The row that was read."""
    if result.document is None:
        return None
    return {**result.document.value, "user_id": entry.user_id, "created_at": entry.created_at}
