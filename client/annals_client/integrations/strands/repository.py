"""A session of Strands as a conversation: each message is one of the ledger, what changes is kept beside it."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

from annals_client.client import Annals, AsyncAnnals
from annals_client.errors import AnnalsError, Conflict, Forbidden, PreconditionFailed
from annals_client.integrations.strands.messages import OWN, MessageId, from_stored, to_fields
from annals_client.integrations.support import Clients, Sessions, framework
from annals_client.integrations.support import Session as Address
from annals_client.models import Conversation
from annals_client.models import Message as StoredMessage

with framework("strands"):
    from strands.session.repository_session_manager import RepositorySessionManager
    from strands.session.session_repository import SessionRepository
    from strands.types.exceptions import SessionException
    from strands.types.session import Session, SessionAgent, SessionMessage, SessionType

if TYPE_CHECKING:
    from strands.multiagent.base import MultiAgentBase

log = logging.getLogger(__name__)

T = TypeVar("T")

SPACE = "strands"
"""The memory space, where none is given."""

COLLECTION = "strands"
AGENTS, MULTI_AGENTS = ("agents",), ("multi-agents",)
"""Where a session's agents are among its documents."""

KNOWN_AGENTS = 10_000
"""Of how many agents it is kept what was read of them."""

REDACTED, REPLACED = "redacted by the agent", "replaced by the agent"


class SessionExists(SessionException):
    """There is a session of this id already."""


class StaleSession(SessionException):
    """Another process went on with this session since it was read here: read it again, with a new agent."""


@dataclass(frozen=True)
class KnownAgent:
    """The stored state of an agent that was read or written last; ``digest`` is that of what it says."""

    version: int
    created_at: str
    digest: str

    @staticmethod
    def of(version: int, value: Mapping[str, Any]) -> KnownAgent:
        """What is known of a stored state."""
        return KnownAgent(version, value.get("created_at", ""), _digest(value))


class AnnalsSessionRepository(SessionRepository):
    """Sessions of Strands in Annals. Threads and processes may share a session's agents.

    A session is the conversation of its id, of the user and the memory space. A message is a message of the ledger,
    stored once however often it is sent; where it is redacted or replaced, its words are gone from history and search.
    The states of agents are documents that go with the conversation. What is written by a process that did not see the
    newest is refused.

    Parameters
    ----------
    client : an Annals or AsyncAnnals to be used instead of one of ``url`` and ``key``
    url, key : where Annals answers, and the key; else ``ANNALS_URL`` and ``ANNALS_KEY``. Redacting takes the scope
        ``erase``, all else ``read`` and ``write``
    user_id : whose sessions they are: the same session id of two users is two sessions
    memory_space_id : where they are searched
    """

    def __init__(
        self,
        client: Annals | AsyncAnnals | None = None,
        *,
        url: str | None = None,
        key: str | None = None,
        user_id: str | None = None,
        memory_space_id: str = SPACE,
    ) -> None:
        self._clients = Clients(client, url=url, key=key)
        self._sessions = Sessions(self._clients)
        self._user_id = user_id
        self._space = memory_space_id
        self._known: dict[tuple[str, tuple[str, ...], str], KnownAgent] = {}
        self._lock = Lock()

    def close(self) -> None:
        """Close the connections that were opened here."""
        self._clients.close()

    def create_session(self, session: Session, **kwargs: Any) -> Session:
        """Store a new session. Raises SessionException where there is one of its id."""
        made = self._address(session.session_id).made() | {"metadata": {OWN: session.to_dict()}}
        with _as_session_error():
            try:
                self._clients.sync.conversations.create(**made)
            except Conflict as conflict:
                if conflict.code != "SESSION_ALREADY_EXISTS":
                    raise
                raise SessionExists(f"Session {session.session_id} already exists") from conflict
        return session

    def read_session(self, session_id: str, **kwargs: Any) -> Session | None:
        """The session, or None. A conversation of this session id that others began is one, too."""
        with _as_session_error():
            found = self._clients.sync.conversations.find_session(**self._address(session_id).address())
        return None if found is None else _session(session_id, found)

    def delete_session(self, session_id: str, **kwargs: Any) -> None:
        """Erase the session with all that is in it. Raises SessionException where there is none."""
        self._in(session_id, lambda annals, conversation: annals.conversations.erase(conversation))
        self._sessions.forget(self._address(session_id))
        with self._lock:
            self._known = {name: known for name, known in self._known.items() if name[0] != session_id}

    def create_agent(self, session_id: str, session_agent: SessionAgent, **kwargs: Any) -> None:
        """Store a new agent of the session. Raises SessionException where there is one of its id, or no session."""
        self._create(session_id, AGENTS, session_agent.agent_id, session_agent.to_dict())

    def read_agent(self, session_id: str, agent_id: str, **kwargs: Any) -> SessionAgent | None:
        """The agent's state, or None."""
        value = self._read(session_id, AGENTS, agent_id)
        return None if value is None else SessionAgent.from_dict(value)

    def update_agent(self, session_id: str, session_agent: SessionAgent, **kwargs: Any) -> None:
        """Store another state of an agent. One that says the same as what is stored is not written again.

        Raises
        ------
        StaleSession : another process stored one since this one read it
        SessionException : there is no such agent or session
        """
        known = self._require(session_id, AGENTS, session_agent.agent_id)
        session_agent.created_at = known.created_at or session_agent.created_at
        self._update(session_id, AGENTS, session_agent.agent_id, session_agent.to_dict(), known)

    def create_message(self, session_id: str, agent_id: str, session_message: SessionMessage, **kwargs: Any) -> None:
        """Append a message; the same one again changes nothing.

        Raises
        ------
        StaleSession : the agent has another message of this index
        SessionException : there is no such agent or session
        """
        self._require(session_id, AGENTS, agent_id)
        name = MessageId(agent_id, session_message.message_id)
        self._in(session_id, lambda annals, conversation: _append(annals, conversation, name, session_message))

    def read_message(self, session_id: str, agent_id: str, message_id: int, **kwargs: Any) -> SessionMessage | None:
        """The message of an index as it is now, or None."""

        def read(annals: Annals, conversation: str) -> SessionMessage | None:
            versions = _versions(annals, conversation, MessageId(agent_id, message_id))
            return _newest(annals, conversation, versions)

        with _as_session_error():
            return self._sessions.find(self._address(session_id), read)

    def update_message(self, session_id: str, agent_id: str, session_message: SessionMessage, **kwargs: Any) -> None:
        """Replace a message; what it said before is redacted. Raises SessionException where there is none."""
        name = MessageId(agent_id, session_message.message_id)
        self._in(session_id, lambda annals, conversation: _replace(annals, conversation, name, session_message))

    def list_messages(
        self, session_id: str, agent_id: str, limit: int | None = None, offset: int = 0, **kwargs: Any
    ) -> list[SessionMessage]:
        """An agent's messages from the index ``offset`` on, ``limit`` at most. Raises SessionException."""
        messages: list[SessionMessage] = self._in(
            session_id, lambda annals, conversation: _list(annals, conversation, agent_id, offset)
        )
        return messages if limit is None else messages[: max(0, limit)]

    def create_multi_agent(self, session_id: str, multi_agent: MultiAgentBase, **kwargs: Any) -> None:
        """Store the state of new multi-agents. Raises SessionException where there are some of this id."""
        self._create(session_id, MULTI_AGENTS, multi_agent.id, multi_agent.serialize_state())

    def read_multi_agent(self, session_id: str, multi_agent_id: str, **kwargs: Any) -> dict[str, Any] | None:
        """The state of multi-agents, or None."""
        state: dict[str, Any] | None = self._read(session_id, MULTI_AGENTS, multi_agent_id)
        return state

    def update_multi_agent(self, session_id: str, multi_agent: MultiAgentBase, **kwargs: Any) -> None:
        """Store another state of multi-agents; raises as ``update_agent``."""
        known = self._require(session_id, MULTI_AGENTS, multi_agent.id)
        self._update(session_id, MULTI_AGENTS, multi_agent.id, multi_agent.serialize_state(), known)

    def _address(self, session_id: str) -> Address:
        agent_id = None if self._user_id else "strands"
        return Address(session_id, self._user_id, self._space, agent_id)

    def _in(self, session_id: str, act: Callable[[Annals, str], T]) -> T:
        """What comes of an action on the session's conversation. Raises SessionException where there is none."""
        with _as_session_error():
            found = self._sessions.find(self._address(session_id), lambda annals, id_: (act(annals, id_),))
        if found is None:
            raise SessionException(f"Session {session_id} does not exist")
        return found[0]

    def _create(self, session_id: str, namespace: tuple[str, ...], key: str, value: Mapping[str, Any]) -> None:
        try:
            self._put(session_id, namespace, key, value, 0)
        except PreconditionFailed as failure:
            if not self._is_stored(session_id, namespace, key, value):  # by a try whose answer was lost
                raise SessionException(f"{key} already exists in session {session_id}") from failure

    def _update(
        self, session_id: str, namespace: tuple[str, ...], key: str, value: Mapping[str, Any], known: KnownAgent
    ) -> None:
        if known.digest == _digest(value):
            return
        try:
            self._put(session_id, namespace, key, value, known.version)
        except PreconditionFailed as failure:
            if self._is_stored(session_id, namespace, key, value):  # by a try whose answer was lost
                return
            self._keep(session_id, namespace, key, known)
            detail = f"The state of {key} in session {session_id} was changed by another process since it was read"
            raise StaleSession(detail) from failure

    def _put(
        self, session_id: str, namespace: tuple[str, ...], key: str, value: Mapping[str, Any], if_version: int
    ) -> None:
        """Store a document. Raises PreconditionFailed, as well as SessionException."""

        def put(annals: Annals, conversation: str) -> int:
            return annals.documents.put(
                COLLECTION, key, value, namespace=namespace, conversation_id=conversation, if_version=if_version
            ).version

        version = self._in(session_id, put)
        self._keep(session_id, namespace, key, KnownAgent.of(version, value))

    def _read(self, session_id: str, namespace: tuple[str, ...], key: str) -> Any:
        def read(annals: Annals, conversation: str) -> Any:
            return annals.documents.get(COLLECTION, key, namespace=namespace, conversation_id=conversation)

        with _as_session_error():
            document = self._sessions.find(self._address(session_id), read)
        if document is None:
            return None
        self._keep(session_id, namespace, key, KnownAgent.of(document.version, document.value))
        return document.value

    def _is_stored(self, session_id: str, namespace: tuple[str, ...], key: str, value: Mapping[str, Any]) -> bool:
        """Whether a state is the one that is stored."""
        stored = self._read(session_id, namespace, key)
        return stored is not None and _digest(stored) == _digest(value)

    def _keep(self, session_id: str, namespace: tuple[str, ...], key: str, known: KnownAgent) -> None:
        """Know an agent, and forget the first one where there are too many."""
        with self._lock:
            self._known[session_id, namespace, key] = known
            while len(self._known) > KNOWN_AGENTS:
                del self._known[next(iter(self._known))]

    def _require(self, session_id: str, namespace: tuple[str, ...], key: str) -> KnownAgent:
        """What is known of an agent. Raises SessionException where there is none."""
        known = self._known.get((session_id, namespace, key))
        if known is None and self._read(session_id, namespace, key) is not None:
            known = self._known.get((session_id, namespace, key))
        if known is None:
            raise SessionException(f"{key} in session {session_id} does not exist")
        return known


class AnnalsSessionManager(RepositorySessionManager):
    """Keeps an agent's session in Annals, message by message: ``Agent(session_manager=AnnalsSessionManager("s"))``.

    Parameters
    ----------
    session_id : the session, which is made if it is missing
    client, url, key, user_id, memory_space_id : as of AnnalsSessionRepository
    """

    def __init__(
        self,
        session_id: str,
        client: Annals | AsyncAnnals | None = None,
        *,
        url: str | None = None,
        key: str | None = None,
        user_id: str | None = None,
        memory_space_id: str = SPACE,
        **kwargs: Any,
    ) -> None:
        repository = AnnalsSessionRepository(client, url=url, key=key, user_id=user_id, memory_space_id=memory_space_id)
        try:
            super().__init__(session_id=session_id, session_repository=repository, **kwargs)
        except SessionExists:  # another process was quicker to make it
            super().__init__(session_id=session_id, session_repository=repository, **kwargs)


@contextmanager
def _as_session_error() -> Iterator[None]:
    """Raise what Annals refuses as Strands' exception, but for a condition that does not hold."""
    try:
        yield
    except PreconditionFailed:
        raise
    except AnnalsError as failure:
        raise SessionException(str(failure)) from failure


def _digest(value: Mapping[str, Any]) -> str:
    """What tells a state from another one, whenever it was taken."""
    said = {name: part for name, part in value.items() if name not in ("created_at", "updated_at")}
    return sha256(json.dumps(said, sort_keys=True, default=str).encode()).hexdigest()


def _session(session_id: str, found: Conversation) -> Session:
    own = dict(found.metadata.get(OWN, {}))
    return Session(
        session_id=session_id,
        session_type=SessionType(own.get("session_type", SessionType.AGENT)),
        created_at=own.get("created_at", found.created_at.isoformat()),
        updated_at=own.get("updated_at", found.updated_at.isoformat()),
    )


def _append(annals: Annals, conversation: str, name: MessageId, message: SessionMessage) -> None:
    fields = to_fields(annals, message)
    try:
        annals.messages.append(conversation, external_id=name.external_id, **fields)
    except Conflict as conflict:
        if conflict.code != "EXTERNAL_ID_TAKEN":
            raise
        detail = f"{name.agent_id} has another message {name.index}: another process went on with this session"
        raise StaleSession(detail) from conflict


def _versions(annals: Annals, conversation: str, name: MessageId) -> list[tuple[MessageId, StoredMessage]]:
    """A message and those that replaced it, the newest last; each was redacted when the next one came."""
    versions: list[tuple[MessageId, StoredMessage]] = []
    while (found := annals.messages.find(conversation, name.external_id)) is not None:
        versions.append((name, found))
        name = name.next()
    return versions


def _newest(
    annals: Annals, conversation: str, versions: list[tuple[MessageId, StoredMessage]]
) -> SessionMessage | None:
    if not versions or versions[-1][1].role is None:
        return None
    name, stored = versions[-1]
    return from_stored(annals, conversation, stored, name.index)


def _replace(annals: Annals, conversation: str, name: MessageId, message: SessionMessage) -> None:
    """Append what takes a message's place, and redact what it said. A retry does what is left to do."""
    versions = _versions(annals, conversation, name)
    if not versions:
        raise SessionException(f"Message {name.index} does not exist")
    newest = _newest(annals, conversation, versions)
    message.created_at = newest.created_at if newest else message.created_at
    shown = SessionMessage(**{**vars(message), "message": message.to_message()})
    if newest is None or newest.to_dict() != shown.to_dict():
        _append(annals, conversation, versions[-1][0].next(), message)
        old = versions
    else:
        old = versions[:-1]
    _redact(annals, conversation, [stored for _, stored in old], REDACTED if message.redact_message else REPLACED)


def _redact(annals: Annals, conversation: str, messages: list[StoredMessage], reason: str) -> None:
    for message in messages:
        if message.role is not None:
            annals.messages.redact(conversation, message.message_id, reason=reason)


def _complete(annals: Annals, conversation: str, replaced: list[StoredMessage]) -> None:
    """Redact what was replaced, where the process that replaced it ended before, or might not."""
    try:
        _redact(annals, conversation, replaced, REPLACED)
    except Forbidden as failure:
        log.error("Messages that an agent replaced are still in the conversation %s: %s", conversation, failure)


def _list(annals: Annals, conversation: str, agent_id: str, offset: int) -> list[SessionMessage]:
    newest: dict[int, tuple[MessageId, StoredMessage]] = {}
    replaced: list[StoredMessage] = []
    begin = annals.messages.find(conversation, MessageId(agent_id, offset).external_id) if offset > 0 else None
    after = begin.seq - 1 if begin else None
    for stored in annals.messages.list(conversation, after=after, include_archived=True, page_size=1000):
        name = MessageId.find(stored.external_id)
        if name is None or name.agent_id != agent_id or name.index < offset:
            continue
        before = newest.get(name.index)
        if before is not None:
            replaced.append(before[1])
        newest[name.index] = name, stored
    _complete(annals, conversation, replaced)
    return [from_stored(annals, conversation, newest[index][1], index) for index in sorted(newest)]
