"""The states of apps, users and sessions: documents with versions, which the events of the ledger are applied to.

A session's document says up to which event its deltas are applied; it is written together with those of its app and its
user, all or none. So what a process leaves undone that breaks off behind an event is done by whoever reads the session
next, once.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Any

from annals_client.client import AsyncAnnals
from annals_client.errors import PreconditionFailed
from annals_client.formats.plain_json import is_plain
from annals_client.models import Document
from annals_client.resources.documents import DocumentGet, DocumentPut

APP, OF_USER, TEMP = "app:", "user:", "temp:"
"""The prefixes of keys of states, as the framework has them."""

COLLECTION, KEY = "google-adk", "state"

TRIES = 50
"""How often a state is read anew that others change meanwhile."""

MAX_LAG = 50
"""How many events without a delta a session's document may be behind: so many are read to know its state."""

MAX_KNOWN = 500
"""How many sessions' documents are remembered."""

State = dict[str, Any]


@dataclass(frozen=True)
class Place:
    """A session: its conversation, and whose it is."""

    conversation_id: str
    memory_space_id: str
    app_name: str
    user_id: str
    initial: Mapping[str, Any] = field(default_factory=dict)
    """The state with which it was created, with prefixes."""
    is_initial_kept: bool = True
    """Whether that is in the conversation's metadata, so that it need not be written at once."""

    @property
    def has_to_begin(self) -> bool:
        """Whether what it was created with has to be written before it counts."""
        return not (self.is_initial_kept and is_of_session(self.initial))

    def app(self) -> dict[str, Any]:
        """The address of the app's state."""
        return {"memory_space_id": self.memory_space_id, "namespace": ("app", self.app_name), **_NAMES}

    def user(self) -> dict[str, Any]:
        """The address of the user's state, which is theirs: it goes and comes with what else there is of them."""
        return user_address(self.memory_space_id, self.app_name, self.user_id)

    def session(self) -> dict[str, Any]:
        """The address of the session's state."""
        return {"conversation_id": self.conversation_id, **_NAMES}


_NAMES = {"collection": COLLECTION, "key": KEY}


def user_address(memory_space_id: str, app_name: str, user_id: str) -> dict[str, Any]:
    """The address of a user's state in an app."""
    namespace = ("user", app_name, user_id)
    return {"memory_space_id": memory_space_id, "namespace": namespace, "user_id": user_id, **_NAMES}


@dataclass(frozen=True)
class Loaded:
    """The states of a session, with the versions of their documents; 0 for none.

    ``seq`` is the event up to which deltas are applied.
    """

    app: State
    user: State
    session: State
    seq: int
    app_version: int = 0
    user_version: int = 0
    session_version: int = 0

    def merged(self) -> State:
        """The state as the framework shows it."""
        app = {APP + name: value for name, value in self.app.items()}
        return {**self.session, **app, **{OF_USER + name: value for name, value in self.user.items()}}

    def applied(self, deltas: Sequence[Mapping[str, Any]], seq: int) -> Loaded:
        """The states after some deltas, up to an event."""
        app, user, session = dict(self.app), dict(self.user), dict(self.session)
        for delta in deltas:
            for name, value in delta.items():
                if name.startswith(APP):
                    app[name.removeprefix(APP)] = value
                elif name.startswith(OF_USER):
                    user[name.removeprefix(OF_USER)] = value
                elif not name.startswith(TEMP):
                    session[name] = value
        return replace(self, app=app, user=user, session=session, seq=max(seq, self.seq))


class States:
    """Reads and writes the states of sessions.

    It remembers the documents of sessions that it saw, so that an event that changes the session's state alone takes
    one write; where somebody else changed it, that fails, and the state is read anew.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[str, Loaded] = OrderedDict()
        self._lock = Lock()

    async def load(self, annals: AsyncAnnals, place: Place) -> Loaded:
        """The states as they are stored."""
        (loaded,) = await self.load_many(annals, [place])
        return loaded

    async def load_many(self, annals: AsyncAnnals, places: Sequence[Place]) -> list[Loaded]:
        """The states of several sessions as they are stored, each document read once."""
        addresses = {}
        for place in places:
            for address in (place.app(), place.user(), place.session()):
                addresses[_name(address)] = address
        results = await annals.documents.batch(DocumentGet(**address) for address in addresses.values())
        documents = {name: result.document for name, result in zip(addresses, results, strict=True)}
        return [self._loaded(place, documents) for place in places]

    def _loaded(self, place: Place, documents: Mapping[str, Document | None]) -> Loaded:
        app, user, session = (documents[_name(each)] for each in (place.app(), place.user(), place.session()))
        loaded = Loaded(
            app=_read(app),
            user=_read(user),
            session=_read(session) if session else _session_part(place.initial),
            seq=session.value["seq"] if session else 0,
            app_version=_version(app),
            user_version=_version(user),
            session_version=_version(session),
        )
        self._remember(place, loaded)
        return loaded

    async def settle(
        self,
        annals: AsyncAnnals,
        place: Place,
        events: Sequence[tuple[int, Mapping[str, Any]]],
        loaded: Loaded | None = None,
        *,
        keeps_up: bool = False,
    ) -> Loaded:
        """Apply the deltas of events, by their seqs, that are not applied yet; the states after that.

        Parameters
        ----------
        loaded : the states as they were read last
        keeps_up : whether it is noted that many events without deltas came

        Raises
        ------
        PreconditionFailed : others change the states all the time
        """
        for attempt in range(TRIES):
            before = loaded if loaded is not None and attempt == 0 else await self.load(annals, place)
            deltas = [delta for seq, delta in events if seq > before.seq]
            if before.session_version == 0 and place.has_to_begin:
                deltas = [place.initial, *deltas]
            after = before.applied(deltas, max((seq for seq, _ in events), default=0))
            if not any(deltas) and not (keeps_up and after.seq - before.seq >= MAX_LAG):
                return before
            try:
                return await self._store(annals, place, before, after)
            except PreconditionFailed:
                if attempt == TRIES - 1:
                    raise
        raise AssertionError("unreachable")

    def known(self, place: Place) -> Loaded | None:
        """The states as they were when they were seen last; those of the app and of the user may be others by now."""
        with self._lock:
            return self._known.get(place.conversation_id)

    def forget(self, conversation_id: str) -> None:
        """Remember no more of a session."""
        with self._lock:
            self._known.pop(conversation_id, None)

    async def _store(self, annals: AsyncAnnals, place: Place, before: Loaded, after: Loaded) -> Loaded:
        """Write what differs, all or nothing. Raises PreconditionFailed where others changed it meanwhile."""
        value = {"seq": after.seq, **written(after.session)}
        puts = [DocumentPut(**place.session(), value=value, if_version=before.session_version)]
        if after.app != before.app:
            puts.append(DocumentPut(**place.app(), value=written(after.app), if_version=before.app_version))
        if after.user != before.user:
            puts.append(DocumentPut(**place.user(), value=written(after.user), if_version=before.user_version))
        await annals.documents.batch(puts, atomic=len(puts) > 1)
        stored = replace(
            after,
            session_version=before.session_version + 1,
            app_version=before.app_version + (after.app != before.app),
            user_version=before.user_version + (after.user != before.user),
        )
        self._remember(place, stored)
        return stored

    def _remember(self, place: Place, loaded: Loaded) -> None:
        with self._lock:
            self._known[place.conversation_id] = loaded
            self._known.move_to_end(place.conversation_id)
            while len(self._known) > MAX_KNOWN:
                self._known.popitem(last=False)


def is_of_session(delta: Mapping[str, Any]) -> bool:
    """Whether a delta changes the state of its session alone."""
    return not any(name.startswith((APP, OF_USER)) for name in delta)


def without_temp(state: Mapping[str, Any]) -> State:
    """A state without what is of one invocation alone."""
    return {name: value for name, value in state.items() if not name.startswith(TEMP)}


def _name(address: Mapping[str, Any]) -> str:
    return json.dumps(address, sort_keys=True)


def _session_part(state: Mapping[str, Any]) -> State:
    return {name: value for name, value in state.items() if not name.startswith((APP, OF_USER, TEMP))}


def written(state: Mapping[str, Any]) -> dict[str, Any]:
    """A state as it is stored: as itself, or as a text where the server would not keep it as it is."""
    return {"state": dict(state)} if is_plain(dict(state)) else {"json": json.dumps(state)}


def read_state(value: Mapping[str, Any]) -> State:
    """The state that was written."""
    state: State = json.loads(value["json"]) if "json" in value else dict(value.get("state", {}))
    return state


def _read(document: Document | None) -> State:
    return read_state(document.value) if document else {}


def _version(document: Document | None) -> int:
    return document.version if document else 0
