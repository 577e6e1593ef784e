"""Documents: JSON values under keys, which may change."""

from __future__ import annotations

import base64
import builtins
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from hashlib import sha256
from typing import Any, ClassVar, Literal
from uuid import uuid4

from annals_client import wire
from annals_client.calls import Repeat, RequestSpec, Steps
from annals_client.errors import AnnalsError, NotFound, PreconditionFailed, Problem, to_error, to_problem
from annals_client.listing import ListSpec
from annals_client.methods import Resource, S, StepsMethod, call, listing
from annals_client.models import (
    DeletedDocument,
    DeletedDocuments,
    Document,
    DocumentResult,
    DocumentResults,
    Namespace,
)

MAX_OPERATIONS = 100
"""How many operations the server takes in one request."""

MAX_BATCH_BYTES = 4_000_000
"""How large a request with several operations is at most."""

MAX_QUERY_CHARS = 4_000
"""How long an address may be in a URL; a longer one goes in a body."""

MAX_PART_BYTES = 2_500_000
"""How many bytes one document holds, in Base64."""

MAX_READS = 5
"""How often bytes are read anew that are replaced while they are read."""

MAX_TRIES = 50
"""How often bytes are stored anew that others replace meanwhile."""

BYTES = "$bytes"
"""The name in a document's value that says that it is bytes."""

NOT_FOUND = "DOCUMENT_NOT_FOUND"


@dataclass(frozen=True, kw_only=True)
class _Operation:
    """An operation on a document.

    The owner is one of ``conversation_id``, ``memory_space_id``, ``agent_id`` and ``user_id``, or nobody: then the
    document is the tenant's. A ``user_id`` beside another owner says whose data it is.
    """

    op: ClassVar[str]

    collection: str
    key: str
    namespace: Sequence[str] = ()
    user_id: str | None = None
    conversation_id: str | None = None
    memory_space_id: str | None = None
    agent_id: str | None = None

    def to_json(self) -> dict[str, Any]:
        """It as a request has it."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return {"op": self.op, **wire.body(**values)}


@dataclass(frozen=True, kw_only=True)
class DocumentGet(_Operation):
    """Read a document; ``refresh_ttl`` has its time begin anew."""

    op = "get"
    refresh_ttl: bool = False


@dataclass(frozen=True, kw_only=True)
class DocumentPut(_Operation):
    """Store a document, for ``ttl_seconds`` or for good.

    ``if_version`` is the version that must be there, 0 for none; without it, whatever is there is replaced.
    """

    op = "put"
    value: Any
    if_version: int | None = None
    ttl_seconds: int | None = None

    def to_json(self) -> dict[str, Any]:
        """It as a request has it: a value of None is null, and is stored as such."""
        return {**super().to_json(), "value": self.value}


@dataclass(frozen=True, kw_only=True)
class DocumentDelete(_Operation):
    """Delete a document; with ``if_version`` only that version."""

    op = "delete"
    if_version: int | None = None


DocumentOperation = DocumentGet | DocumentPut | DocumentDelete


def _address(collection: str, key: str, namespace: Sequence[str], **owner: str | None) -> dict[str, str]:
    """An address as query parameters."""
    labels = json.dumps([*namespace], ensure_ascii=False) if namespace else None
    return wire.query(collection=collection, key=key, namespace=labels, **owner)


def _is_long(query: Mapping[str, str]) -> bool:
    return sum(len(value.encode()) for value in query.values()) > MAX_QUERY_CHARS // 3


def _present(result: DocumentResult, operation: DocumentOperation) -> DocumentResult:
    """A result with the value of what was stored, which an answer does not repeat."""
    if result.document is None or not isinstance(operation, DocumentPut):
        return result
    document = result.document.model_copy(update={"value": operation.value})
    return result.model_copy(update={"document": document})


def _chunks(operations: Iterable[DocumentOperation]) -> Iterable[list[DocumentOperation]]:
    """Operations in as many requests as they take."""
    chunk: list[DocumentOperation] = []
    size = 0
    for each in operations:
        more = len(wire.encoded(each.to_json()))
        if chunk and (len(chunk) == MAX_OPERATIONS or size + more > MAX_BATCH_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append(each)
        size += more
    if chunk:
        yield chunk


class Documents(Resource[S]):
    """Store, read, list and delete documents.

    Each is a conversation's, a memory space's, an agent's or a user's, or else the tenant's own: say one of
    ``conversation_id``, ``memory_space_id``, ``agent_id`` and ``user_id``. A ``user_id`` beside another owner says
    whose data it is: it is erased and exported with that user.
    """

    @call("PUT /v1/documents", Document, Repeat.WITH_KEY)
    def _put(self, body: Mapping[str, Any], idempotency_key: str | None) -> RequestSpec:
        return RequestSpec(body=body, key=idempotency_key)

    @call("GET /v1/documents", Document)
    def _get(self, query: Mapping[str, str]) -> RequestSpec:
        return RequestSpec(query=query)

    @call("DELETE /v1/documents", DeletedDocument)
    def _delete(self, query: Mapping[str, str], if_version: int | None) -> RequestSpec:
        return RequestSpec(query=query, if_match=if_version)

    @call("POST /v1/documents/batch", DocumentResults, Repeat.WITH_KEY, inside="results")
    def _batch(self, operations: Sequence[DocumentOperation], *, atomic: bool) -> RequestSpec:
        return RequestSpec(body={"operations": [each.to_json() for each in operations], "atomic": atomic})

    @call("POST /v1/documents/delete-many", DeletedDocuments)
    def _delete_many(self, body: Mapping[str, Any]) -> RequestSpec:
        return RequestSpec(body=body)

    @StepsMethod
    def put(
        self,
        collection: str,
        key: str,
        value: Any,
        *,
        namespace: Sequence[str] = (),
        user_id: str | None = None,
        conversation_id: str | None = None,
        memory_space_id: str | None = None,
        agent_id: str | None = None,
        if_version: int | None = None,
        ttl_s: int | None = None,
        idempotency_key: str | None = None,
    ) -> Steps[Document]:
        """Store a JSON value under a key, and return the document as it is stored.

        Parameters
        ----------
        value : any JSON, up to 4 MB
        if_version : the version that must be there, 0 for none; without it, the last writer wins
        ttl_s : for how many seconds it is there; without it, for good

        Raises
        ------
        PreconditionFailed : another version is there, which ``current`` says
        Conflict : DOCUMENT_OF_ANOTHER, where it is another user's beside its owner
        NotFound, Erased : there is no such conversation, or no longer
        ValidationFailed : REQUEST_TOO_LARGE
        """
        operation = DocumentPut(
            collection=collection,
            key=key,
            value=value,
            namespace=namespace,
            user_id=user_id,
            conversation_id=conversation_id,
            memory_space_id=memory_space_id,
            agent_id=agent_id,
            if_version=if_version,
            ttl_seconds=ttl_s,
        )
        body = {name: part for name, part in operation.to_json().items() if name != "op"}
        document: Document = yield Documents._put.call(body, idempotency_key)
        return document.model_copy(update={"value": value})

    @StepsMethod
    def get(
        self,
        collection: str,
        key: str,
        *,
        namespace: Sequence[str] = (),
        user_id: str | None = None,
        conversation_id: str | None = None,
        memory_space_id: str | None = None,
        agent_id: str | None = None,
        refresh_ttl: bool = False,
    ) -> Steps[Document | None]:
        """A document with its value, or None where there is none. Strongly consistent.

        ``refresh_ttl`` has its time begin anew. Raises NotFound, Erased for a conversation that is not there.
        """
        owner = _owner(user_id, conversation_id, memory_space_id, agent_id)
        query = _address(collection, key, namespace, **owner)
        if _is_long(query):
            operation = DocumentGet(
                collection=collection, key=key, namespace=namespace, refresh_ttl=refresh_ttl, **owner
            )
            results: list[DocumentResult] = yield Documents._batch.call([operation], atomic=False)
            return _checked(results[0]).document
        try:
            document: Document = yield Documents._get.call({**query, **wire.query(refresh_ttl=refresh_ttl or None)})
        except NotFound as failure:
            if failure.code != NOT_FOUND:
                raise
            return None
        return document

    @StepsMethod
    def delete(
        self,
        collection: str,
        key: str,
        *,
        namespace: Sequence[str] = (),
        user_id: str | None = None,
        conversation_id: str | None = None,
        memory_space_id: str | None = None,
        agent_id: str | None = None,
        if_version: int | None = None,
    ) -> Steps[bool]:
        """Delete a document, with ``if_version`` only that version; False where there is none.

        Raises PreconditionFailed where another version is there.
        """
        owner = _owner(user_id, conversation_id, memory_space_id, agent_id)
        query = _address(collection, key, namespace, **owner)
        if _is_long(query):
            operation = DocumentDelete(
                collection=collection, key=key, namespace=namespace, if_version=if_version, **owner
            )
            results: list[DocumentResult] = yield Documents._batch.call([operation], atomic=False)
            return bool(_checked(results[0]).deleted)
        deleted: DeletedDocument = yield Documents._delete.call(query, if_version)
        return deleted.deleted

    @StepsMethod
    def batch(
        self, operations: Iterable[DocumentOperation], *, atomic: bool = False, raise_errors: bool = True
    ) -> Steps[builtins.list[DocumentResult]]:
        """Read, store and delete documents, and return what came of each operation, in their order.

        Operations on the same document are done one after the other. As many requests are sent as it takes; with
        ``atomic`` it is one, of up to 100 operations that store or delete, and all are done or none.

        Parameters
        ----------
        raise_errors : whether what an operation is refused for is raised, once all are tried; else ``error`` says it

        Raises
        ------
        PreconditionFailed : another version of a document is there than an operation's ``if_version``
        AnnalsError : what else an operation is refused for
        """
        todo = [*operations]
        results: builtins.list[DocumentResult] = []
        for chunk in [todo] if atomic and todo else _chunks(todo):
            answered: builtins.list[DocumentResult] = yield Documents._batch.call(chunk, atomic=atomic)
            for operation, result in zip(chunk, answered, strict=True):
                if result.omitted:
                    [result] = yield Documents._batch.call([operation], atomic=False)
                results.append(_present(result, operation))
        for result in results if raise_errors else ():
            _checked(result)
        return results

    @listing("POST /v1/documents/list", Document)
    def list(
        self,
        collection: str,
        *,
        namespace: Sequence[str] | None = None,
        namespace_prefix: Sequence[str] | None = None,
        key_prefix: str | None = None,
        filter: Mapping[str, Any] | None = None,  # noqa: A002 - the API's word
        order: Literal["asc", "desc"] | None = None,
        include_values: bool | None = None,
        refresh_ttl: bool | None = None,
        limit: int | None = None,
        page_size: int = 100,
        user_id: str | None = None,
        conversation_id: str | None = None,
        memory_space_id: str | None = None,
        agent_id: str | None = None,
    ) -> ListSpec:
        """The documents of a collection, in the order of namespace and key, ``limit`` at most. Strongly consistent.

        Parameters
        ----------
        namespace : exactly theirs
        namespace_prefix : how their namespaces begin, label by label
        key_prefix : how their keys begin, in one namespace: without ``namespace``, in the empty one
        filter : what their values meet: ``{"status": "open", "size": {"$gte": 2}}``
        include_values : whether they come with their values, as by default
        """
        body = wire.body(
            collection=collection,
            namespace=namespace,
            namespace_prefix=namespace_prefix,
            key_prefix=key_prefix,
            filter=filter,
            order=order,
            include_values=include_values,
            refresh_ttl=refresh_ttl,
            user_id=user_id,
            conversation_id=conversation_id,
            memory_space_id=memory_space_id,
            agent_id=agent_id,
        )
        return ListSpec(RequestSpec(body=body), limit, page_size)

    @listing("POST /v1/documents/namespaces", Namespace)
    def namespaces(
        self,
        collection: str,
        *,
        prefix: Sequence[str] = (),
        suffix: Sequence[str] = (),
        max_depth: int | None = None,
        limit: int | None = None,
        page_size: int = 100,
        user_id: str | None = None,
        conversation_id: str | None = None,
        memory_space_id: str | None = None,
        agent_id: str | None = None,
    ) -> ListSpec:
        """The namespaces of a collection that have documents, in their order. Strongly consistent.

        In ``prefix`` and ``suffix``, ``*`` stands for any label. With ``max_depth`` longer ones are cut, and come once.
        """
        body = wire.body(
            collection=collection,
            prefix=prefix,
            suffix=suffix,
            max_depth=max_depth,
            user_id=user_id,
            conversation_id=conversation_id,
            memory_space_id=memory_space_id,
            agent_id=agent_id,
        )
        return ListSpec(RequestSpec(body=body), limit, page_size)

    @StepsMethod
    def delete_many(
        self,
        collection: str,
        *,
        namespace: Sequence[str] | None = None,
        namespace_prefix: Sequence[str] | None = None,
        key_prefix: str | None = None,
        user_id: str | None = None,
        conversation_id: str | None = None,
        memory_space_id: str | None = None,
        agent_id: str | None = None,
    ) -> Steps[int]:
        """Delete the documents of a collection, or those that ``list`` shows for these; how many there were."""
        body = wire.body(
            collection=collection,
            namespace=namespace,
            namespace_prefix=namespace_prefix,
            key_prefix=key_prefix,
            user_id=user_id,
            conversation_id=conversation_id,
            memory_space_id=memory_space_id,
            agent_id=agent_id,
        )
        count = 0
        while True:
            deleted: DeletedDocuments = yield Documents._delete_many.call(body)
            count += deleted.count
            if deleted.done:
                return count

    @StepsMethod
    def put_bytes(
        self,
        collection: str,
        key: str,
        data: bytes,
        *,
        namespace: Sequence[str] = (),
        user_id: str | None = None,
        conversation_id: str | None = None,
        memory_space_id: str | None = None,
        agent_id: str | None = None,
        if_version: int | None = None,
        ttl_s: int | None = None,
    ) -> Steps[Document]:
        """Store bytes under a key, of any size: what one document has no room for is in several.

        The others are in the collection ``<collection>.bytes``, and are there before the one of the key, which names
        them: so whoever reads sees these bytes or those before. Returns the document of the key, whose value says how
        many bytes there are.

        Raises
        ------
        PreconditionFailed : another version is there than ``if_version``
        """
        owner = _owner(user_id, conversation_id, memory_space_id, agent_id)
        place: dict[str, Any] = {"namespace": namespace, **owner}
        value: dict[str, Any] = {"size": len(data), "sha256": sha256(data).hexdigest()}
        if len(data) <= MAX_PART_BYTES:
            value["base64"] = base64.b64encode(data).decode()
        else:
            value |= {"parts": -(-len(data) // MAX_PART_BYTES), "id": uuid4().hex}
            for number in range(value["parts"]):
                part = base64.b64encode(data[number * MAX_PART_BYTES : (number + 1) * MAX_PART_BYTES]).decode()
                yield from Documents.put.steps(
                    None, _parts_of(collection), _part_key(value, number), part, ttl_s=ttl_s, **owner
                )
        for tries_left in reversed(range(MAX_TRIES)):
            before: Document | None = yield from Documents.get.steps(None, collection, key, **place)
            version = if_version if if_version is not None else before.version if before else 0
            try:
                stored: Document = yield from Documents.put.steps(
                    None, collection, key, {BYTES: value}, if_version=version, ttl_s=ttl_s, **place
                )
            except PreconditionFailed:
                if if_version is None and tries_left:
                    continue  # others replace them, too: each deletes what it replaced
                yield from _delete_parts(collection, value, owner)
                raise
            yield from _delete_parts(collection, _bytes_of(before), owner)
            return stored
        raise AssertionError("the last try returns or raises")

    @StepsMethod
    def get_bytes(
        self,
        collection: str,
        key: str,
        *,
        namespace: Sequence[str] = (),
        user_id: str | None = None,
        conversation_id: str | None = None,
        memory_space_id: str | None = None,
        agent_id: str | None = None,
    ) -> Steps[bytes | None]:
        """The bytes that ``put_bytes`` stored under a key; None where there are none.

        Raises AnnalsError BYTES_CHANGED where they were replaced again and again while they were read.
        """
        owner = _owner(user_id, conversation_id, memory_space_id, agent_id)
        for _ in range(MAX_READS):
            document: Document | None = yield from Documents.get.steps(
                None, collection, key, namespace=namespace, **owner
            )
            if document is None:
                return None
            data = yield from _read_bytes(collection, document, owner)
            if data is not None:
                return data
        detail = f"The bytes of {key!r} are not whole: others replace them, or some of them are gone."
        raise AnnalsError(Problem(0, "BYTES_CHANGED", "Bytes changed", detail))

    @StepsMethod
    def delete_bytes(
        self,
        collection: str,
        key: str,
        *,
        namespace: Sequence[str] = (),
        user_id: str | None = None,
        conversation_id: str | None = None,
        memory_space_id: str | None = None,
        agent_id: str | None = None,
    ) -> Steps[bool]:
        """Delete the bytes that ``put_bytes`` stored, in all of their documents; False where there are none."""
        owner = _owner(user_id, conversation_id, memory_space_id, agent_id)
        place: dict[str, Any] = {"namespace": namespace, **owner}
        before: Document | None = yield from Documents.get.steps(None, collection, key, **place)
        deleted: bool = yield from Documents.delete.steps(None, collection, key, **place)
        yield from _delete_parts(collection, _bytes_of(before), owner)
        return deleted


def _owner(
    user_id: str | None, conversation_id: str | None, memory_space_id: str | None, agent_id: str | None
) -> dict[str, Any]:
    return {
        "user_id": user_id,
        "conversation_id": conversation_id,
        "memory_space_id": memory_space_id,
        "agent_id": agent_id,
    }


def _parts_of(collection: str) -> str:
    """The collection of the documents that hold the bytes of others."""
    return f"{collection}.bytes"


def _bytes_of(document: Document | None) -> Mapping[str, Any]:
    """What a document says of the bytes that ``put_bytes`` stored; empty for another one."""
    value = document.value if document else None
    found = value.get(BYTES) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}


def _read_bytes(collection: str, document: Document, owner: Mapping[str, Any]) -> Steps[bytes | None]:
    """The bytes that a document names; None where they are not whole any more. Raises InvalidArgument for another."""
    said = _bytes_of(document)
    if not said:
        raise wire.invalid("key", f"{document.key!r} is a document that put_bytes did not store")
    parts = [said["base64"]] if "base64" in said else []
    for number in range(said.get("parts", 0)):
        part: Document | None = yield from Documents.get.steps(
            None, _parts_of(collection), _part_key(said, number), **owner
        )
        if part is None:
            return None
        parts.append(part.value)
    data = b"".join(map(base64.b64decode, parts))
    return data if sha256(data).hexdigest() == said["sha256"] else None


def _delete_parts(collection: str, said: Mapping[str, Any], owner: Mapping[str, Any]) -> Steps[None]:
    """Delete the other documents of bytes that are gone, were replaced, or are not stored."""
    for number in range(said.get("parts", 0)):
        yield from Documents.delete.steps(None, _parts_of(collection), _part_key(said, number), **owner)


def _part_key(said: Mapping[str, Any], number: int) -> str:
    return f"{said['id']}.{number:04}"


def _checked(result: DocumentResult) -> DocumentResult:
    """A result. Raises what its operation was refused for."""
    if result.error is not None:
        raise to_error(to_problem(result.error, status=500))
    return result
