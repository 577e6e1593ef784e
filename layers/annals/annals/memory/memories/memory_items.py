"""Memories as items of the state table: the explicit ones, and raw ones that were changed.

A raw memory is its message until it is changed; then an item beside its conversation's head speaks for it. Previous
versions are items of their own, so that a memory never outgrows one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from annals.conversations.receipts import not_erased_check
from annals.database.damage import AttributeTypes, decode_item, find_mismatch, salvage_strings
from annals.database.dynamodb import Item, client, from_item, to_item
from annals.database.keys import item_key, partition_key, split_partition_key
from annals.database.state import find_item, state_item
from annals.errors import DamagedItem
from annals.json_text import dump
from annals.ledger.keys import conversation_pk, split_conversation_pk
from annals.ledger.message_state import REDACTED, SUPERSEDED_BY
from annals.memory.keys import MEMORY_PREFIX
from annals.memory.sources import SourceRef
from annals.settings import settings
from annals.times import now_ms

RAW_PREFIX, USER_PREFIX = "mem:", "um:"
"""How the ids of raw memories and of users' memories begin."""

MEMORY_ATTRIBUTES: AttributeTypes = {
    "tenant": str, "memory_id": str, "memory_space_id": str, "content": str, "importance": int, "tags": list,
    "metadata": dict, "message_ids": list, "version": int, "created_at": int, "updated_at": int, "status": str,
}  # fmt: skip
"""The attributes that every memory has, with their types."""

ACTIVE, ARCHIVED, DELETED = "active", "archived", "deleted"


@dataclass(frozen=True, kw_only=True)
class StoredMemory:
    """A memory. Times are Unix milliseconds; ``message_ids`` name the original words in the ledger.

    ``local_time`` is when it was said, where that was in another zone than UTC. ``input`` is what a user memory was
    made of, where the caller said it. ``salt`` is what the digest of the request that made it is salted with, in
    hexadecimal digits: where it goes, nothing can be told from that digest. ``external_id`` is an id that the caller
    gave it, and ``embedding`` the caller's own vector of the content, packed.
    """

    tenant: str
    memory_id: str
    memory_space_id: str
    content: str
    content_type: str = "raw"
    source_type: str = "conversation"
    user_id: str | None = None
    agent_id: str | None = None
    participant_id: str | None = None
    importance: int = 50
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    conversation_id: str | None = None
    message_ids: tuple[str, ...] = ()
    local_time: str | None = None
    input: str | None = None
    version: int = 1
    created_at: int
    updated_at: int
    status: str = ACTIVE
    salt: str | None = None
    external_id: str | None = None
    embedding: str | None = None

    @property
    def source_ref(self) -> SourceRef:
        """The words that it was made of; of a raw memory, its message."""
        return self.conversation_id, self.message_ids

    @property
    def address(self) -> Address:
        """Where its items are."""
        return Address.of(self.tenant, self.memory_id)


@dataclass(frozen=True)
class Address:
    """Where a memory's items are: the current one, and the previous versions beside it."""

    pk: str
    name: str

    @staticmethod
    def of(tenant: str, memory_id: str) -> Address:
        """The address of a memory; a raw one's is beside its conversation, a user's among all of that user."""
        if raw := split_raw_id(memory_id):
            return Address(conversation_pk(tenant, raw[0]), f"{raw[1]:012d}")
        if user := split_user_memory_id(memory_id):
            return Address(user_memories_pk(tenant, user[0]), user[1])
        return Address(partition_key(tenant, "M", memory_id), "")

    @property
    def current(self) -> Item:
        return item_key(self.pk, f"{MEMORY_PREFIX}{self.name}")

    @property
    def version_prefix(self) -> str:
        """How the sort keys of the previous versions begin."""
        return f"V#{self.name}#"

    def version(self, number: int) -> Item:
        return item_key(self.pk, f"{self.version_prefix}{number:06d}")


def split_raw_id(memory_id: str) -> tuple[str, int] | None:
    """The conversation and seq of a raw memory's id, or None for any other id."""
    conversation_id, _, seq = memory_id.removeprefix(RAW_PREFIX).rpartition(":")
    if not memory_id.startswith(RAW_PREFIX) or not conversation_id or not (seq.isascii() and seq.isdigit()):
        return None
    return (conversation_id, int(seq)) if len(seq) <= 12 and str(int(seq)) == seq else None


def user_memory_id(user_id: str, name: str) -> str:
    """The id of a user's memory; the names of one user's memories sort by when they were made."""
    return f"{USER_PREFIX}{user_id}:{name}"


def split_user_memory_id(memory_id: str) -> tuple[str, str] | None:
    """The user and the name of a user memory's id, or None for any other id."""
    user_id, _, name = memory_id.removeprefix(USER_PREFIX).rpartition(":")
    if not memory_id.startswith(USER_PREFIX) or not user_id or not name.isalnum():
        return None
    return user_id, name


def user_memories_pk(tenant: str, user_id: str) -> str:
    """The partition of all memories of a user."""
    return partition_key(tenant, "UM", user_id)


def split_memory_key(pk: str, sk: str) -> tuple[str, str]:
    """The tenant and the memory id of the key of an explicit memory, or of a user's."""
    tenant, kind, [name] = split_partition_key(pk)
    return (tenant, user_memory_id(name, sk.removeprefix(MEMORY_PREFIX))) if kind == "UM" else (tenant, name)


def to_memory_item(key: Item, memory: StoredMemory) -> Item:
    """The item of a memory, or of one of its versions. Raises RequestTooLarge."""
    values = {"memory": dump(asdict(memory)), "version": memory.version, "status": memory.status}
    words, tags = ("memory", "topics") if split_user_memory_id(memory.memory_id) else ("content", "tags")
    fields = {
        words: memory.content,
        tags: list(memory.tags),
        "input": memory.input or "",
        "metadata": memory.metadata,
        "conversationRef": list(memory.message_ids),
        "embedding": memory.embedding or "",
    }
    return state_item(key, values, kind="memory", fields=fields)


def to_tombstone_item(key: Item, memory: StoredMemory) -> Item:
    """The item that stands in the place of a deleted memory. Nothing in it says what it was, or whose."""
    tombstone = StoredMemory(
        tenant=memory.tenant,
        memory_id=memory.memory_id,
        memory_space_id=memory.memory_space_id,
        content="",
        conversation_id=memory.conversation_id,
        version=memory.version,
        created_at=memory.created_at,
        updated_at=now_ms(),
        status=DELETED,
    )
    return to_memory_item(key, tombstone)


def redaction_put(
    tenant: str, memory_id: str, memory_space_id: str, superseded_by: int | None = None
) -> dict[str, Any]:
    """The part of a transaction that deletes a raw memory because its message is redacted.

    On condition that nothing but the message ``superseded_by`` supersedes it: that one is redacted with it.
    """
    key, at = Address.of(tenant, memory_id).current, now_ms()
    redacted = StoredMemory(
        tenant=tenant,
        memory_id=memory_id,
        memory_space_id=memory_space_id,
        content="",
        created_at=at,
        updated_at=at,
    )
    condition, values = f"attribute_not_exists({SUPERSEDED_BY})", {}
    if superseded_by is not None:
        condition, values = f"{condition} OR {SUPERSEDED_BY} = :by", {":by": {"N": str(superseded_by)}}
    put = {
        "TableName": settings().state_table,
        "Item": {**to_tombstone_item(key, redacted), **to_item({REDACTED: True})},
        "ConditionExpression": condition,
        **({"ExpressionAttributeValues": values} if values else {}),
    }
    return {"Put": put}


def memory_put(key: Item, memory: StoredMemory) -> dict[str, Any]:
    """The part of a transaction that stores a memory, or one of its versions. Raises RequestTooLarge."""
    return {"Put": {"TableName": settings().state_table, "Item": to_memory_item(key, memory)}}


def replacement_writes(memory: StoredMemory, item: Item) -> list[dict[str, Any]]:
    """The parts of a transaction that put an item in a memory's place, if that one is still as it was read.

    A memory that was never changed as such is its message, and has no item yet: then there must be none, and no
    erasure of the conversation may have begun, which would have taken one away.
    """
    condition = "version = :version AND #status = :status"
    raw = split_raw_id(memory.memory_id)
    if raw and memory.version == 1 and memory.status == ACTIVE:
        condition = f"attribute_not_exists(pk) OR ({condition})"
    put = {
        "TableName": settings().state_table,
        "Item": item,
        "ConditionExpression": condition,
        "ExpressionAttributeNames": {"#status": "status"},
        "ExpressionAttributeValues": to_item({":version": memory.version, ":status": memory.status}),
    }
    return [{"Put": put}, *([not_erased_check(memory.tenant, raw[0])] if raw else [])]


def from_memory_item(item: Mapping[str, Any]) -> StoredMemory:
    """The memory of a stored item. Raises DamagedItem."""
    return decode_item(item, _from_item)


def _from_item(item: Mapping[str, Any]) -> StoredMemory:
    if SUPERSEDED_BY in item:
        return _superseded(item)
    values = json.loads(from_item(item)["memory"])
    if reason := find_mismatch(values, MEMORY_ATTRIBUTES, {}):
        raise DamagedItem(item["pk"]["S"], item["sk"]["S"], reason)
    return StoredMemory(**{**values, "tags": tuple(values["tags"]), "message_ids": tuple(values["message_ids"])})


def _superseded(item: Mapping[str, Any]) -> StoredMemory:
    """The memory that an incomplete message was, until another one superseded it: deleted."""
    tenant, conversation_id = split_conversation_pk(item["pk"]["S"])
    return StoredMemory(
        tenant=tenant,
        memory_id=f"{RAW_PREFIX}{conversation_id}:{seq_of_changed_item(item)}",
        memory_space_id="",
        content="",
        conversation_id=conversation_id,
        created_at=0,
        updated_at=0,
        status=DELETED,
    )


def salvage_memory(item: Mapping[str, Any], tenant: str, memory_id: str) -> StoredMemory:
    """As much of a memory that cannot be read as its deletion needs: whose it is and where it belongs, no words.

    Where not even its memory space can be told, it is in none, which only a caller for all spaces may see.
    """
    salvaged = salvage_strings(item, "memory")
    version = item.get("version", {}).get("N", "1")
    return StoredMemory(
        tenant=tenant,
        memory_id=memory_id,
        memory_space_id=salvaged.get("memory_space_id", ""),
        content="",
        user_id=salvaged.get("user_id"),
        agent_id=salvaged.get("agent_id"),
        conversation_id=salvaged.get("conversation_id"),
        external_id=salvaged.get("external_id"),
        version=int(version) if version.isdigit() else 1,
        created_at=0,
        updated_at=0,
    )


def find_memory_item(key: Item) -> StoredMemory | None:
    """The memory that is stored under a key, a deleted one too, or None. Raises DamagedItem."""
    item = find_item(key)
    return from_memory_item(item) if item else None


def read_changed_memories(pk: str, first: int, last: int) -> dict[int, StoredMemory]:
    """The raw memories of a conversation's seqs that were changed, archived or deleted, by seq. Raises DamagedItem."""
    return {seq_of_changed_item(item): from_memory_item(item) for item in read_changed_items(pk, first, last)}


def seq_of_changed_item(item: Mapping[str, Any]) -> int:
    """The seq of the message that the item of a raw memory speaks for."""
    return int(item["sk"]["S"].removeprefix(MEMORY_PREFIX))


def read_changed_items(pk: str, first: int, last: int) -> Iterator[Item]:
    """The items of the raw memories of a conversation's seqs that were changed, archived or deleted."""
    pages = (
        client()
        .get_paginator("query")
        .paginate(
            TableName=settings().state_table,
            KeyConditionExpression="pk = :pk AND sk BETWEEN :first AND :last",
            ExpressionAttributeValues={
                ":pk": {"S": pk},
                ":first": {"S": f"{MEMORY_PREFIX}{first:012d}"},
                ":last": {"S": f"{MEMORY_PREFIX}{last:012d}"},
            },
            ConsistentRead=True,
        )
    )
    return (item for page in pages for item in page["Items"])
