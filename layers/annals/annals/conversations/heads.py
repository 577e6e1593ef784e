"""Heads: what lists show of each conversation. They are derived from the ledger, except for the metadata's changes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from zlib import crc32

from botocore.exceptions import ClientError

from annals.conversations.genesis import Genesis, get_genesis
from annals.conversations.receipts import not_erased_check
from annals.database.damage import AttributeTypes, decode_item, decode_readable, find_mismatch
from annals.database.dynamodb import Item, client, from_item, to_item
from annals.database.keys import item_key, partition_key
from annals.database.state import delete_partition, read_items
from annals.database.transactions import condition_failed, current_item, run_transaction
from annals.errors import DamagedItem, RequestTooLarge
from annals.json_text import dump
from annals.ledger.entry import ERASED, OPEN, SEALED, Tail
from annals.ledger.keys import conversation_pk, split_conversation_pk
from annals.ledger.tail import LastMessage, find_last_message, read_tail
from annals.ledger.verify import Checkpoint
from annals.settings import settings

MAX_METADATA_BYTES = 128 * 1024
"""The most that a conversation's metadata may weigh as JSON."""

HEAD = "HEAD"
"""The sort key of a conversation's head."""

ANALYTICS = "FIGURES"
"""The sort key of the item that holds a conversation's analytics."""

ACTIVE, ARCHIVED = "active", "archived"
ATTRIBUTES: AttributeTypes = {
    "type": str, "participants": dict, "creation": str, "createdBy": str, "createdAt": int, "metadata": str,
    "version": int, "messageCount": int, "changedAt": int, "tailAt": int, "lastMessageAt": int, "state": str,
    "archived": bool, "seq": int, "hash": bytes,
}  # fmt: skip
OPTIONAL: AttributeTypes = {"storedAt": int, "silentSince": int, "sessionId": str}
"""The attributes of a head, with their types: first those that are always there, then those that may be."""

STATUSES = (ACTIVE, SEALED, ARCHIVED)


@dataclass(frozen=True)
class Head:
    """A conversation as lists show it.

    Times are Unix milliseconds. ``last_message_at`` is when the latest message was said, ``silent_since`` when the
    newest one, or else the conversation, was stored. ``seq`` is how far of the ledger it knows, ``archived`` whether
    all its messages are.
    """

    genesis: Genesis
    metadata: Mapping[str, Any]
    version: int
    message_count: int
    changed_at: int
    tail_at: int
    last_message_at: int | None
    silent_since: int
    state: str
    archived: bool
    seq: int
    hash: bytes

    @property
    def status(self) -> str:
        """The status that the API shows."""
        if self.state != OPEN:
            return self.state
        return ARCHIVED if self.archived else ACTIVE

    @property
    def updated_at(self) -> int:
        """When the conversation last grew or its metadata last changed."""
        return max(self.changed_at, self.tail_at)

    @property
    def pk(self) -> str:
        return conversation_pk(self.genesis.tenant, self.genesis.conversation_id)

    @property
    def checkpoint(self) -> Checkpoint:
        """A point of the chain that the ledger must still hold."""
        return Checkpoint(self.seq, self.hash)


def initial_head(genesis: Genesis, tail: Tail) -> Head:
    """The head of a conversation that has only its genesis, at a tail."""
    at = genesis.stored_at
    return Head(genesis, genesis.metadata, 1, 0, at, at, None, at, OPEN, False, tail.seq, tail.hash)


def head_fields_at(tail: Tail, newest: LastMessage | None) -> dict[str, Any]:
    """The fields of a head that follow from the ledger's tail and the newest message."""
    return {
        "message_count": tail.count,
        "tail_at": tail.at,
        "last_message_at": newest.said_at if newest else None,
        **({"silent_since": newest.stored_at} if newest else {}),
        "state": tail.state,
        "archived": newest is not None and tail.archived >= newest.seq,
        "seq": tail.seq,
        "hash": tail.hash,
    }


def head_key(pk: str) -> Item:
    return item_key(pk, HEAD)


def tenant_list_key(tenant: str, shard: int) -> str:
    return partition_key(tenant, "L", str(shard))


def space_list_key(tenant: str, memory_space_id: str, shard: int) -> str:
    return partition_key(tenant, "S", memory_space_id) + _suffix(shard)


def member_list_key(tenant: str, member: str, shard: int) -> str:
    return partition_key(tenant, "P", member) + _suffix(shard)


def _suffix(shard: int) -> str:
    """Nothing for the first shard, so that lists of one shard can be given more later."""
    return f"#{shard}" if shard else ""


def metadata_text(metadata: Mapping[str, Any]) -> str:
    """Metadata as a head holds it. Raises RequestTooLarge: a head holds two such texts in an item of 400 KB."""
    text = dump(metadata)
    if (size := len(text.encode())) > MAX_METADATA_BYTES:
        detail = f"The metadata takes {size} bytes of JSON; a conversation's may take {MAX_METADATA_BYTES}."
        raise RequestTooLarge(detail, field="metadata")
    return text


def to_head_item(head: Head) -> Item:
    """The item of a head, with the keys by which the lists find it."""
    genesis, pk = head.genesis, head.pk
    first, second = genesis.members
    hashed = crc32(pk.encode())
    tenant_shard, shard = hashed % settings().tenant_shards, hashed % settings().list_shards
    values = {
        "pk": pk,
        "sk": HEAD,
        "type": genesis.type,
        "participants": dict(genesis.participants),
        "sessionId": genesis.session_id,
        "creation": metadata_text(genesis.metadata),
        "createdBy": genesis.created_by,
        "createdAt": genesis.created_at,
        "storedAt": None if genesis.stored_at == genesis.created_at else genesis.stored_at,
        "metadata": metadata_text(head.metadata),
        "version": head.version,
        "messageCount": head.message_count,
        "changedAt": head.changed_at,
        "tailAt": head.tail_at,
        "lastMessageAt": head.last_message_at or genesis.created_at,
        "silentSince": head.silent_since,
        "state": head.state,
        "archived": head.archived,
        "seq": head.seq,
        "hash": head.hash,
        "tenantShard": tenant_list_key(genesis.tenant, tenant_shard),
        "space": space_list_key(genesis.tenant, genesis.memory_space_id, shard) if genesis.memory_space_id else None,
        "participant1": member_list_key(genesis.tenant, first, shard) if first else None,
        "participant2": member_list_key(genesis.tenant, second, shard) if second else None,
    }
    return to_item({name: value for name, value in values.items() if value is not None})


def from_head_item(item: Mapping[str, Any]) -> Head:
    """The head of a stored item. Raises Damaged where it cannot be read."""
    return decode_item(item, _from_item)


def _from_item(item: Mapping[str, Any]) -> Head:
    values = from_item(item)
    if reason := find_mismatch(values, ATTRIBUTES, OPTIONAL):
        raise DamagedItem(values["pk"], values["sk"], reason)
    tenant, conversation_id = split_conversation_pk(values["pk"])
    genesis = Genesis(
        tenant=tenant,
        conversation_id=conversation_id,
        type=values["type"],
        participants=values["participants"],
        metadata=json.loads(values["creation"]),
        created_by=values["createdBy"],
        created_at=values["createdAt"],
        stored_at=values["storedAt"] if "storedAt" in values else values["createdAt"],
        session_id=values.get("sessionId"),
    )
    return Head(
        genesis=genesis,
        metadata=json.loads(values["metadata"]),
        version=values["version"],
        message_count=values["messageCount"],
        changed_at=values["changedAt"],
        tail_at=values["tailAt"],
        last_message_at=values["lastMessageAt"] if values["messageCount"] else None,
        silent_since=values["silentSince"] if "silentSince" in values else values["lastMessageAt"],
        state=values["state"],
        archived=values["archived"],
        seq=values["seq"],
        hash=values["hash"],
    )


def find_stored_head(pk: str) -> Head | None:
    """The stored head of a conversation, which may be behind its ledger, or None."""
    item = client().get_item(TableName=settings().state_table, Key=head_key(pk), ConsistentRead=True).get("Item")
    return from_head_item(item) if item else None


def find_stored_heads(pks: Iterable[str]) -> dict[str, Head]:
    """The stored heads of many conversations, by partition key; without those that have none, or a damaged one."""
    items = read_items([head_key(pk) for pk in pks])
    return {head.pk: head for head in decode_readable(items, from_head_item)}


def project_head(pk: str) -> Head | None:
    """Bring a conversation's head up to its ledger. Doing it again, late or twice, changes nothing.

    Returns the head as it is stored now; None for a conversation that is erased, or not there.
    """
    tail = read_tail(pk)
    if tail is None:
        return None
    if tail.state == ERASED:
        delete_conversation_state(pk)
        return None
    return _advance(pk, tail) or _restore(pk, tail)


def analytics_delete(pk: str) -> dict[str, Any]:
    """The part of a transaction that deletes a conversation's analytics, if they are stored."""
    return {"Delete": {"TableName": settings().state_table, "Key": item_key(pk, ANALYTICS)}}


def state_deletes(pk: str) -> list[dict[str, Any]]:
    """The parts of a transaction that take a conversation out of the lists, and delete its analytics."""
    return [{"Delete": {"TableName": settings().state_table, "Key": head_key(pk)}}, analytics_delete(pk)]


def delete_conversation_state(pk: str) -> None:
    """Take a conversation out of the lists, and delete all that is stored beside its head."""
    delete_partition(pk)


def _advance(pk: str, tail: Tail) -> Head | None:
    """Move the stored head forward to a tail, never back. None where there is no stored head."""
    fields = head_fields_at(tail, find_last_message(pk, tail))
    values = {
        "messageCount": fields["message_count"],
        "tailAt": fields["tail_at"],
        "lastMessageAt": fields["last_message_at"],
        "silentSince": fields.get("silent_since"),
        "state": fields["state"],
        "archived": fields["archived"],
        "seq": fields["seq"],
        "hash": fields["hash"],
    }
    set_values = {name: value for name, value in values.items() if value is not None}
    try:
        response = client().update_item(
            TableName=settings().state_table,
            Key=head_key(pk),
            UpdateExpression="SET " + ", ".join(f"#{name} = :{name}" for name in set_values),
            ConditionExpression="#seq < :seq",
            ExpressionAttributeNames={f"#{name}": name for name in set_values},
            ExpressionAttributeValues=to_item({f":{name}": value for name, value in set_values.items()}),
            ReturnValues="ALL_NEW",
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
    except ClientError as error:
        if not condition_failed(error):
            raise
        stored = current_item(error.response)
        return from_head_item(stored) if stored else None
    return from_head_item(response["Attributes"])


def _restore(pk: str, tail: Tail) -> Head | None:
    """Create a head that was lost, from the ledger alone."""
    genesis = get_genesis(*split_conversation_pk(pk))
    head = replace(initial_head(genesis, tail), **head_fields_at(tail, find_last_message(pk, tail)))
    put = {
        "TableName": settings().state_table,
        "Item": to_head_item(head),
        "ConditionExpression": "attribute_not_exists(pk)",
    }
    return head if store_unless_erased(pk, {"Put": put}) else _advance(pk, tail)


def store_unless_erased(pk: str, write: dict[str, Any]) -> bool:
    """Do a write in a conversation's state, unless its erasure has begun, or the write's own condition fails.

    Otherwise, what was read in the ledger before an erasure would be there again after it. Raises WriteConflict.
    """
    tenant, conversation_id = split_conversation_pk(pk)
    return run_transaction([write, not_erased_check(tenant, conversation_id)], f"conversation {conversation_id!r}")
