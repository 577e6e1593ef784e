"""What the API takes and gives of documents."""

from __future__ import annotations

import unicodedata
from typing import Annotated, Any, Literal, NotRequired, Self

from pydantic import AfterValidator, Field, model_validator
from typing_extensions import TypedDict

from annals.api.fields import Id, Json, Model, field_error
from annals.api.filters import JsonFilter, Omittable
from annals.privacy.masking import mask_all

MAX_LABELS, MAX_LABEL_CHARS, MAX_KEY_CHARS = 16, 256, 512

MAX_TTL_S = 10 * 365 * 24 * 3600

MAX_NAMESPACE_CHARS = 32_768
"""How long a namespace may be as JSON."""

MAX_CURSOR_CHARS = 32_768
"""How long a cursor may be; it holds a namespace and a key, sealed."""

MAX_OPERATIONS = 100
"""How many documents one request reads or writes."""


def _check_plain(value: str) -> str:
    if any(unicodedata.category(each) == "Cc" for each in value):
        raise field_error("INVALID_ID_FORMAT", "must have no control characters")
    return value


Label = Annotated[str, Field(min_length=1, max_length=MAX_LABEL_CHARS), AfterValidator(_check_plain)]
"""A part of a namespace: any text without control characters."""

Key = Annotated[str, Field(min_length=1, max_length=MAX_KEY_CHARS), AfterValidator(_check_plain)]
"""The key of a document: any text without control characters."""

Namespace = Annotated[list[Label], Field(max_length=MAX_LABELS)]

Ttl = Annotated[int, Field(ge=1, le=MAX_TTL_S)]
"""For how many seconds a document is there."""

MaskedValue = Annotated[Any, AfterValidator(mask_all)]
"""Any JSON, with personal data masked where the settings ask for that."""

OWNERS = ("conversation_id", "memory_space_id", "agent_id")
"""The fields that name an owner, beside ``user_id``. A request has one of them at most."""


class OfOwner(Model):
    """Whose documents are meant: a conversation's, a memory space's, an agent's or a user's, or else the tenant's own.

    A ``userId`` beside another owner says whose data it is: it is erased and exported with that user.
    """

    conversation_id: Id | None = None
    memory_space_id: Id | None = None
    agent_id: Id | None = None
    user_id: Id | None = None

    @model_validator(mode="after")
    def _require_one_owner(self) -> Self:
        named = [name for name in OWNERS if getattr(self, name) is not None]
        if len(named) > 1:
            raise field_error("INVALID_FORMAT", "name one of conversationId, memorySpaceId and agentId")
        return self


class OfCollection(OfOwner):
    collection: Id


class DocumentAddress(OfCollection):
    """Where a document is."""

    namespace: Namespace = Field(default_factory=list)
    key: Key


class PutDocument(DocumentAddress):
    """A document to be stored. ``ifVersion`` is the version that is there; 0 requires that there is none."""

    value: MaskedValue
    if_version: Annotated[int, Field(ge=0)] | None = None
    ttl_seconds: Ttl | None = None


class GetOperation(DocumentAddress):
    """A document to be read; ``refreshTtl`` has its time begin anew."""

    op: Literal["get"]
    refresh_ttl: bool = False


class PutOperation(PutDocument):
    """A document to be stored."""

    op: Literal["put"]


class DeleteOperation(DocumentAddress):
    """A document to be deleted; with ``ifVersion`` only that version."""

    op: Literal["delete"]
    if_version: Annotated[int, Field(ge=1)] | None = None


Operation = Annotated[GetOperation | PutOperation | DeleteOperation, Field(discriminator="op")]


class BatchOfDocuments(Model):
    """Operations on documents. With ``atomic`` all are done or none; what only reads cannot be atomic with writes."""

    operations: Annotated[list[Operation], Field(min_length=1, max_length=MAX_OPERATIONS)]
    atomic: bool = False


class InRange(OfCollection):
    """Which documents of a collection are meant.

    ``namespacePrefix`` is how their namespaces begin, label by label; ``namespace`` is exactly theirs. ``keyPrefix`` is
    how their keys begin, in one namespace: without ``namespace``, in the empty one.
    """

    namespace: Namespace | None = None
    namespace_prefix: Namespace | None = None
    key_prefix: Annotated[str, Field(max_length=MAX_KEY_CHARS), AfterValidator(_check_plain)] | None = None

    @model_validator(mode="after")
    def _require_one_range(self) -> Self:
        if self.namespace_prefix is not None and (self.namespace is not None or self.key_prefix is not None):
            raise field_error("INVALID_FORMAT", "namespacePrefix goes with neither namespace nor keyPrefix")
        return self


class ListDocuments(InRange):
    """Which documents are listed, and how; ``refreshTtl`` has the time of those that are shown begin anew."""

    filter: Omittable[JsonFilter] = None
    order: Literal["asc", "desc"] = "asc"
    limit: Annotated[int, Field(ge=1, le=1000)] = 50
    cursor: Annotated[str, Field(max_length=MAX_CURSOR_CHARS)] | None = None
    include_values: bool = True
    refresh_ttl: bool = False


class ListNamespaces(OfCollection):
    """Which namespaces are listed: those with documents, by how they begin and end.

    In ``prefix`` and ``suffix``, ``*`` stands for any label. With ``maxDepth`` longer ones are cut, and shown once.
    """

    prefix: Namespace = Field(default_factory=list)
    suffix: Namespace = Field(default_factory=list)
    max_depth: Annotated[int, Field(ge=1, le=MAX_LABELS)] | None = None
    limit: Annotated[int, Field(ge=1, le=1000)] = 100
    cursor: Annotated[str, Field(max_length=MAX_CURSOR_CHARS)] | None = None


class DeleteDocuments(InRange):
    """Which documents are deleted."""


class DocumentResponse(TypedDict):
    """A document; ``value`` where it was asked for, and is not what the request brought."""

    conversationId: NotRequired[str]
    memorySpaceId: NotRequired[str]
    agentId: NotRequired[str]
    userId: NotRequired[str]
    collection: str
    namespace: list[str]
    key: str
    value: NotRequired[Any]
    version: int
    createdAt: str
    updatedAt: str
    expiresAt: NotRequired[str]
    ttlSeconds: NotRequired[int]


class DeletedDocument(TypedDict):
    """Whether there was a document to delete."""

    deleted: bool


class OperationResult(TypedDict):
    """What came of an operation.

    Of ``get`` and ``put``, ``document``, without one where there is none; of ``delete``, ``deleted``. ``omitted`` is a
    document for which the answer had no room: it is there, and can be read by itself. ``error`` are the problem
    details of what was refused.
    """

    document: NotRequired[DocumentResponse]
    deleted: NotRequired[bool]
    omitted: NotRequired[bool]
    error: NotRequired[Json]


class BatchResponse(TypedDict):
    """What came of a batch's operations, in their order."""

    results: list[OperationResult]


class DocumentList(TypedDict):
    """A page of documents."""

    items: list[DocumentResponse]
    nextCursor: NotRequired[str]


class NamespaceList(TypedDict):
    """A page of namespaces."""

    items: list[list[str]]
    nextCursor: NotRequired[str]


class DeletedDocuments(TypedDict):
    """How many documents were deleted; ``done`` is false where the request was out of time, and is to be sent again."""

    count: int
    done: bool
