"""Documents as the API shows them, and addresses as it names them."""

from __future__ import annotations

from typing import Any, cast

from annals.documents.addresses import Address, Owner
from annals.documents.document_items import StoredDocument
from annals.documents.models import DocumentAddress, DocumentResponse, OfOwner
from annals.times import to_rfc3339

OWNER_FIELDS = {"conversation": "conversationId", "space": "memorySpaceId", "agent": "agentId", "user": "userId"}

NOT_READ: Any = object()
"""Stands for a value that is not shown."""


def owner_of(tenant: str, named: OfOwner) -> Owner:
    """Whose documents a request means."""
    if named.conversation_id is not None:
        return Owner(tenant, "conversation", named.conversation_id)
    if named.memory_space_id is not None:
        return Owner(tenant, "space", named.memory_space_id)
    if named.agent_id is not None:
        return Owner(tenant, "agent", named.agent_id)
    return Owner(tenant, "tenant") if named.user_id is None else Owner(tenant, "user", named.user_id)


def person_of(named: OfOwner) -> str | None:
    """The user whose data is meant, beside another owner."""
    is_owner = named.conversation_id is None and named.memory_space_id is None and named.agent_id is None
    return None if is_owner else named.user_id


def address_of(tenant: str, named: DocumentAddress) -> Address:
    """The address that a request names."""
    return Address(owner_of(tenant, named), named.collection, tuple(named.namespace), named.key)


def present_document(document: StoredDocument, value: Any = NOT_READ) -> DocumentResponse:
    """A document as the API shows it."""
    address = document.address
    shown: dict[str, Any] = {}
    if address.owner.kind != "tenant":
        shown[OWNER_FIELDS[address.owner.kind]] = address.owner.id
    if document.user_id is not None:
        shown["userId"] = document.user_id
    shown |= {"collection": address.collection, "namespace": [*address.namespace], "key": address.key}
    if value is not NOT_READ:
        shown["value"] = value
    shown["version"] = document.version
    shown |= {"createdAt": to_rfc3339(document.created_at), "updatedAt": to_rfc3339(document.updated_at)}
    if document.expires_at is not None:
        shown["expiresAt"] = to_rfc3339(document.expires_at * 1000)
    if document.ttl_s is not None:
        shown["ttlSeconds"] = document.ttl_s
    return cast("DocumentResponse", shown)
