"""Conversations of Pydantic AI with all that they carry: usage, waiting tool calls, branches, forks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from threading import Lock
from typing import Any

from annals_client.calls import Steps
from annals_client.client import Annals, AsyncAnnals
from annals_client.errors import PreconditionFailed, ValidationFailed
from annals_client.integrations.histories import Row, append_steps, read_steps, value_of
from annals_client.integrations.pydantic_ai.rows import KIND, fields_of, json_of
from annals_client.integrations.support import Clients, Session, Sessions, framework
from annals_client.models import Document, Message, Rewound
from annals_client.resources.conversations import Conversations

with framework("pydantic-ai"):
    from pydantic import TypeAdapter
    from pydantic_ai.conversation_store import (
        ConversationConflict,
        ConversationEntry,
        ConversationRecord,
        ConversationStore,
    )
    from pydantic_ai.messages import ModelMessagesTypeAdapter

RECORDS = "pydantic-ai-conversations"
"""The collection of the documents that hold records."""
PARENT = "parentId"
"""The field of a message's metadata that names the entry before it."""
MAX_PLACES = 100_000
PATIENCE_S, PAUSE_S = 10.0, 0.2
"""How long a saver that has stored messages may take to store the record, before it counts as killed."""

Change = Callable[[str, int | None], Steps[int]]
"""What changes a conversation after a seq, and says the newest one then."""

_Record = TypeAdapter(ConversationRecord)


class AnnalsConversationStore(ConversationStore):
    """Conversations: each message once in the ledger, and a record beside them.

    A conversation is a session, its entries are messages, and its record is a document. A branch that is left is taken
    back by a rewind, so that history, search and recall show the conversation as it is; the store still reads it. A
    fork gets a copy of the messages that it begins with, so that either can be erased without the other. ``delete``
    erases the conversation, with all its branches.

    Of two savers at once one gets ConversationConflict, and nothing of it stays. What a saver leaves that is killed is
    taken back by the next one.

    Parameters
    ----------
    client : an Annals or AsyncAnnals; else ``url`` and ``key``
    user_id, memory_space_id : whose conversations they are, and where; the same id of two users is two conversations
    """

    def __init__(
        self,
        client: Annals | AsyncAnnals | None = None,
        *,
        url: str | None = None,
        key: str | None = None,
        user_id: str | None = None,
        memory_space_id: str | None = None,
    ) -> None:
        self._clients = Clients(client, url=url, key=key)
        self._sessions = Sessions(self._clients)
        self._user_id, self._memory_space_id = user_id, memory_space_id
        self._places = Places()

    async def read_record(self, conversation_id: str) -> ConversationRecord | None:
        """The record of a conversation, or None. Raises AnnalsError."""
        found = await self._find(conversation_id)
        if found is None:
            return None
        record = _record(found)
        self._places.keep(conversation_id, record.head_id, record.forked_at, *record.branches)
        return record

    async def read_records(self, *, scope: str | None = None, limit: int | None = None) -> Sequence[ConversationRecord]:
        """The records of that scope, or all, the one that was saved last first. Raises AnnalsError."""
        documents = self._annals.documents.list(RECORDS, namespace=self._namespace, **self._owner)
        records = [_record(each) async for each in documents if not _is_deleted(each)]
        records = [record for record in records if scope is None or record.scope == scope]
        for record in records:
            self._places.keep(record.conversation_id, record.head_id, record.forked_at, *record.branches)
        records.sort(key=lambda record: record.updated_at, reverse=True)
        return records[:limit]

    async def write_record(
        self,
        record: ConversationRecord,
        *,
        new_entries: Sequence[ConversationEntry] = (),
        expected_revision: str | None,
    ) -> None:
        """Store a record, and the entries that it adds.

        Raises
        ------
        ConversationConflict : another revision is stored, or the head is no entry of this conversation
        AnnalsError
        """
        conversation_id = record.conversation_id
        before = await self._find(conversation_id)
        if (None if before is None else _record(before).revision) != expected_revision:
            raise ConversationConflict(conversation_id)
        entries = [*await self._forked(record, before, new_entries), *new_entries]
        tail = await self._show(record, before, entries)
        value = {"record": _Record.dump_python(record, mode="json"), "tail": tail}
        try:
            await self._put(conversation_id, value, 0 if before is None else before.version)
        except PreconditionFailed:
            if entries:
                await self._take_back(conversation_id, _tail(before))
            raise ConversationConflict(conversation_id) from None
        self._places.keep(conversation_id, record.head_id, *(entry.id for entry in entries))

    async def delete_record(self, conversation_id: str, *, expected_revision: str) -> None:
        """Erase a conversation, with all its entries. Raises ConversationConflict, AnnalsError."""
        found = await self._find(conversation_id)
        if found is None or _record(found).revision != expected_revision:
            raise ConversationConflict(conversation_id)
        try:
            deleted = await self._put(conversation_id, {**found.value, "deleted": True}, found.version)
        except PreconditionFailed:
            raise ConversationConflict(conversation_id) from None
        await self._erase(conversation_id, deleted.version)

    async def read_entry(self, entry_id: str) -> ConversationEntry:
        """An entry of a conversation whose record, or another entry, was read here before.

        Raises
        ------
        LookupError : there is none
        AnnalsError
        """
        for conversation_id in self._places.of(entry_id):
            found = await self._entries(conversation_id, None)
            if entry_id in found:
                return found[entry_id]
        raise LookupError(f"There is no entry {entry_id!r}, or its conversation was not read before.")

    async def read_history(self, head_id: str | None, *, limit: int | None = None) -> list[ConversationEntry]:
        """The entries up to one, in order, or the last ``limit`` of them; a long one is read in few requests.

        Raises
        ------
        LookupError : one of them is missing
        AnnalsError
        """
        if head_id is None or limit == 0:
            return []
        for conversation_id in self._places.of(head_id):
            for at_most, with_rewound in ((limit, False), (None, True)):
                found = await self._entries(conversation_id, at_most, with_rewound=with_rewound)
                line = _line(found, head_id, limit)
                if line is not None:
                    self._places.keep(conversation_id, *(entry.id for entry in line))
                    return line
            await self._forget_if_gone(conversation_id)
        raise LookupError(f"The history up to the entry {head_id!r} is not there.")

    @property
    def _annals(self) -> AsyncAnnals:
        return self._clients.asynchronous

    @property
    def _namespace(self) -> list[str]:
        """The records of two users in one space are kept apart."""
        return [] if self._user_id is None else [self._user_id]

    @property
    def _owner(self) -> Any:
        """Whose the records are: the space's, with the user as the one whom they are about, or the user's."""
        owner = {"user_id": self._user_id, "memory_space_id": self._memory_space_id}
        return {name: value for name, value in owner.items() if value is not None}

    def _key(self, conversation_id: str) -> Any:
        """The document of a conversation."""
        return {"collection": RECORDS, "key": conversation_id, "namespace": self._namespace, **self._owner}

    def _session(self, conversation_id: str) -> Session:
        return Session(conversation_id, user_id=self._user_id, memory_space_id=self._memory_space_id)

    async def _find(self, conversation_id: str) -> Document | None:
        """The document of a conversation; one whose deletion broke off is deleted now."""
        found = await self._annals.documents.get(**self._key(conversation_id))
        if found is not None and _is_deleted(found):
            await self._erase(conversation_id, found.version)
            return None
        return found

    async def _put(self, conversation_id: str, value: Any, version: int) -> Document:
        return await self._annals.documents.put(value=value, if_version=version, **self._key(conversation_id))

    async def _erase(self, conversation_id: str, version: int) -> None:
        session = self._session(conversation_id)
        await self._sessions.afind(session, lambda annals, talk: annals.conversations.erase(talk))
        self._sessions.forget(session)
        await self._annals.documents.delete(if_version=version, **self._key(conversation_id))

    async def _forget_if_gone(self, conversation_id: str) -> None:
        """Delete the record of a conversation that somebody erased."""
        session = self._session(conversation_id)
        if await self._annals.conversations.find_session(**session.address()) is None:
            self._sessions.forget(session)
            await self._annals.documents.delete(**self._key(conversation_id))

    async def _entries(
        self, conversation_id: str, limit: int | None, *, with_rewound: bool = True
    ) -> dict[str, ConversationEntry]:
        """The newest entries of a conversation by their ids."""
        found = await self._sessions.afind(
            self._session(conversation_id),
            lambda annals, talk: annals.sender.run(read_steps(talk, limit, with_rewound=with_rewound)),
        )
        return {entry.id: entry for message in found or () if (entry := _entry(message)) is not None}

    async def _forked(
        self, record: ConversationRecord, before: Document | None, new_entries: Sequence[ConversationEntry]
    ) -> list[ConversationEntry]:
        """The entries of another conversation that a new one begins with. Raises ConversationConflict."""
        first = new_entries[0].parent_id if new_entries else record.head_id
        if before is not None or first is None:
            return []
        try:
            return await self.read_history(first)
        except LookupError:
            raise ConversationConflict(record.conversation_id) from None

    async def _show(
        self, record: ConversationRecord, before: Document | None, entries: Sequence[ConversationEntry]
    ) -> int:
        """Have the ledger show the history up to a record's head; the newest seq then. Raises ConversationConflict.

        Each change names the newest seq that it follows: of two savers, one is refused here.
        """
        conversation_id, tail = record.conversation_id, _tail(before)
        shown = None if before is None else _record(before).head_id
        follows = entries[0].parent_id if entries else record.head_id
        if follows != shown and before is not None:
            to_seq = await self._seq(conversation_id, follows)
            if to_seq is not None:  # else it goes on with a branch that was left before, and is not shown again
                tail = await self._changed(conversation_id, before, tail, _rewinding(to_seq))
        if entries or before is None:
            tail = await self._changed(conversation_id, before, tail, _appending(entries))
        return tail

    async def _seq(self, conversation_id: str, entry_id: str | None) -> int | None:
        """The seq of an entry that is shown, 0 before the first one; None where it is not shown."""
        if entry_id is None:
            return 0
        found = await self._sessions.afind(
            self._session(conversation_id), lambda annals, talk: annals.messages.find(talk, entry_id)
        )
        return None if found is None or found.status == "rewound" else found.seq

    async def _changed(self, conversation_id: str, before: Document | None, tail: int, change: Change) -> int:
        """Change the ledger after a seq; the newest seq then. Raises ConversationConflict."""
        session = self._session(conversation_id)
        try:
            return await self._sessions.ause(session, lambda annals, talk: annals.sender.run(change(talk, tail)))
        except PreconditionFailed:
            await self._wait_for_other(conversation_id, before)
        left = await self._without_what_was_left(conversation_id, before)
        try:
            return await self._sessions.ause(session, lambda annals, talk: annals.sender.run(change(talk, left)))
        except PreconditionFailed:
            raise ConversationConflict(conversation_id) from None

    async def _wait_for_other(self, conversation_id: str, before: Document | None) -> None:
        """Wait for the saver who was faster. Raises ConversationConflict once it is done; not if it was killed."""
        ends = time.monotonic() + PATIENCE_S
        while time.monotonic() < ends:
            now = await self._find(conversation_id)
            if (now and now.version) != (before and before.version):
                raise ConversationConflict(conversation_id)
            await asyncio.sleep(PAUSE_S)

    async def _without_what_was_left(self, conversation_id: str, before: Document | None) -> int:
        """Take back what a saver left that was killed; the newest seq then."""
        if before is not None:
            try:
                return await self._take_back(conversation_id, _tail(before))
            except ValidationFailed:  # the conversation is another one: somebody erased it
                await self._annals.documents.delete(**self._key(conversation_id))
                raise ConversationConflict(conversation_id) from None
        talk = await self._annals.conversations.get_or_create_session(**self._session(conversation_id).made())
        messages = await self._annals.sender.run(read_steps(talk.conversation_id, None))
        others = [message.seq for message in messages if _entry(message) is None]
        return await self._take_back(conversation_id, max(others, default=0))

    async def _take_back(self, conversation_id: str, to_seq: int) -> int:
        return await self._sessions.ause(
            self._session(conversation_id),
            lambda annals, talk: annals.sender.run(_rewinding(to_seq)(talk, None)),
        )


def _rewinding(to_seq: int) -> Change:
    def steps(talk: str, tail: int | None) -> Steps[int]:
        rewound: Rewound = yield Conversations.rewind.call(talk, to_seq=to_seq, if_match=tail)
        return rewound.seq

    return steps


def _appending(entries: Sequence[ConversationEntry]) -> Change:
    rows = [_row(entry) for entry in entries]
    return lambda talk, tail: append_steps(talk, rows, tail)


class Places:
    """In which conversations entries are, as far as they were read: an id of an entry alone does not say it."""

    def __init__(self) -> None:
        self._of: dict[str, str] = {}
        self._lock = Lock()

    def keep(self, conversation_id: str, *entry_ids: str | None) -> None:
        """Remember where entries are."""
        with self._lock:
            for entry_id in entry_ids:
                if entry_id is not None:
                    self._of.pop(entry_id, None)
                    self._of[entry_id] = conversation_id
            while len(self._of) > MAX_PLACES:
                del self._of[next(iter(self._of))]

    def of(self, entry_id: str) -> list[str]:
        """The conversation of an entry, if it is known."""
        with self._lock:
            return [self._of[entry_id]] if entry_id in self._of else []


def _record(document: Document) -> ConversationRecord:
    return _Record.validate_python(document.value["record"])


def _tail(document: Document | None) -> int:
    """The newest seq of the conversation when its record was stored."""
    return 0 if document is None else int(document.value["tail"])


def _is_deleted(document: Document) -> bool:
    return bool(document.value.get("deleted"))


def _row(entry: ConversationEntry) -> Row:
    fields = {**fields_of(entry.message), "metadata": {PARENT: entry.parent_id}}
    return Row(entry.id, KIND, json_of([entry.message])[0], fields)


def _entry(message: Message) -> ConversationEntry | None:
    """The entry that a message is; None for a message of something else."""
    value, metadata = value_of(message, KIND), message.metadata or {}
    if value is None or PARENT not in metadata or message.external_id is None:
        return None
    (read,) = ModelMessagesTypeAdapter.validate_python([value])
    return ConversationEntry(id=message.external_id, parent_id=metadata[PARENT], message=read)


def _line(found: dict[str, ConversationEntry], head_id: str, limit: int | None) -> list[ConversationEntry] | None:
    """The entries up to one; None where some are missing."""
    line: list[ConversationEntry] = []
    entry_id: str | None = head_id
    while entry_id is not None and (limit is None or len(line) < limit):
        if entry_id not in found:
            return None
        line.append(found[entry_id])
        entry_id = found[entry_id].parent_id
    return line[::-1]
