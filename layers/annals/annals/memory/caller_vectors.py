"""Vectors that callers bring: which ones a memory space takes, and where they are in the index."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from annals.access.caller import Caller
from annals.conversations.create import NewConversation
from annals.conversations.genesis import get_genesis
from annals.conversations.read import require_conversation_access
from annals.errors import InvalidInput
from annals.ledger.append import NewRecord
from annals.memory.spaces import find_embeddings
from annals.providers.embedding import Embedder, Vector
from annals.providers.joint_embedding import in_caller_part, in_model_part
from annals.search.documents import Document
from annals.settings import settings


def require_vectors_fit(tenant: str, memory_space_id: str | None, lengths: Iterable[int | None]) -> None:
    """Require that a memory space takes vectors of so many numbers from callers; None stands for no vector.

    Raises InvalidInput INVALID_EMBEDDING.
    """
    given = {length for length in lengths if length is not None}
    if given:
        _require_length(memory_space_id, _find_dimensions(tenant, memory_space_id), given)


def require_appendable(
    caller: Caller, conversation_id: str, new: NewConversation | None, records: Sequence[NewRecord]
) -> None:
    """Require that the memory space of a conversation, or of a new one, takes the vectors of messages.

    Raises ConversationNotFound, ConversationErased, and as ``require_vectors_fit``.
    """
    lengths = [record.dimensions for record in records]
    if not any(lengths):
        return
    if new is not None:
        caller.require_space(space := new.participants.get("memorySpaceId"))
    else:
        require_conversation_access(caller, conversation_id)
        space = get_genesis(caller.tenant, conversation_id).memory_space_id
    require_vectors_fit(caller.tenant, space, lengths)


def with_given_vectors(documents: Iterable[Document], embedder: Embedder) -> list[Document]:
    """Documents with the vectors that callers brought in their places in the index, as far as it has room for them."""
    return [_with_given_vector(document, embedder) for document in documents]


def _with_given_vector(document: Document, embedder: Embedder) -> Document:
    room = settings().caller_dimensions
    if document.given_vector is None or len(document.given_vector) > room:
        return document
    vector = tuple(in_caller_part(document.given_vector, room, embedder.dimensions))
    return replace(document, vectors=(vector,), window_vector=vector)


def to_index_vector(
    tenant: str, memory_space_id: str | None, vector: Sequence[float] | None, embedder: Embedder
) -> Vector | None:
    """A vector to search by, as the index has it: a caller's in a memory space that takes such, else the model's.

    Raises InvalidInput INVALID_EMBEDDING for one of another length.
    """
    room = settings().caller_dimensions
    if vector is None or not room:
        return None if vector is None else list(vector)
    if (dimensions := _find_dimensions(tenant, memory_space_id)) is not None:
        _require_length(memory_space_id, dimensions, {len(vector)})
        if not any(vector):
            raise InvalidInput("INVALID_EMBEDDING", "embedding must not be all zeros.", field="embedding")
        return in_caller_part(vector, room, embedder.dimensions)
    if len(vector) != embedder.dimensions - room:
        detail = f"embedding must hold {embedder.dimensions - room} numbers, as the vectors of {embedder.model} do."
        raise InvalidInput("INVALID_EMBEDDING", detail, field="embedding")
    return in_model_part(vector, embedder.dimensions)


def _find_dimensions(tenant: str, memory_space_id: str | None) -> int | None:
    """How many numbers the vectors have that a memory space takes from callers; None where it takes none."""
    embeddings = find_embeddings(tenant, memory_space_id)
    return embeddings["dimensions"] if embeddings else None


def _require_length(memory_space_id: str | None, dimensions: int | None, lengths: set[int]) -> None:
    if dimensions is None:
        detail = (
            f"The memory space {memory_space_id!r} takes no vectors of callers; PUT /v1/spaces/{{id}} with embeddings "
            "says that it does."
        )
    elif lengths != {dimensions}:
        detail = f"embedding must hold {dimensions} numbers in the memory space {memory_space_id!r}."
    else:
        return
    raise InvalidInput("INVALID_EMBEDDING", detail, field="embedding")
