"""The transcripts of sessions in the ledger: read, added to without repeating, cleared, listed."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from annals_client.client import AsyncAnnals
from annals_client.errors import PreconditionFailed
from annals_client.filters import ConversationFilter
from annals_client.formats.agent_framework import Fields, to_annals
from annals_client.integrations.agent_framework_base.messages import (
    call_ids_of,
    from_ledger,
    identity_of,
    result_ids_of,
)
from annals_client.integrations.agent_framework_base.overlap import (
    Stored,
    count_known,
    count_known_of_run,
    is_transcript,
)
from annals_client.integrations.agent_framework_base.scope import Scope
from annals_client.integrations.support import Clients, Sessions
from annals_client.models import Message
from annals_client.parts import has_parts

logger = logging.getLogger(__name__)

PAGE = 200
ENTRY_BYTES = 300_000
"""How much goes into one append, unless a single message is larger; the large parts of that are stored beside it."""
REQUEST_BYTES = 4_000_000
"""A message that is larger does not fit into a request; its long texts are uploaded first."""
UPLOAD_CHARS = 64_000
"""How long these texts are; what stands in ``content`` is never longer."""
TRIES = 50
"""How often an append goes after a tail that others move meanwhile."""
TAIL = 20
"""How many of the newest messages of a session are known again without asking."""
TAILS = 1000
"""Of how many sessions."""


@dataclass(frozen=True)
class Tail:
    """The end of a conversation: the seq that an append follows, and what its newest messages are.

    ``is_whole`` says that there are no others.
    """

    seq: int
    messages: tuple[Stored, ...]
    is_whole: bool

    def reaches(self, count: int) -> bool:
        """Whether it says what the ``count`` newest messages are."""
        return self.is_whole or len(self.messages) >= count

    def followed_by(self, seq: int, messages: Sequence[Stored]) -> Tail:
        """The end of the conversation after an append."""
        longer = (*self.messages, *messages)
        return Tail(seq, longer[-TAIL:], self.is_whole and len(longer) <= TAIL)


class Transcripts:
    """The messages of the sessions of a scope."""

    def __init__(self, clients: Clients, scope: Scope) -> None:
        self._clients = clients
        self._scope = scope
        self._sessions = Sessions(clients)
        self._tails: dict[str, Tail] = {}

    async def read(
        self, session_id: str | None, limit: int | None = None, *, is_wanted: Callable[[Fields], bool] | None = None
    ) -> list[Fields]:
        """The newest messages that are wanted, ``limit`` at most, the oldest first.

        Where older ones are left out, they do not begin with results whose calls are left out.
        """

        async def newest(annals: AsyncAnnals, conversation_id: str) -> list[Fields]:
            page_size = PAGE if limit is None else min(limit + 1, PAGE)
            found: list[Fields] = []
            seen: list[Message] = []
            is_cut = False
            async for message in _newest_first(annals, conversation_id, page_size=page_size):
                if len(seen) <= TAIL:
                    seen.append(message)
                fields = None if _is_hidden(message) else from_ledger(message)
                if fields is not None and (is_wanted is None or is_wanted(fields)):
                    if is_cut := len(found) == limit:
                        break
                    found.append(fields)
            self._keep(conversation_id, _tail_of(seen, is_whole=not is_cut))
            return _without_orphans(found[::-1]) if is_cut else found[::-1]

        return await self._sessions.afind(self._scope.session(session_id), newest) or []

    async def add(self, session_id: str | None, given: Sequence[Fields], made: Sequence[Fields] | None = None) -> None:
        """Append what is not stored yet. Of two writers at once who have the same, one appends it.

        Parameters
        ----------
        given : new messages, or all that was said so far with new ones at the end
        made : what a run made of what it was given

        Raises
        ------
        PreconditionFailed : others write all the time
        """
        if not given and not made:
            return

        async def append(annals: AsyncAnnals, conversation_id: str) -> None:
            tail = self._tails.pop(conversation_id, None)
            addition = _Addition(annals, conversation_id, [*given], None if made is None else [*made], tail)
            for _ in range(TRIES - 1):
                try:
                    return self._keep(conversation_id, await addition.append())
                except PreconditionFailed as lost:
                    addition.lose(lost.current or 0)
            return self._keep(conversation_id, await addition.append())

        await self._sessions.ause(self._scope.session(session_id), append)

    async def clear(self, session_id: str | None) -> None:
        """Begin the transcript anew; the ledger keeps what was said."""

        async def rewind(annals: AsyncAnnals, conversation_id: str) -> None:
            self._tails.pop(conversation_id, None)
            await annals.conversations.clear_messages(conversation_id)

        await self._sessions.afind(self._scope.session(session_id), rewind)

    async def find_conversation(self, session_id: str | None) -> str | None:
        """The id of the conversation that a session is; None where nothing was said in it."""

        async def itself(_: AsyncAnnals, conversation_id: str) -> str:
            return conversation_id

        return await self._sessions.afind(self._scope.session(session_id), itself)

    async def list_ids(self) -> list[str]:
        """The ids of the sessions, in order. One that was begun a moment ago may be missing still."""
        wanted: ConversationFilter = {"memory_space_id": self._scope.application_id}
        if self._scope.user_id is not None:
            wanted["user_id"] = self._scope.user_id
        found = {
            self._scope.find_id(conversation.session_id)
            async for conversation in self._clients.asynchronous.conversations.list(**wanted)
            if conversation.participants.get("userId") == self._scope.user_id
        }
        return sorted(session_id for session_id in found if session_id is not None)

    def _keep(self, conversation_id: str, tail: Tail) -> None:
        """Remember the end of a conversation: an append that follows it need not ask for it, and fails if it moved."""
        self._tails.pop(conversation_id, None)
        self._tails[conversation_id] = tail
        for oldest in [*self._tails][:-TAILS]:
            self._tails.pop(oldest, None)


@dataclass
class _Addition:
    """Messages on their way to the end of a conversation.

    ``tail`` is that end, as far as it is known; ``records_to`` is the newest seq of what are no messages, but records.
    """

    annals: AsyncAnnals
    conversation_id: str
    given: list[Fields]
    made: list[Fields] | None
    tail: Tail | None
    records_to: int = 0

    async def append(self) -> Tail:
        """Append what is not stored yet: the new end. Raises PreconditionFailed where somebody else wrote meanwhile."""
        reach = self._reach()
        tail = self.tail if self.tail is not None and self.tail.reaches(reach) else await self._read_tail(reach)
        left = self._left(tail)
        if not left and tail is self.tail:  # no append will tell whether that is still the end
            tail = await self._read_tail(reach)
            left = self._left(tail)
        for entry in _entries(left):
            bodies = [await _sendable(self.annals, body) for body in entry]
            appended = await self.annals.messages.append_many(self.conversation_id, bodies, if_match=tail.seq)
            stored, left = left[: len(entry)], left[len(entry) :]
            tail = tail.followed_by(appended.tail_seq, [*map(identity_of, stored)])
            self.given, self.made, self.tail = left, None, tail
        return tail

    def lose(self, current: int) -> None:
        """The end is another one, and has this seq at least."""
        self.tail, self.records_to = None, max(current, self.records_to)

    async def _read_tail(self, reach: int) -> Tail:
        newest = _newest_first(self.annals, self.conversation_id, limit=reach, page_size=min(reach, PAGE))
        messages = [message async for message in newest]
        tail = _tail_of(messages, is_whole=len(messages) < reach, length=reach)
        return replace(tail, seq=max(tail.seq, self.records_to))

    def _reach(self) -> int:
        """How many of the newest messages say what is stored already."""
        if self.made is None or not is_transcript([*map(identity_of, self.given)]):
            return len(self.given) + 1
        return 2 * (len(self.given) + len(self.made)) + 1

    def _left(self, tail: Tail) -> list[Fields]:
        """The messages that are not stored yet."""
        given = [*map(identity_of, self.given)]
        if self.made is None:
            return self.given[count_known(tail.messages, given) :]
        made = [*map(identity_of, self.made)]
        return [*self.given, *self.made][count_known_of_run(tail.messages, given, made) :]


def _tail_of(newest_first: Sequence[Message], *, is_whole: bool, length: int = TAIL) -> Tail:
    """The end of a conversation, of its newest messages."""
    messages = [None if _is_hidden(message) else identity_of(from_ledger(message)) for message in newest_first[:length]]
    seq = newest_first[0].seq if newest_first else 0
    return Tail(seq, tuple(messages[::-1]), is_whole and len(newest_first) <= length)


async def _newest_first(
    annals: AsyncAnnals, conversation_id: str, *, page_size: int, limit: int | None = None
) -> AsyncIterator[Message]:
    """A conversation's messages from the newest on, each with its parts."""
    async for message in annals.messages.list(conversation_id, order="desc", limit=limit, page_size=page_size):
        yield await annals.messages.restore(conversation_id, message) if has_parts(message) else message


def _is_hidden(message: Message) -> bool:
    """Whether a message has no words any more: it is redacted, or the stored ones are not those that were appended."""
    if message.status == "damaged":
        logger.error("The stored words of message %s are damaged: they are left out", message.message_id)
    return message.status in ("redacted", "damaged")


def _without_orphans(messages: list[Fields]) -> list[Fields]:
    """Messages without results at their beginning whose calls are not among them."""
    calls = set().union(*map(call_ids_of, messages))
    first = next((at for at, fields in enumerate(messages) if result_ids_of(fields) <= calls), len(messages))
    return messages[first:]


def _entries(messages: Sequence[Fields]) -> Iterator[list[dict[str, Any]]]:
    """Messages as appends take them, as many at once as one entry is sure to hold."""
    entry: list[dict[str, Any]] = []
    room = ENTRY_BYTES
    for body in map(to_annals, messages):
        size = _size_of(body)
        if entry and size > room:
            yield entry
            entry, room = [], ENTRY_BYTES
        entry.append(body)
        room -= size
    if entry:
        yield entry


async def _sendable(annals: AsyncAnnals, body: dict[str, Any]) -> dict[str, Any]:
    """A message that fits into a request, with references where its long texts were."""
    if _size_of(body) <= REQUEST_BYTES:
        return body
    return {name: await _with_uploads(annals, value) for name, value in body.items()}


async def _with_uploads(annals: AsyncAnnals, value: Any) -> Any:
    if isinstance(value, dict):
        return {name: await _with_uploads(annals, part) for name, part in value.items()}
    if isinstance(value, list):
        return [await _with_uploads(annals, part) for part in value]
    if isinstance(value, str) and len(value) > UPLOAD_CHARS:
        return await annals.messages.upload(value.encode(), media_type="text/plain", encoding="text")
    return value


def _size_of(body: dict[str, Any]) -> int:
    return len(json.dumps(body, ensure_ascii=False).encode())
