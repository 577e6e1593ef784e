"""Runs: each is a run of its session's conversation; its messages are the ledger's."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from typing import Any

from agno.db.utils import HISTORY_SKIP_STATUSES, build_single_run_row
from agno.run.base import RunStatus

from annals_client.calls import Steps
from annals_client.errors import Erased, NotFound, PreconditionFailed
from annals_client.integrations.agno.directory import Directory, Entry, SessionOfAnother, is_gone
from annals_client.integrations.agno.known_messages import KnownRuns
from annals_client.integrations.agno.message_mapping import is_whole
from annals_client.integrations.agno.order import Order
from annals_client.integrations.agno.run_mapping import as_json, join, split
from annals_client.integrations.agno.run_messages import RunMessages
from annals_client.listing import collect_items
from annals_client.models import Message, Run
from annals_client.resources.documents import DocumentDelete, Documents
from annals_client.resources.messages import Messages
from annals_client.resources.runs import Runs

Json = dict[str, Any]

RUNS = "agno.runs"
"""The collection that leads from a run's id to its session, since agno asks for runs by their ids alone."""

LARGE_RUNS = "agno.run"
"""The collection of a conversation that holds the fields of runs for which a run's data has no room."""

MAX_DATA_CHARS = 3_000_000
PIECE_CHARS = 1_500_000
"""How long the data of a run may be as JSON, and how long their pieces are where they are longer."""

ABOUT = ("run_type", "agent_id", "team_id", "workflow_id", "user_id", "created_at", "updated_at")
"""What is kept of a run's row; the rest of it is in the run's own fields."""

NO_STATUS = "none"
"""The status of a run that has none."""

RUN_DELETED = "The run was deleted."


@dataclass(frozen=True)
class RunFilter:
    """Which runs are listed; what is None doesn't count."""

    session_id: str | None = None
    user_id: str | None = None
    agent_id: str | None = None
    team_id: str | None = None
    workflow_id: str | None = None
    status: str | None = None

    def takes(self, row: Json) -> bool:
        """Whether a run is meant."""
        return all(value is None or row[name] == value for name, value in vars(self).items())


class RunStore:
    """The runs of a memory space."""

    def __init__(self, directory: Directory, messages: RunMessages) -> None:
        self._directory = directory
        self._messages = messages
        self._led_to = KnownRuns()

    def upsert(self, run: Any, session_id: str, user_id: str | None, run_index: int | None) -> Steps[None]:
        """Store a run, or what is new of one.

        Raises
        ------
        SessionOfAnother : the session has another user
        ValueError : the run has no id, or there is no such session
        """
        row = as_json(build_single_run_row(run, session_id, user_id, run_index))
        for is_fresh in (False, True):
            entry = yield from self._require_session(session_id, user_id, is_fresh=is_fresh)
            try:
                return (yield from self._store(entry, row))
            except (NotFound, Erased) as gone:
                if is_fresh or not is_gone(gone):
                    raise
        raise AssertionError("unreachable")

    def of_session(self, conversation_id: str, limit: int | None) -> Steps[list[Json]]:
        """The runs of a session, in their order; with a ``limit`` the newest that history shows, this many at most."""
        if limit is None:
            runs = yield from collect_items(Runs.list.walk(conversation_id, order="asc", include_data=True))
            listed = (yield from self._messages.list_all(conversation_id)) if runs else {}
            return (yield from self._run_data(conversation_id, runs, listed))
        newest: list[Run] = []
        walk = Runs.list.walk(conversation_id, order="desc", include_data=True, page_size=min(max(limit, 1), 100))
        while len(newest) < limit and (call := walk.next_call()):
            newest += [run for run in walk.take((yield call)).items if _is_history(run)]
        return (yield from self._run_data(conversation_id, newest[:limit][::-1], {}))

    def find(self, run_id: str) -> Steps[Json | None]:
        """A run by its id alone, as a row: what agno's tables of runs hold."""
        entry = yield from self._session_of(run_id)
        if entry is None:
            return None
        try:
            run = yield Runs.get.call(entry.conversation_id, run_id)
        except (NotFound, Erased) as gone:
            if not is_gone(gone):
                raise
            return None
        (data,) = yield from self._run_data(entry.conversation_id, [run], {})
        return _row(entry, run, data)

    def page(self, wanted: RunFilter, order: Order) -> Steps[tuple[list[Json], int]]:
        """Runs as rows, and how many there are; those of one session in their order, or of all sessions."""
        rows: list[tuple[Entry, Run]] = []
        for entry in (yield from self._sessions(wanted)):
            try:
                runs = yield from collect_items(Runs.list.walk(entry.conversation_id, order="asc", include_data=True))
            except (NotFound, Erased) as gone:
                if not is_gone(gone):
                    raise
                continue
            rows += [(entry, run) for run in runs]
        matching = [(_row(entry, run, {}), entry, run) for entry, run in rows]
        matching = [each for each in matching if wanted.takes(each[0])]
        listed: list[Json] = []
        for _, entry, run in order.page_of(order.sort(matching, lambda each: each[0])):
            (data,) = yield from self._run_data(entry.conversation_id, [run], {})
            listed.append(_row(entry, run, data))
        return listed, len(matching)

    def delete(self, run_ids: Sequence[str]) -> Steps[int]:
        """Delete runs, and redact what was said in them; how many there were."""
        deleted = 0
        for run_id in run_ids:
            entry = yield from self._session_of(run_id)
            if entry is not None:
                deleted += yield from self._delete(entry, run_id)
            yield from Documents.delete.steps(None, RUNS, run_id, memory_space_id=self._directory.memory_space_id)
        return deleted

    def forget_all(self, conversation_id: str) -> Steps[None]:
        """Delete what leads to the runs of a conversation that is to be erased."""
        try:
            runs = yield from collect_items(Runs.list.walk(conversation_id, include_data=False, page_size=1000))
        except (NotFound, Erased) as gone:
            if not is_gone(gone):
                raise
            return
        space = self._directory.memory_space_id
        deletes = [DocumentDelete(collection=RUNS, key=run.run_id, memory_space_id=space) for run in runs]
        yield from Documents.batch.steps(None, deletes)

    def cancel(self, run_id: str, session_id: str, reason: str, user_id: str | None, expected: str) -> Steps[bool]:
        """Cancel a run that is in the expected status; whether it was changed. Of two changes at once, one wins.

        Raises ValueError for a status that no such run can have.
        """
        if expected not in (RunStatus.pending.value, RunStatus.running.value):
            raise ValueError(f"A run that is {expected} cannot be cancelled so: only one that is PENDING or RUNNING")
        entry = yield from self._directory.find(session_id)
        if entry is None or not entry.is_open_to(user_id):
            return False
        try:
            run = yield Runs.get.call(entry.conversation_id, run_id)
        except NotFound:
            return False
        (data,) = yield from self._run_data(entry.conversation_id, [run], {})
        if data.get("status") != expected or run.data["row"]["user_id"] not in (None, user_id):
            return False
        data |= {"status": RunStatus.cancelled.value, "content": data.get("content") or reason}
        row = {**_row(entry, run, data), "status": RunStatus.cancelled.value, "updated_at": int(time.time())}
        try:
            yield from self._put(entry, row, if_match=run.version)
        except PreconditionFailed:
            return False
        return True

    def _store(self, entry: Entry, row: Json) -> Steps[None]:
        """Store a run: what leads to it, its messages, and its other fields."""
        yield from self._lead_to(entry, row["run_id"])
        yield from self._put(entry, row)

    def _put(self, entry: Entry, row: Json, *, if_match: int | None = None) -> Steps[None]:
        conversation_id, run_id, parts = entry.conversation_id, row["run_id"], split(row["run_data"])
        references = None
        if parts.messages is not None:
            speaker = row["user_id"] if entry.claimed else None
            references = yield from self._messages.store(conversation_id, run_id, parts.messages, speaker)
        about = {name: value for name, value in row.items() if name in ABOUT}
        data: Json = {"fields": parts.fields, "messages": references, "words": parts.words, "row": about}
        if len(text := json.dumps(data)) > MAX_DATA_CHARS:
            data = {"row": about, "large": (yield from _put_pieces(conversation_id, run_id, text))}
        yield Runs.put.call(
            conversation_id,
            run_id,
            status=str(row["status"] or NO_STATUS),
            parent_run_id=row["parent_run_id"],
            agent_id=row["agent_id"],
            data=data,
            if_match=if_match,
        )

    def _lead_to(self, entry: Entry, run_id: str) -> Steps[None]:
        """Store where a run is, unless this process did so."""
        if (entry.conversation_id, run_id) in self._led_to:
            return
        yield from Documents.put.steps(
            None,
            RUNS,
            run_id,
            {"conversation_id": entry.conversation_id},
            memory_space_id=self._directory.memory_space_id,
        )
        self._led_to.add(entry.conversation_id, run_id)

    def _session_of(self, run_id: str) -> Steps[Entry | None]:
        """The session of a run; None where there is none, or it was erased."""
        found = yield from Documents.get.steps(None, RUNS, run_id, memory_space_id=self._directory.memory_space_id)
        return None if found is None else (yield from self._directory.of_conversation(found.value["conversation_id"]))

    def _sessions(self, wanted: RunFilter) -> Steps[list[Entry]]:
        """The sessions in which runs are looked for."""
        if wanted.session_id is None:
            return (yield from self._directory.all_of(None))
        entry = yield from self._directory.find(wanted.session_id)
        return [] if entry is None else [entry]

    def _run_data(self, conversation_id: str, runs: Sequence[Run], listed: Mapping[str, Message]) -> Steps[list[Json]]:
        """Runs as agno's ``from_dict`` takes them."""
        stored = []
        for run in runs:
            stored.append((yield from _whole_data(conversation_id, run)))
        wanted = [each for data in stored for each in data["messages"] or []]
        messages = iter((yield from self._messages.read(conversation_id, wanted, listed)))
        joined = []
        for data in stored:
            own = None if data["messages"] is None else [*islice(messages, len(data["messages"]))]
            joined.append(join(data["fields"], own, data["words"]))
        return joined

    def _delete(self, entry: Entry, run_id: str) -> Steps[int]:
        """Delete a run of a session; 1, or 0 where there is none."""
        conversation_id = entry.conversation_id
        self._led_to.discard(conversation_id, run_id)
        try:
            said = yield from collect_items(Messages.list.walk(conversation_id, run_id=run_id))
            for message in said:
                if is_whole(message):
                    yield Messages.redact.call(conversation_id, message.message_id, reason=RUN_DELETED)
            yield from Documents.delete_many.steps(
                None, LARGE_RUNS, namespace_prefix=(run_id,), conversation_id=conversation_id
            )
            yield Runs.delete.call(conversation_id, run_id)
        except (NotFound, Erased) as gone:
            if not is_gone(gone):
                raise
            return 0
        return 1

    def _require_session(self, session_id: str, user_id: str | None, *, is_fresh: bool) -> Steps[Entry]:
        entry = None if is_fresh else self._directory.remembered(session_id)
        if entry is None or (user_id is not None and not entry.is_open_to(user_id)):
            entry = yield from self._directory.find(session_id)
        if entry is None:
            raise ValueError(f"There is no session {session_id!r}: store it before its runs.")
        if user_id is not None and entry.user_id is not None and user_id != entry.user_id:
            raise SessionOfAnother(session_id)
        return entry


def _whole_data(conversation_id: str, run: Run) -> Steps[Json]:
    """The data of a run, which are beside it where they are large."""
    data: Json = run.data
    if "large" not in data:
        return data
    walk = Documents.list.walk(LARGE_RUNS, namespace=(run.run_id, data["large"]), conversation_id=conversation_id)
    pieces = yield from collect_items(walk)
    whole: Json = json.loads("".join(piece.value for piece in pieces))
    return whole


def _put_pieces(conversation_id: str, run_id: str, text: str) -> Steps[str]:
    """Store a long text in pieces; the name under which they are. No other text of the run has that name."""
    name = sha256(text.encode()).hexdigest()
    for number, begin in enumerate(range(0, len(text), PIECE_CHARS)):
        yield from Documents.put.steps(
            None,
            LARGE_RUNS,
            f"{number:06}",
            text[begin : begin + PIECE_CHARS],
            namespace=(run_id, name),
            conversation_id=conversation_id,
        )
    return name


def _is_history(run: Run) -> bool:
    """Whether agno shows a run in histories: one of an agent itself, which came to its end."""
    return run.parent_run_id is None and run.status not in HISTORY_SKIP_STATUSES


def _row(entry: Entry, run: Run, data: Json) -> Json:
    """A run as a row."""
    return {
        "run_id": run.run_id,
        "session_id": entry.session_id,
        **run.data["row"],
        "parent_run_id": run.parent_run_id,
        "status": None if run.status == NO_STATUS else run.status,
        "run_index": run.number - 1,
        "run_data": data,
    }
