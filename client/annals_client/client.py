"""The two clients: ``Annals``, and ``AsyncAnnals`` for asyncio. They have the same methods."""

from __future__ import annotations

import os
from dataclasses import dataclass
from types import TracebackType

import httpx
from typing_extensions import Self

from annals_client.calls import RequestSpec
from annals_client.methods import Resource, S, call
from annals_client.models import Health
from annals_client.resources.agents import AgentMessages
from annals_client.resources.conversations import Conversations
from annals_client.resources.documents import Documents
from annals_client.resources.facts import Facts
from annals_client.resources.keys import Keys, Receipts
from annals_client.resources.memories import Memories
from annals_client.resources.memory import Remembering
from annals_client.resources.messages import Messages
from annals_client.resources.runs import Runs
from annals_client.resources.spaces import Spaces
from annals_client.resources.users import UserMemories, Users
from annals_client.retries import Retries
from annals_client.senders import AsyncSender, Connection, Sender
from annals_client.version import __version__
from annals_client.wire import invalid

DEFAULT_RETRIES = Retries()

UNIX = "unix://"
ONE_REQUEST = httpx.Limits(max_keepalive_connections=0)
"""Connections to a socket cost nothing, and one that stays open belongs to an event loop that may end before it."""


class Service(Resource[S]):
    """What every client has: the groups of calls."""

    def __init__(self, sender: S) -> None:
        super().__init__(sender)
        self.conversations: Conversations[S] = Conversations(sender)
        self.messages: Messages[S] = Messages(sender)
        self.memory: Remembering[S] = Remembering(sender)
        self.memories: Memories[S] = Memories(sender)
        self.users: Users[S] = Users(sender)
        self.runs: Runs[S] = Runs(sender)
        self.user_memories: UserMemories[S] = UserMemories(sender)
        self.facts: Facts[S] = Facts(sender)
        self.documents: Documents[S] = Documents(sender)
        self.spaces: Spaces[S] = Spaces(sender)
        self.a2a: AgentMessages[S] = AgentMessages(sender)
        self.keys: Keys[S] = Keys(sender)
        self.receipts: Receipts[S] = Receipts(sender)

    @call("GET /v1/health", Health)
    def health(self) -> RequestSpec:
        """Whether the service is up; needs no key."""
        return RequestSpec()


class Annals(Service[Sender]):
    """A client that waits for its answers. Threads may share it.

    Parameters
    ----------
    url : where Annals answers: ``https://…``, or ``unix:///path`` of a socket; else ``ANNALS_URL``
    key : the API key; else ``ANNALS_KEY``
    timeout_s : how long to wait for the next byte of an answer
    retries : when failed requests are sent again
    http : an HTTP client to be used instead of an own one; whoever made it closes it
    """

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        *,
        timeout_s: float = 60.0,
        retries: Retries = DEFAULT_RETRIES,
        http: httpx.Client | None = None,
    ) -> None:
        self._own = http is None
        self._endpoint = _endpoint(url)
        http = http or httpx.Client(transport=self._endpoint.transport())
        super().__init__(Sender(self._endpoint.connection(key, timeout_s, retries), http))

    def to_async(self) -> AsyncAnnals:
        """A client for asyncio of the same server and key, with connections of its own."""
        of = self.sender.connection
        return AsyncAnnals(self._endpoint.name, of.key, timeout_s=of.timeout_s, retries=of.retries)

    def close(self) -> None:
        """Close the connections."""
        if self._own:
            self.sender.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncAnnals(Service[AsyncSender]):
    """A client for asyncio; see Annals for its parameters. It belongs to the event loop in which it is first used."""

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        *,
        timeout_s: float = 60.0,
        retries: Retries = DEFAULT_RETRIES,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        self._own = http is None
        self._endpoint = _endpoint(url)
        http = http or httpx.AsyncClient(transport=self._endpoint.async_transport())
        super().__init__(AsyncSender(self._endpoint.connection(key, timeout_s, retries), http))

    def to_sync(self) -> Annals:
        """A client that waits, of the same server and key, with connections of its own."""
        of = self.sender.connection
        return Annals(self._endpoint.name, of.key, timeout_s=of.timeout_s, retries=of.retries)

    async def close(self) -> None:
        """Close the connections."""
        if self._own:
            await self.sender.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


@dataclass(frozen=True)
class Endpoint:
    """Where Annals answers: a URL, and the Unix socket behind it, if it is one."""

    url: str
    socket: str | None = None

    @property
    def name(self) -> str:
        """The URL by which a client is told of it."""
        return self.url if self.socket is None else f"{UNIX}{self.socket}"

    def transport(self) -> httpx.HTTPTransport | None:
        """What reaches a socket, where there is no TLS; None where there is none."""
        return httpx.HTTPTransport(uds=self.socket, verify=False, limits=ONE_REQUEST) if self.socket else None

    def async_transport(self) -> httpx.AsyncHTTPTransport | None:
        """The same for asyncio."""
        return httpx.AsyncHTTPTransport(uds=self.socket, verify=False, limits=ONE_REQUEST) if self.socket else None

    def connection(self, key: str | None, timeout_s: float, retries: Retries) -> Connection:
        """The connection to it, with a key. Raises InvalidArgument for what is no key."""
        key = key or os.environ.get("ANNALS_KEY", "")
        if not (key.isascii() and key.isprintable() and key.strip()):
            raise invalid("key", "or ANNALS_KEY must be an API key, in printable ASCII")
        return Connection(self.url, key, timeout_s, retries, f"annals-client/{__version__}")


def _endpoint(url: str | None) -> Endpoint:
    """Where Annals answers. Raises InvalidArgument where neither the argument nor the environment says it."""
    url = url or os.environ.get("ANNALS_URL", "")
    if url.startswith(f"{UNIX}/"):
        return Endpoint("http://annals", url.removeprefix(UNIX))
    if not url.startswith(("http://", "https://")):
        raise invalid("url", f"or ANNALS_URL must begin with http://, https:// or unix:///, not {url!r}")
    try:
        httpx.URL(url)
    except (httpx.InvalidURL, UnicodeError) as failure:
        raise invalid("url", f"or ANNALS_URL must be a URL: {failure}") from failure
    return Endpoint(url.rstrip("/"))
