"""Sessions that a framework hands over as a whole each time, with all of their runs, and that cost only what is new.

Of a session, each message is one of the ledger, each run a document of the session's conversation, and what is left a
document by its session id. Runs name their messages, by digests, instead of holding them again. What was read or
written last is known by digests, too: so what differs is written, and nothing else.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from threading import Lock, get_ident
from typing import Any

from annals_client.client import Annals
from annals_client.errors import Conflict, Erased, PreconditionFailed, Problem
from annals_client.integrations.histories import Histories, Row, value_of
from annals_client.integrations.support import Clients, Session
from annals_client.models import Document, Message

Json = dict[str, Any]

MESSAGE, TEXT, PLAIN = "$message", "$text", "$plain"
"""The names in a run's JSON that stand for a message, for the text of one, and for JSON that has such a name itself."""

BUT = "but"
"""What of a message is otherwise than the first time."""

LEAST_TEXT_CHARS = 32
"""How long a text is that is named instead of being held twice."""

ROLES = ("user", "assistant", "system", "tool", "developer", "function", "model")
"""The roles that the ledger has, too; a message of another one is an assistant's, and comes back as it was."""

MAX_REPLACED = 20
"""How many messages of the list of all may be others than those of the runs, before the whole list is kept."""

KNOWN_SESSIONS = 200
"""Of how many sessions it is remembered what is stored."""

THERE = ("EXTERNAL_ID_TAKEN", "MESSAGE_REDACTED")
"""Why a message is not appended that was there before, or is redacted."""

TRIES = 50


@dataclass(frozen=True)
class Shape:
    """How a framework's messages look as JSON.

    Parameters
    ----------
    framework : the name under which a message's JSON stands in its ``parts``
    usual : the fields in which a message that comes again may differ from the first time, and what they mostly are
    """

    framework: str
    usual: Mapping[str, Any] = field(default_factory=dict)

    def identity(self, message: Json) -> Json:
        """What of a message is the same each time."""
        return {name: value for name, value in message.items() if name not in self.usual}

    def varying(self, message: Json) -> Json:
        """What of it may be otherwise the next time."""
        return {name: message[name] for name in self.usual if name in message}

    def flat_of(self, memory: Json) -> list[Json] | None:
        """The list of the messages of all runs, where a session's memory has one."""
        flat = memory.get("messages")
        if isinstance(flat, list) and all(is_message(each) and self.varying(each) == self.usual for each in flat):
            return flat
        return None


@dataclass(frozen=True)
class _Run:
    """A run that is stored: its key, its id, the digest of its JSON, and what it added to the list of all messages."""

    key: str
    run_id: str
    digest: str
    added: list[str]


@dataclass
class _Known:
    """What is known of a session that is stored.

    Parameters
    ----------
    user_id : whose it is now
    talk_user : whose conversation it is, as it was when the session was made
    talk : the conversation
    runs : in order
    counts : how often each message is in the ledger
    """

    user_id: str | None
    talk_user: str | None
    created_at: int
    talk: str | None = None
    runs: list[_Run] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    def copy(self) -> _Known:
        """The same, for one thread to change."""
        return replace(self, runs=[*self.runs], counts={**self.counts})

    def require_talk(self, talk: str) -> None:
        """Forget all that is of another conversation: that one was erased."""
        if self.talk != talk:
            self.runs, self.counts = [], {}
        self.talk = talk


def all_added(runs: Iterable[_Run]) -> list[str]:
    """The list of all messages, as some runs made it."""
    return [name for run in runs for name in run.added]


def run_ids(runs: Iterable[Json]) -> list[str]:
    """The ids of runs: their own, or else digests."""
    ids: list[str] = []
    for run in runs:
        response = run.get("response")
        own = run.get("run_id") or (response.get("run_id") if isinstance(response, dict) else None)
        run_id = own if isinstance(own, str) and own else digest_of(run)
        ids.append(f"{run_id}.{len(ids)}" if run_id in ids else run_id)
    return ids


def is_message(value: Any) -> bool:
    """Whether a part of a run's JSON is a message."""
    return isinstance(value, dict) and isinstance(value.get("role"), str) and len(value) > 1


def digest_of(value: Any) -> str:
    """A digest of JSON, the same in whatever order its names are."""
    return sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:20]


def of_another(session_id: str) -> Conflict:
    """The refusal of a session id that is another user's, in a table in which a session id is one session."""
    detail = f"Session {session_id!r} is another user's. Sessions of a storage with user_id= are that user's alone."
    return Conflict(Problem(409, "DOCUMENT_OF_ANOTHER", "Session of another user", detail, "user_id"))


class WholeSessions:
    """The sessions of one table, for a framework's class of storage.

    Every method raises AnnalsError. Threads and processes may share a table: runs that several add at once are kept.

    Parameters
    ----------
    table : the collection of the sessions' documents
    memory_space_id : the memory space of all that is stored
    user_id : of whom all sessions are; None for a table in which a session id is one session, whoever's
    """

    def __init__(
        self, clients: Clients, shape: Shape, *, table: str, memory_space_id: str, user_id: str | None = None
    ) -> None:
        self._clients = clients
        self._histories = Histories(clients)
        self._shape = shape
        self._table = table
        self._space = memory_space_id
        self._user_id = user_id
        self._known: dict[tuple[int, str], _Known] = {}  # by thread: what it has read is no older than this
        self._lock = Lock()

    def read(self, session_id: str) -> Json | None:
        """A session as it was written; None where there is none, or where it was erased."""
        document = self._find_row(session_id)
        if document is None:
            self.forget(session_id)
            return None
        row: Json = document.value
        session = self._session(row["session"], row["talkUser"])
        found = self._histories.sessions.find(session, self._list_runs)
        messages = self._histories.read(session)
        if found is None or messages is None:
            self.forget(session_id)
            return None
        talk, documents = found
        reader = _Reader(self._shape, messages)
        runs = [reader.restore(each.value["run"]) for each in documents]
        values = row["session"]
        known = _Known(values.get("user_id"), row["talkUser"], values["created_at"], talk, counts=reader.counts)
        for each, run_id, run in zip(documents, run_ids(runs), runs, strict=True):
            known.runs.append(_Run(each.key, run_id, digest_of(run), each.value["added"]))
        self._keep(session_id, known)
        return reader.session(row, runs, all_added(known.runs))

    def write(self, values: Json) -> Json:
        """Store what is new of a session; runs that another process added meanwhile stay.

        Returns the session, with the times of its first and of this write. Raises TypeError, ValueError for what is no
        JSON.
        """
        whole: Json = json.loads(json.dumps(values, allow_nan=False))
        session_id: str = whole["session_id"]
        known = self._find_known(session_id)
        if known is None:
            self.read(session_id)
            known = self._find_known(session_id)
        user_id, now = whole.get("user_id"), int(time.time())
        if known is None:
            known = _Known(user_id, user_id or self._user_id, whole.get("created_at") or now)
        if None not in (known.user_id, user_id) and known.user_id != user_id:
            raise of_another(session_id)
        known.user_id = user_id
        whole |= {"created_at": known.created_at, "updated_at": now}
        session = self._session(whole, known.talk_user)
        self.forget(session_id)  # until it is known what of it is stored
        self._histories.sessions.use(session, lambda annals, talk: self._write(annals, talk, session, whole, known))
        self._keep(session_id, known)
        return whole

    def delete(self, session_id: str) -> None:
        """Erase a session with all that was said in it, if there is one."""
        self.forget(session_id)
        document = self._find_row(session_id)
        if document is not None:
            self._histories.erase(self._session(document.value["session"], document.value["talkUser"]))
            self._clients.sync.documents.delete(
                self._table, session_id, namespace=self._namespace, memory_space_id=self._space
            )

    def rows(self, **conditions: str | None) -> list[Json]:
        """What the sessions are beside their runs, the newest first; those that have these values."""
        given = {name: value for name, value in conditions.items() if value is not None}
        found = self._clients.sync.documents.list(
            self._table,
            namespace=self._namespace,
            memory_space_id=self._space,
            filter={"session": given} if given else None,
        )
        rows: list[Json] = [document.value["session"] for document in found]
        return sorted(rows, key=lambda row: row.get("created_at") or 0, reverse=True)

    def drop(self) -> None:
        """Erase all sessions of the table."""
        for row in self.rows():
            self.delete(row["session_id"])

    def forget(self, session_id: str) -> None:
        """Read a session anew before it is written the next time."""
        with self._lock:
            self._known.pop(_here(session_id), None)

    @property
    def _namespace(self) -> tuple[str, ...]:
        return () if self._user_id is None else (self._user_id,)

    def _session(self, values: Mapping[str, Any], talk_user: str | None) -> Session:
        """The conversation of a session. Those of a table of one user are others than those of a table of many."""
        entity = next((values[name] for name in ("agent_id", "team_id", "workflow_id") if values.get(name)), None)
        separator = "/" if self._user_id is None else "//"
        session_id = f"{self._table}{separator}{values['session_id']}"
        return Session(session_id, talk_user, self._space, entity or self._shape.framework)

    def _find_row(self, session_id: str) -> Document | None:
        return self._clients.sync.documents.get(
            self._table, session_id, namespace=self._namespace, memory_space_id=self._space
        )

    def _list_runs(self, annals: Annals, talk: str) -> tuple[str, list[Document]]:
        return talk, list(annals.documents.list(self._table, conversation_id=talk))

    def _find_known(self, session_id: str) -> _Known | None:
        with self._lock:
            known = self._known.get(_here(session_id))
            return None if known is None else known.copy()

    def _keep(self, session_id: str, known: _Known) -> None:
        with self._lock:
            self._known.pop(_here(session_id), None)
            self._known[_here(session_id)] = known
            while len(self._known) > KNOWN_SESSIONS:
                del self._known[next(iter(self._known))]

    def _write(self, annals: Annals, talk: str, session: Session, whole: Json, known: _Known) -> None:
        known.require_talk(talk)
        memory: Json = whole.get("memory") or {}
        runs: list[Json] = memory.get("runs") or []
        ids = run_ids(runs)
        self._take_back(annals, talk, known, ids)
        stored = {run.run_id: run for run in known.runs}
        changed = [
            (run_id, run)
            for run_id, run in zip(ids, runs, strict=True)
            if run_id not in stored or stored[run_id].digest != digest_of(run)
        ]
        writer = _Writer(self._shape, known.counts)
        messages = self._shape.flat_of(memory)
        flat = [writer.name(each) for each in messages or []]
        values = {run_id: writer.replace(run) for run_id, run in changed}
        self._append(session, writer.rows(session.user_id))
        known.counts.update(writer.counts)
        given = [stored[run_id] for run_id in ids if run_id in stored]
        added = flat[len(all_added(given)) :]
        for run_id, run in changed:
            before = stored.get(run_id)
            own = before.added if before else added if run_id == ids[-1] else []
            new = _Run(before.key if before else "", run_id, digest_of(run), own)
            self._put_run(annals, talk, new, values[run_id], known)
        lists = [name for name in ("runs", "messages") if name in memory and (name == "runs" or messages is not None)]
        values_beside = _without(whole, lists)
        order = _order(flat, ids, known) if messages is not None else {}
        row = {"session": values_beside, "talkUser": known.talk_user, "lists": lists, **order}
        annals.documents.put(
            self._table,
            whole["session_id"],
            row,
            namespace=self._namespace,
            memory_space_id=self._space,
            user_id=whole.get("user_id"),
        )

    def _append(self, session: Session, rows: Sequence[Row]) -> None:
        """Append messages; one that is there already, as another process was faster, is the same by its name."""
        try:
            self._histories.append(session, rows)
        except (Conflict, Erased) as refused:
            if refused.code not in THERE:
                raise
            if len(rows) > 1:
                for row in rows:
                    self._append(session, [row])

    def _take_back(self, annals: Annals, talk: str, known: _Known, ids: Sequence[str]) -> None:
        """Where a session has no runs any more, delete them, and take back what was said.

        Where it has some, those that it has not may be others', who added them meanwhile.
        """
        if ids or not known.runs:
            return
        for run in known.runs:
            annals.documents.delete(self._table, run.key, conversation_id=talk)
        annals.conversations.clear_messages(talk)
        known.runs, known.counts = [], {}

    def _put_run(self, annals: Annals, talk: str, run: _Run, value: Any, known: _Known) -> None:
        """Store a run: in its place, or in the next one that is free."""
        body = {"run": value, "added": run.added}
        if run.key:
            annals.documents.put(self._table, run.key, body, conversation_id=talk)
            known.runs = [run if each.key == run.key else each for each in known.runs]
            return
        place = int(known.runs[-1].key) + 1 if known.runs else 1
        for key in (f"{place + further:08}" for further in range(TRIES)):
            try:
                annals.documents.put(self._table, key, body, conversation_id=talk, if_version=0)
            except PreconditionFailed:
                continue  # another process added a run meanwhile
            known.runs.append(replace(run, key=key))
            return
        raise RuntimeError(f"{TRIES} others added a run to this session at once")


def _here(session_id: str) -> tuple[int, str]:
    return get_ident(), session_id


def _without(whole: Json, lists: Sequence[str]) -> Json:
    """A session without the lists of its memory that are kept elsewhere."""
    memory = whole.get("memory")
    if not lists or memory is None:
        return whole
    return {**whole, "memory": {name: value for name, value in memory.items() if name not in lists}}


def _order(flat: Sequence[str], ids: Sequence[str], known: _Known) -> Json:
    """What has to be kept of the list of all messages, where it is not what the runs made it."""
    made = all_added(run for run in known.runs if run.run_id in ids)
    replaced = {str(index): name for index, name in enumerate(flat) if index < len(made) and made[index] != name}
    if len(flat) != len(made) or len(replaced) > MAX_REPLACED:
        return {"order": [*flat, *all_added(run for run in known.runs if run.run_id not in ids)]}
    return {"replaced": replaced} if replaced else {}


class _Writer:
    """Takes messages out of runs, and says which of them are to be stored."""

    def __init__(self, shape: Shape, stored: Mapping[str, int]) -> None:
        self._shape = shape
        self._stored = stored
        self._new: dict[str, Json] = {}
        self._texts: dict[str, str] = {}
        self.counts: dict[str, int] = {}

    def name(self, message: Json) -> str:
        """The name of a message of the list of all, where one that is there twice is two."""
        name = self._note(message)
        self.counts[name] = self.counts.get(name, 0) + 1
        return name

    def replace(self, run: Json) -> Any:
        """A run that names its messages."""
        for message in run.get("messages") or []:
            if is_message(message):
                self._note(message)
        return self._walk(run)

    def _note(self, message: Json) -> str:
        identity = self._shape.identity(message)
        name = digest_of(identity)
        content = identity.get("content")
        if isinstance(content, str) and len(content) >= LEAST_TEXT_CHARS:
            self._texts[content] = name
        self._new.setdefault(name, identity)
        return name

    def _walk(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._walk(part) for part in value]
        if isinstance(value, str):
            return {TEXT: self._texts[value]} if value in self._texts else value
        if not isinstance(value, dict):
            return value
        if is_message(value):
            varying = self._shape.varying(value)
            return {MESSAGE: self._note(value), **({BUT: varying} if varying != self._shape.usual else {})}
        walked = {name: self._walk(part) for name, part in value.items()}
        return {PLAIN: walked} if value.keys() & {MESSAGE, TEXT, PLAIN} else walked

    def rows(self, user_id: str | None) -> list[Row]:
        """The messages that are not in the ledger yet."""
        rows = []
        for name, message in self._new.items():
            wanted = max(self.counts.get(name, 1), 1)
            for number in range(self._stored.get(name, 0), wanted):
                rows.append(self._row(name if number == 0 else f"{name}.{number}", message, user_id))
            self.counts[name] = max(wanted, self._stored.get(name, 0))
        return rows

    def _row(self, name: str, message: Json, user_id: str | None) -> Row:
        role = message["role"]
        fields: Json = {"role": role if role in ROLES else "assistant", "content": text_of(message.get("content"))}
        if user_id is not None and role == "user":
            fields["user_id"] = user_id
        created_at = message.get("created_at")
        if isinstance(created_at, int) and 10**9 <= created_at < 10**10:
            fields["timestamp"] = created_at
        return Row(name, self._shape.framework, message, fields)


def text_of(content: Any) -> str:
    """The words of a message's content."""
    if isinstance(content, str):
        return content
    parts: Iterable[Any] = content if isinstance(content, list) else ()
    texts = (part.get("text") if isinstance(part, dict) else part for part in parts)
    return "\n".join(text for text in texts if isinstance(text, str))


class _Reader:
    """Puts messages back into runs. What was redacted is left out of lists, and is None elsewhere."""

    def __init__(self, shape: Shape, messages: Sequence[Message]) -> None:
        self._shape = shape
        self._messages: dict[str, Json] = {}
        self.counts: dict[str, int] = {}
        for each in messages:
            value = value_of(each, shape.framework)
            if each.external_id is not None and value is not None:
                name = each.external_id.partition(".")[0]
                self._messages[name] = value
                self.counts[name] = self.counts.get(name, 0) + 1

    def restore(self, value: Any) -> Any:
        """A part of a run as it was."""
        if isinstance(value, list):
            return [part for part in map(self.restore, value) if part is not GONE]
        if not isinstance(value, dict):
            return value
        if MESSAGE in value:
            message = self._messages.get(value[MESSAGE])
            return GONE if message is None else {**message, **value.get(BUT, self._shape.usual)}
        if TEXT in value:
            return self._messages.get(value[TEXT], {}).get("content", "")
        if PLAIN in value:
            value = value[PLAIN]
        restored = {name: self.restore(part) for name, part in value.items()}
        return {name: None if part is GONE else part for name, part in restored.items()}

    def session(self, row: Json, runs: list[Any], made: Sequence[str]) -> Json:
        """A session as it was written."""
        whole: Json = dict(row["session"])
        memory = dict(whole.get("memory") or {})
        if "runs" in row["lists"]:
            memory["runs"] = runs
        if "messages" in row["lists"]:
            names = [*row.get("order", made)]
            for index, name in row.get("replaced", {}).items():
                names[int(index)] = name
            memory["messages"] = self.restore([{MESSAGE: name} for name in names])
        return {**whole, "memory": memory} if row["lists"] else whole


GONE: Any = object()
"""Stands for a message that is there no more."""
