"""What the adapters share: the versions that they know, their clients, and their sessions."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from threading import Lock
from types import TracebackType
from typing import Any, TypeVar, cast
from weakref import WeakKeyDictionary

from annals_client.client import Annals, AsyncAnnals
from annals_client.errors import Erased, NotFound
from annals_client.models import Conversation

T = TypeVar("T")
A = TypeVar("A", bound="ClosesClients")

SUPPORTED: dict[str, tuple[str, ...]] = {
    "agent-framework": ("agent-framework-core>=1.23,<2",),
    "agent-framework-v1": (
        "agent-framework-core>=1.0.0b251007,<1.0.0b260212",
        "mcp<1.17",
        "pydantic<2.12",
        "websockets>=13",
    ),
    "agno": ("agno>=3.1.10,<4",),
    "agno-v1": ("agno>=1.8.4,<2",),
    "google-adk": ("google-adk>=2.13,<3",),
    "langchain": ("langchain-core>=1.7,<2",),
    "langgraph": ("langgraph>=1.2,<2", "langgraph-checkpoint>=4.3,<5"),
    "llama-index": ("llama-index-core>=0.14,<0.15",),
    "openai-agents": ("openai-agents>=0.24,<0.25",),
    "phidata": ("phidata>=2.7.10,<3", "httpx<1"),
    "pydantic-ai": ("pydantic-ai-slim>=2.68,<3",),
    "strands": ("strands-agents>=1.62,<2",),
    "vision-agents": ("vision-agents>=0.6.9,<0.7",),
}
"""Of each extra of ``annals-client``, the packages that its adapter works with."""


class UnsupportedFramework(ImportError):
    """The framework of an adapter is missing, or has a version that the adapter doesn't know."""


@contextmanager
def framework(extra: str) -> Iterator[None]:
    """Import a framework in this block.

    Raises
    ------
    UnsupportedFramework : it is missing, or of another version; the message names those that are supported, and the
        extra that installs them
    """
    for requirement in SUPPORTED[extra]:
        _require(requirement, extra)
    try:
        yield
    except ImportError as failure:
        raise UnsupportedFramework(f"{failure}. {_advice(extra)}", name=failure.name) from failure


def _require(requirement: str, extra: str) -> None:
    package, *bounds = re.split("(?=[<>]=?)|,", requirement)
    try:
        installed = version(package)
    except PackageNotFoundError as failure:
        raise UnsupportedFramework(f"{package} is not installed. {_advice(extra)}", name=package) from failure
    if not all(_is_within(installed, bound) for bound in bounds if bound):
        raise UnsupportedFramework(f"{package} {installed} is installed. {_advice(extra)}", name=package)


def _advice(extra: str) -> str:
    needed = " and ".join(SUPPORTED[extra])
    return f"This adapter needs {needed}: pip install 'annals-client[{extra}]'"


def _is_within(installed: str, bound: str) -> bool:
    """Whether a version keeps a bound such as ``>=1.8.4`` or ``<2``."""
    limit = _numbers(bound.lstrip("<>="))
    return _numbers(installed) >= limit if bound.startswith(">=") else _numbers(installed) < limit


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", text)))


class Clients:
    """The clients of an adapter: the one that it was given, or those that it makes of a URL and a key.

    Parameters
    ----------
    client : an Annals or an AsyncAnnals. It stays its maker's, who closes it. The other kind, where the adapter needs
        it, is made with the same URL, key and retries
    url, key : as of Annals, where there is no client
    """

    def __init__(
        self, client: Annals | AsyncAnnals | None = None, *, url: str | None = None, key: str | None = None
    ) -> None:
        if client is not None and (url is not None or key is not None):
            raise TypeError("Give either client=, or url= and key=, not both")
        if client is not None and not isinstance(client, Annals | AsyncAnnals):
            raise TypeError(f"client= must be an Annals or an AsyncAnnals, not {type(client).__name__}")
        self._given = client if client is not None else Annals(url, key)
        self._is_own = client is None
        self._lock = Lock()
        self._sync: Annals | None = None
        self._of_loops: WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncAnnals] = WeakKeyDictionary()

    @property
    def sync(self) -> Annals:
        """The client that waits."""
        with self._lock:
            if self._sync is None:
                self._sync = self._given.to_sync() if isinstance(self._given, AsyncAnnals) else self._given
            return self._sync

    @property
    def asynchronous(self) -> AsyncAnnals:
        """The client of the running event loop: connections belong to a loop, and an adapter may live in several."""
        if isinstance(self._given, AsyncAnnals):
            return self._given
        loop = asyncio.get_running_loop()
        with self._lock:
            found = self._of_loops.get(loop)
            if found is None:
                found = self._of_loops[loop] = self._given.to_async()
            return found

    def close(self) -> None:
        """Close the client that waits, if it was made here; see ``aclose``."""
        made = {client for client in (self._sync, self._given) if isinstance(client, Annals)}
        for client in made if self._is_own else made - {self._given}:
            client.close()

    async def aclose(self) -> None:
        """Close all that were made here, but for those of other event loops."""
        self.close()
        own = self._of_loops.pop(asyncio.get_running_loop(), None)
        if own is not None:
            await own.close()


class ClosesClients:
    """An adapter that closes the clients that were made for it: when it is told to, or at the end of ``async with``."""

    _clients: Clients

    async def aclose(self) -> None:
        """Close the client, if it was made here."""
        await self._clients.aclose()

    async def __aenter__(self: A) -> A:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


@dataclass(frozen=True)
class Session:
    """A framework's session: the conversation of that session id, of that user, in that space.

    ``agent_id`` and ``metadata`` are given to the conversation when it is made.
    """

    session_id: str
    user_id: str | None = None
    memory_space_id: str | None = None
    agent_id: str | None = None
    metadata: tuple[tuple[str, Any], ...] = ()

    def address(self) -> dict[str, Any]:
        """What it is found by."""
        scope = {"user_id": self.user_id, "memory_space_id": self.memory_space_id}
        return {"session_id": self.session_id, **_given(scope)}

    def made(self) -> dict[str, Any]:
        """What it is made of."""
        return self.address() | _given({"agent_id": self.agent_id, "metadata": dict(self.metadata) or None})


def _given(fields: dict[str, Any]) -> dict[str, Any]:
    """Those that are there; an empty id is not left out, but refused where it is sent."""
    return {name: value for name, value in fields.items() if value is not None}


class Sessions:
    """Which conversation a session is: asked for once, and again after it was erased meanwhile.

    Parameters
    ----------
    clients : the adapter's
    size : how many are remembered
    """

    def __init__(self, clients: Clients, size: int = 1000) -> None:
        self.clients = clients
        self._size = size
        self._known: dict[tuple[str, str | None, str | None], str] = {}
        self._lock = Lock()

    def use(self, session: Session, act: Callable[[Annals, str], T]) -> T:
        """What ``act`` gives for the conversation of a session, which is made if it is missing."""
        conversations = self.clients.sync.conversations
        return cast("T", self._act(session, act, lambda: conversations.get_or_create_session(**session.made())))

    def find(self, session: Session, act: Callable[[Annals, str], T]) -> T | None:
        """What ``act`` gives for the conversation of a session; None where there is none."""
        conversations = self.clients.sync.conversations
        return self._act(session, act, lambda: conversations.find_session(**session.address()))

    async def ause(self, session: Session, act: Callable[[AsyncAnnals, str], Awaitable[T]]) -> T:
        """``use`` for asyncio."""
        conversations = self.clients.asynchronous.conversations
        return cast("T", await self._aact(session, act, lambda: conversations.get_or_create_session(**session.made())))

    async def afind(self, session: Session, act: Callable[[AsyncAnnals, str], Awaitable[T]]) -> T | None:
        """``find`` for asyncio."""
        conversations = self.clients.asynchronous.conversations
        return await self._aact(session, act, lambda: conversations.find_session(**session.address()))

    def _act(
        self, session: Session, act: Callable[[Annals, str], T], ask: Callable[[], Conversation | None]
    ) -> T | None:
        annals, known = self.clients.sync, self._find_known(session)
        if known is not None:
            try:
                return act(annals, known)
            except (NotFound, Erased):
                self.forget(session)
        found = ask()
        return None if found is None else act(annals, self._keep(session, found))

    async def _aact(
        self,
        session: Session,
        act: Callable[[AsyncAnnals, str], Awaitable[T]],
        ask: Callable[[], Awaitable[Conversation | None]],
    ) -> T | None:
        annals, known = self.clients.asynchronous, self._find_known(session)
        if known is not None:
            try:
                return await act(annals, known)
            except (NotFound, Erased):
                self.forget(session)
        found = await ask()
        return None if found is None else await act(annals, self._keep(session, found))

    def forget(self, session: Session) -> None:
        """Ask for it the next time: it was erased."""
        with self._lock:
            self._known.pop(_key(session), None)

    def _find_known(self, session: Session) -> str | None:
        with self._lock:
            return self._known.get(_key(session))

    def _keep(self, session: Session, found: Conversation) -> str:
        with self._lock:
            self._known[_key(session)] = found.conversation_id
            while len(self._known) > self._size:
                del self._known[next(iter(self._known))]
        return found.conversation_id


def _key(session: Session) -> tuple[str, str | None, str | None]:
    return session.session_id, session.user_id, session.memory_space_id
