"""The session service."""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from hashlib import sha256
from threading import Lock
from types import TracebackType
from typing import Any
from uuid import uuid4
from weakref import WeakValueDictionary

from typing_extensions import Self

from annals_client.client import Annals, AsyncAnnals
from annals_client.errors import Conflict, Erased, NotFound, PreconditionFailed
from annals_client.filters import ConversationFilter
from annals_client.integrations.google_adk.events import (
    FRAMEWORK,
    HIDDEN,
    delta_of,
    to_event,
    to_fields,
    to_json,
)
from annals_client.integrations.google_adk.states import (
    MAX_LAG,
    TRIES,
    Loaded,
    Place,
    States,
    is_of_session,
    read_state,
    user_address,
    without_temp,
    written,
)
from annals_client.integrations.support import Clients, framework
from annals_client.models import Conversation, Message

with framework("google-adk"):
    from google.adk.errors._stale_session_error import StaleSessionError
    from google.adk.errors.already_exists_error import AlreadyExistsError
    from google.adk.errors.session_not_found_error import SessionNotFoundError
    from google.adk.events.event import Event
    from google.adk.events.event_actions import EventActions
    from google.adk.sessions.base_session_service import BaseSessionService, GetSessionConfig, ListSessionsResponse
    from google.adk.sessions.session import Session

PAGE = 200
"""How many messages one request brings."""

MAX_INITIAL_BYTES = 32_000
"""How large a state is with which a session is created, so that it is a part of the conversation itself."""

MAX_KNOWN = 1_000
"""Of how many sessions it is remembered which conversations they are, and when they were last written to."""


@dataclass(frozen=True)
class _Marker:
    """Up to which seq a session object knows its conversation."""

    conversation_id: str
    seq: int

    @staticmethod
    def find_of(session: Session) -> _Marker | None:
        """The marker of a session, or None for one that another service, or nobody, made."""
        maker, _, rest = (session._storage_update_marker or "").partition(":")
        seq, _, conversation_id = rest.partition(":")
        return _Marker(conversation_id, int(seq)) if maker == "annals" else None

    def put_into(self, session: Session) -> None:
        """Mark a session."""
        session._storage_update_marker = f"annals:{self.seq}:{self.conversation_id}"


class AnnalsSessionService(BaseSessionService):
    """Sessions in the ledger: an event is a message, appended once; states are documents with versions.

    A session belongs to its app and its user: the same id of two users is two sessions. An event that is appended to a
    session that somebody else went on with raises StaleSessionError; what is no event (a redaction, a seal) does not.
    An event that is appended again, after an error or by two who deliver it, is stored once.

    Parameters
    ----------
    client : an ``AsyncAnnals`` or an ``Annals`` to be used; else one is made of ``url`` and ``key``
    url, key : where Annals answers, and the key; else ``ANNALS_URL`` and ``ANNALS_KEY``
    memory_space_id : the memory space of all apps; without it, each app has the one of its name

    Raises
    ------
    UnsupportedFramework : on import, where google-adk is missing or of another version
    """

    def __init__(
        self,
        client: AsyncAnnals | Annals | None = None,
        *,
        url: str | None = None,
        key: str | None = None,
        memory_space_id: str | None = None,
    ) -> None:
        self.clients = Clients(client, url=url, key=key)
        self._space = memory_space_id
        self._states = States()
        self._known: OrderedDict[tuple[str, str, str], Place] = OrderedDict()
        self._touched: OrderedDict[str, float] = OrderedDict()
        self._locks: WeakValueDictionary[tuple[Any, ...], asyncio.Lock] = WeakValueDictionary()
        self._lock = Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections that were opened here."""
        await self.clients.aclose()

    def space_of(self, app_name: str) -> str:
        """The memory space of an app."""
        return app_name if self._space is None else self._space

    def name_of(self, app_name: str, session_id: str) -> str:
        """By which session id Annals knows a session: two apps in one memory space have sessions of their own."""
        return session_id if self._space is None else f"{app_name}:{session_id}"

    async def create_session(
        self,
        *,
        app_name: str,
        user_id: str,
        state: dict[str, Any] | None = None,
        session_id: str | None = None,
    ) -> Session:
        """Create a session.

        Raises
        ------
        AlreadyExistsError : the user has a session of this id
        """
        annals = self.clients.asynchronous
        session_id = (session_id or "").strip() or str(uuid4())
        initial = without_temp(EventActions(state_delta=state or {}).model_dump(mode="json")["state_delta"])
        kept = {"app": app_name, "id": session_id, **written(initial)}
        is_kept = len(json.dumps(kept)) <= MAX_INITIAL_BYTES
        try:
            made = await annals.conversations.create(
                session_id=self.name_of(app_name, session_id),
                user_id=user_id,
                memory_space_id=self.space_of(app_name),
                metadata={FRAMEWORK: kept if is_kept else {"app": app_name, "id": session_id}},
            )
        except Conflict as taken:
            if taken.code != "SESSION_ALREADY_EXISTS":
                raise
            raise AlreadyExistsError(f"Session with id {session_id} already exists.") from taken
        place = replace(_place(made), initial=initial, is_initial_kept=is_kept)
        self._know(place, session_id)
        loaded = await self._states.settle(annals, place, [])
        return _session(place, session_id, loaded, [], made.created_at.timestamp(), 0)

    async def get_session(
        self,
        *,
        app_name: str,
        user_id: str,
        session_id: str,
        config: GetSessionConfig | None = None,
    ) -> Session | None:
        """A session with its events, or with those that ``config`` asks for; None where there is none."""
        session_id = session_id.strip()
        annals = self.clients.asynchronous
        for _ in range(2):  # once more where it was erased, and perhaps made again, since it was known
            place = await self._find(app_name, user_id, session_id)
            if place is None:
                return None
            try:
                return await self._read(annals, place, session_id, config or GetSessionConfig())
            except (NotFound, Erased):
                self._forget(app_name, user_id, session_id)
        return None

    async def list_sessions(self, *, app_name: str, user_id: str | None = None) -> ListSessionsResponse:
        """The sessions of a user, or of all, with their states and without events; the least recent first."""
        annals = self.clients.asynchronous
        wanted: ConversationFilter = {
            "memory_space_id": self.space_of(app_name),
            "metadata": {FRAMEWORK: {"app": app_name}},
        }
        if user_id is not None:
            wanted["user_id"] = user_id
        found = [each async for each in annals.conversations.list(**wanted)]
        places = [_place(each) for each in found]
        states = await self._states.load_many(annals, places)
        sessions = [
            _session(place, _own_id(each), state, [], self._last_update_of(each), None)
            for each, place, state in zip(found, places, states, strict=True)
        ]
        sessions.sort(key=lambda each: (each.last_update_time, each.user_id, each.id))
        return ListSessionsResponse(sessions=sessions)

    async def delete_session(self, *, app_name: str, user_id: str, session_id: str) -> None:
        """Erase a session, and with it its state and what is remembered of it; nothing where there is none."""
        session_id = session_id.strip()
        annals = self.clients.asynchronous
        self._forget(app_name, user_id, session_id)
        for name in (self.name_of(app_name, session_id), memory_name(self.name_of(app_name, session_id))):
            found = await annals.conversations.find_session(
                name, user_id=user_id, memory_space_id=self.space_of(app_name)
            )
            if found is not None:
                self._states.forget(found.conversation_id)
                await annals.conversations.erase(found.conversation_id)

    async def get_user_state(self, *, app_name: str, user_id: str) -> dict[str, Any]:
        """The state of a user in an app, without prefixes."""
        address = user_address(self.space_of(app_name), app_name, user_id)
        document = await self.clients.asynchronous.documents.get(**address)
        return read_state(document.value) if document else {}

    async def append_event(self, session: Session, event: Event) -> Event:
        """Append an event to a session, and apply what it changes of the states.

        Raises
        ------
        SessionNotFoundError : there is no such session, or no longer
        StaleSessionError : somebody else appended events that this session object doesn't have
        """
        if event.partial:
            return event
        self._apply_temp_state(session, event)
        event = self._trim_temp_delta_state(event)
        async with self._locked(session):
            is_there = any(each.id == event.id and each == event for each in session.events)
            if is_there or not await self._append(session, event):
                return event
            session.last_update_time = event.timestamp
            return self._commit_event_to_session(session, event)

    async def _append(self, session: Session, event: Event) -> bool:
        """Store an event; False for one that the session has already."""
        annals = self.clients.asynchronous
        try:
            marker = _Marker.find_of(session)
            place = await self._place_of(session, marker)
            marker = marker or await self._mark(annals, place, session)
            values = to_json(event)
            stored = await self._store(annals, marker, values, await to_fields(annals, values))
            if stored.seq <= marker.seq:
                return False
            await self._apply(annals, place, stored.seq, delta_of(values))
        except (NotFound, Erased) as gone:
            self._forget(session.app_name, session.user_id, session.id)
            raise SessionNotFoundError(f"Session {session.id} not found.") from gone
        self._touch(place, event.timestamp)
        _Marker(place.conversation_id, stored.seq).put_into(session)
        return True

    async def _store(
        self, annals: AsyncAnnals, marker: _Marker, values: Mapping[str, Any], fields: Mapping[str, Any]
    ) -> Message:
        """Append an event right behind those that its session knows. Raises StaleSessionError."""
        # With an If-Match, a key costs nothing: so an event whose reply was lost is known again.
        key = sha256(f"{marker.conversation_id} {json.dumps(values)}".encode()).hexdigest()
        expected = marker.seq
        for _ in range(TRIES):
            try:
                appended = await annals.messages.append(
                    marker.conversation_id, if_match=expected, idempotency_key=key, **fields
                )
            except PreconditionFailed as lost:
                if await _list(annals, marker.conversation_id, after=marker.seq, limit=1):
                    detail = f"The session was modified in storage: it has events behind number {marker.seq}."
                    raise StaleSessionError(detail) from lost
                expected = lost.problem.current or 0  # behind what is no event
            else:
                return appended.messages[0]
        raise StaleSessionError("The session is being modified in storage all the time.")

    async def _apply(self, annals: AsyncAnnals, place: Place, seq: int, delta: Mapping[str, Any]) -> None:
        """Apply what an event changes; without changes, note now and then how far the session is."""
        known = self._states.known(place)
        if delta or (known is not None and seq - known.seq >= MAX_LAG):
            usable = known if is_of_session(delta) else None
            await self._states.settle(annals, place, [(seq, delta)], usable, keeps_up=True)

    async def _mark(self, annals: AsyncAnnals, place: Place, session: Session) -> _Marker:
        """The marker of a session object that no service made. Raises StaleSessionError."""
        stored = await self._read(annals, place, session.id, GetSessionConfig(num_recent_events=1))
        is_known = bool(session.events and stored.events) and session.events[-1].id == stored.events[-1].id
        if stored.events and stored.last_update_time > session.last_update_time and not is_known:
            raise StaleSessionError("The session was modified in storage since this one was made.")
        return _Marker.find_of(stored) or _Marker(place.conversation_id, 0)

    async def _read(self, annals: AsyncAnnals, place: Place, session_id: str, config: GetSessionConfig) -> Session:
        """A session as it is stored; what a writer left undone of its state is done first."""
        loaded = await self._states.load(annals, place)
        conversation_id = place.conversation_id
        if config.num_recent_events is None and config.after_timestamp is None:
            newest = wanted = behind = await _list(annals, conversation_id)
        else:
            # What is behind the states last: so that it is all that came meanwhile.
            wanted = await _wanted(annals, conversation_id, config)
            behind = await _list(annals, conversation_id, after=loaded.seq)
            are_newest = config.after_timestamp is None
            newest = behind or (wanted if are_newest else []) or await _newest(annals, conversation_id, 1)
        newest = newest[-1:]
        readable = {each.seq: each for each in [*newest, *wanted, *behind] if each.status not in HIDDEN}
        events = {seq: await to_event(annals, conversation_id, each) for seq, each in readable.items()}
        deltas = [(each.seq, events[each.seq].actions.state_delta) for each in behind if each.seq in events]
        loaded = await self._states.settle(annals, place, deltas, loaded)
        chosen = {each.seq for each in [*wanted, *behind]}
        shown = [events[seq] for seq in sorted(chosen & events.keys())]
        return _session(
            place,
            session_id,
            loaded,
            _selected(shown, config),
            await self._updated(annals, place, newest, events),
            newest[0].seq if newest else 0,
        )

    async def _updated(
        self, annals: AsyncAnnals, place: Place, newest: Sequence[Message], events: Mapping[int, Event]
    ) -> float:
        """When a session was last written to: by its newest event, or its creation."""
        for message in newest:
            event = events.get(message.seq)
            return message.timestamp.timestamp() if event is None else event.timestamp
        return (await annals.conversations.get(place.conversation_id)).created_at.timestamp()

    async def _find(self, app_name: str, user_id: str, session_id: str) -> Place | None:
        """Where a session is; None where there is none."""
        with self._lock:
            known = self._known.get((app_name, user_id, session_id))
        if known is not None:
            return known
        found = await self.clients.asynchronous.conversations.find_session(
            self.name_of(app_name, session_id), user_id=user_id, memory_space_id=self.space_of(app_name)
        )
        return None if found is None else self._know(_place(found), session_id)

    async def _place_of(self, session: Session, marker: _Marker | None) -> Place:
        """Where a session object's events go. Raises SessionNotFoundError."""
        for _ in range(2):
            place = await self._find(session.app_name, session.user_id, session.id)
            if place is None or marker is None or marker.conversation_id == place.conversation_id:
                break
            self._forget(session.app_name, session.user_id, session.id)
        if place is None or (marker is not None and marker.conversation_id != place.conversation_id):
            raise SessionNotFoundError(f"Session {session.id} not found.")
        return place

    def _know(self, place: Place, session_id: str) -> Place:
        with self._lock:
            _keep(self._known, (place.app_name, place.user_id, session_id), place)
        return place

    def _forget(self, app_name: str, user_id: str, session_id: str) -> None:
        with self._lock:
            place = self._known.pop((app_name, user_id, session_id), None)
        if place is not None:
            self._states.forget(place.conversation_id)

    def _touch(self, place: Place, timestamp: float) -> None:
        with self._lock:
            _keep(self._touched, place.conversation_id, timestamp)

    def _last_update_of(self, conversation: Conversation) -> float:
        """When a session was last written to, as far as the list knows, or this service."""
        with self._lock:
            touched = self._touched.get(conversation.conversation_id)
        listed = conversation.last_message_at or conversation.created_at
        return listed.timestamp() if touched is None else touched

    @asynccontextmanager
    async def _locked(self, session: Session) -> AsyncIterator[None]:
        """One writer of a session at a time: branches of a run share its object."""
        name = (id(asyncio.get_running_loop()), session.app_name, session.user_id, session.id)
        with self._lock:
            lock = self._locks.get(name)
            if lock is None:
                lock = self._locks[name] = asyncio.Lock()
        async with lock:
            yield


def is_marked(session: Session) -> bool:
    """Whether a session is one of AnnalsSessionService's, whose events are in the ledger."""
    return _Marker.find_of(session) is not None


def memory_name(name: str) -> str:
    """By which session id a session is known that is only remembered, since another service keeps it."""
    return f"memory:{name}"


def _keep(known: OrderedDict[Any, Any], key: Any, value: Any) -> None:
    known[key] = value
    known.move_to_end(key)
    while len(known) > MAX_KNOWN:
        known.popitem(last=False)


def _place(conversation: Conversation) -> Place:
    """Where the session is that a conversation is."""
    own = conversation.metadata[FRAMEWORK]
    return Place(
        conversation_id=conversation.conversation_id,
        memory_space_id=conversation.participants["memorySpaceId"],
        app_name=own["app"],
        user_id=conversation.participants["userId"],
        initial=read_state(own),
    )


def _own_id(conversation: Conversation) -> str:
    own_id: str = conversation.metadata[FRAMEWORK]["id"]
    return own_id


def _session(
    place: Place, session_id: str, state: Loaded, events: list[Event], updated: float, seq: int | None
) -> Session:
    """The framework's session; without a seq, it is none that events are appended to as they are."""
    session = Session(
        id=session_id,
        app_name=place.app_name,
        user_id=place.user_id,
        state=state.merged(),
        events=events,
        last_update_time=updated,
    )
    if seq is not None:
        _Marker(place.conversation_id, seq).put_into(session)
    return session


async def _list(annals: AsyncAnnals, conversation_id: str, *, after: int = 0, **bounds: Any) -> list[Message]:
    """A conversation's messages, from the beginning, archived ones too; a preamble, which is before all, is none."""
    listing = annals.messages.list(conversation_id, after=after, page_size=PAGE, include_archived=True, **bounds)
    return [message async for message in listing]


async def _newest(annals: AsyncAnnals, conversation_id: str, count: int) -> list[Message]:
    """The newest messages in chronological order."""
    return (await _list(annals, conversation_id, order="desc", limit=count))[::-1]


async def _wanted(annals: AsyncAnnals, conversation_id: str, config: GetSessionConfig) -> list[Message]:
    """The messages among which those are that a configuration asks for."""
    if config.num_recent_events == 0:
        return []
    if config.after_timestamp is None:
        return await _newest(annals, conversation_id, config.num_recent_events or PAGE)
    since = datetime.fromtimestamp(int(config.after_timestamp * 1000) / 1000, timezone.utc)
    return await _list(annals, conversation_id, since=since)


def _selected(events: list[Event], config: GetSessionConfig) -> list[Event]:
    after = config.after_timestamp
    found = events if after is None else [event for event in events if event.timestamp >= after]
    return found if config.num_recent_events is None else found[max(0, len(found) - config.num_recent_events) :]
