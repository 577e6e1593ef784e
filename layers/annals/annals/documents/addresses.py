"""Where a document is: whose it is, its collection, its namespace, and its key.

The documents of an owner are one partition, in the order of collection, namespace and key, so that each list below a
prefix is one range of it. Those of a conversation are in the conversation's own partition, and go with it. What is too
long for a sort key is cut, with a digest in place of the rest; then the item holds the address in full as well.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal

from annals.database.dynamodb import Item
from annals.database.keys import escape, item_key, partition_key, split_partition_key, unescape
from annals.ledger.keys import conversation_pk

DOCUMENT_PREFIX = "DOC#"
"""How the sort keys of documents begin."""

COLLECTION_BYTES, LABEL_BYTES, KEY_BYTES = 64, 36, 320
"""What each part of an address may take of a sort key. With 16 labels, and beside a blob's marker, that makes 1,024."""

CUT = "%~"
"""What stands before a digest; no escaped text holds it."""

DIGEST_CHARS = 22

OwnerKind = Literal["conversation", "space", "agent", "user", "tenant"]


@dataclass(frozen=True)
class Owner:
    """Whose documents are meant: a conversation's, a memory space's, an agent's, a user's, or only the tenant's."""

    tenant: str
    kind: OwnerKind
    id: str = ""


@dataclass(frozen=True)
class Address:
    """The address of a document, which no other one has."""

    owner: Owner
    collection: str
    namespace: tuple[str, ...]
    key: str

    @property
    def pk(self) -> str:
        return documents_pk(self.owner, self.collection)

    @property
    def sk(self) -> str:
        return f"{namespace_prefix(self.collection, self.namespace)}#{_fit(self.key, KEY_BYTES)}"

    @property
    def item_key(self) -> Item:
        return item_key(self.pk, self.sk)

    @property
    def is_cut(self) -> bool:
        """Whether its sort key holds only a part of it."""
        return CUT in self.sk

    def to_text_parts(self) -> list[Any]:
        """What an item holds of an address that its sort key does not hold in full."""
        return [self.collection, [*self.namespace], self.key]


def documents_pk(owner: Owner, collection: str) -> str:
    """The partition of an owner's documents; where only the tenant owns them, each collection has one."""
    if owner.kind == "conversation":
        return conversation_pk(owner.tenant, owner.id)
    return partition_key(owner.tenant, "DOC", owner.kind, collection if owner.kind == "tenant" else owner.id)


def owner_of_pk(pk: str) -> Owner:
    """Whose documents a partition holds."""
    tenant, kind, ids = split_partition_key(pk)
    if kind == "C":
        return Owner(tenant, "conversation", ids[0])
    owner_kind: Any = ids[0]
    return Owner(tenant, owner_kind, "" if owner_kind == "tenant" else ids[1])


def collection_prefix(collection: str) -> str:
    """How the sort keys of a collection's documents begin."""
    return f"{DOCUMENT_PREFIX}{_fit(collection, COLLECTION_BYTES)}#"


def namespace_prefix(collection: str, namespace: tuple[str, ...]) -> str:
    """How the sort keys of all documents in a namespace, and in those below it, begin."""
    return collection_prefix(collection) + "".join(f"{_fit(label, LABEL_BYTES)}#" for label in namespace)


def key_prefix(collection: str, namespace: tuple[str, ...], prefix: str) -> str:
    """How the sort keys begin of the documents right in a namespace whose keys begin so.

    Those of some other long keys may begin so, too.
    """
    return f"{namespace_prefix(collection, namespace)}#{_cut(escape(prefix), KEY_BYTES - len(CUT) - DIGEST_CHARS)}"


def split_sk(sk: str) -> tuple[str, tuple[str, ...], str]:
    """Collection, namespace and key of a sort key that holds them in full."""
    path, _, key = sk.removeprefix(DOCUMENT_PREFIX).partition("##")
    collection, *labels = path.split("#")
    return unescape(collection), tuple(map(unescape, labels)), unescape(key)


def after_all(prefix: str) -> str:
    """The least text that comes after all that begin so. A prefix ends with ``#``."""
    return f"{prefix[:-1]}$"


def _fit(text: str, most: int) -> str:
    """A part of an address as a sort key has it."""
    escaped = escape(text)
    if len(escaped.encode()) <= most:
        return escaped
    digest = base64.urlsafe_b64encode(sha256(text.encode()).digest()).decode()[:DIGEST_CHARS]
    return _cut(escaped, most - len(CUT) - DIGEST_CHARS) + CUT + digest


def _cut(text: str, most: int) -> str:
    return text.encode()[:most].decode(errors="ignore")
