"""Annals from Python: append-only conversation memory for AI agents.

``Annals`` is the client, ``AsyncAnnals`` the one for asyncio; ``errors`` has what they raise, ``models`` what they
return, ``events`` what streamed turns tell.
"""

from annals_client.chunks import Progress
from annals_client.client import Annals, AsyncAnnals
from annals_client.errors import (
    AnnalsError,
    Conflict,
    ConnectionFailed,
    Erased,
    Forbidden,
    InvalidArgument,
    NotFound,
    PreconditionFailed,
    RateLimited,
    ReplyNotStored,
    ServerFailed,
    StreamEmpty,
    StreamFailed,
    Unauthorized,
    Unavailable,
    ValidationFailed,
)
from annals_client.events import Context, Delta, Event, Result, Start
from annals_client.message_following import MessageDelta, MessageResult, MessageStart
from annals_client.resources.conversations import MissingConversation
from annals_client.resources.documents import DocumentDelete, DocumentGet, DocumentPut
from annals_client.resources.facts import NewFact
from annals_client.resources.messages import NewMessage
from annals_client.retries import NO_RETRIES, Retries
from annals_client.version import __version__

__all__ = [
    "NO_RETRIES",
    "Annals",
    "AnnalsError",
    "AsyncAnnals",
    "Conflict",
    "ConnectionFailed",
    "Context",
    "Delta",
    "DocumentDelete",
    "DocumentGet",
    "DocumentPut",
    "Erased",
    "Event",
    "Forbidden",
    "InvalidArgument",
    "MessageDelta",
    "MessageResult",
    "MessageStart",
    "MissingConversation",
    "NewFact",
    "NewMessage",
    "NotFound",
    "PreconditionFailed",
    "Progress",
    "RateLimited",
    "ReplyNotStored",
    "Result",
    "Retries",
    "ServerFailed",
    "Start",
    "StreamEmpty",
    "StreamFailed",
    "Unauthorized",
    "Unavailable",
    "ValidationFailed",
    "__version__",
]
