"""Locks: which conversation some participants share, decided by the condition of one item; an index could not."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from annals.conversations.genesis import AGENT_AGENT, Genesis
from annals.database.dynamodb import client, from_item, to_item
from annals.database.keys import escape, item_key, partition_key
from annals.database.state import delete_if
from annals.settings import settings


def lock_pk(tenant: str, kind: str, participants: Mapping[str, str]) -> str:
    """The partition key of the lock of some participants; the order of two agents does not matter.

    It names a digest of them, since four long ids would not fit into a key.
    """
    ids = dict(participants)
    if kind == AGENT_AGENT:
        ids["agent1"], ids["agent2"] = sorted((ids["agent1"], ids["agent2"]))
    parts = [f"{name}={escape(ids[name])}" for name in sorted(ids)]
    return partition_key(tenant, "U", sha256("#".join([kind, *parts]).encode()).hexdigest())


def find_locked_conversation(pk: str) -> str | None:
    """The id of the conversation for which the participants are locked, or None."""
    item = client().get_item(TableName=settings().state_table, Key=_key(pk), ConsistentRead=True).get("Item")
    return from_item(item)["conversationId"] if item else None


def lock_put(pk: str, conversation_id: str, erased: str | None) -> dict[str, Any]:
    """The part of a transaction that locks the participants for a conversation; one that was erased loses the lock."""
    condition = "attribute_not_exists(pk)"
    values = {}
    if erased:
        condition += " OR conversationId = :erased"
        values = {"ExpressionAttributeValues": {":erased": {"S": erased}}}
    return {
        "Put": {
            "TableName": settings().state_table,
            "Item": to_item({"pk": pk, "sk": "U", "conversationId": conversation_id}),
            "ConditionExpression": condition,
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            **values,
        }
    }


def release_lock(genesis: Genesis) -> None:
    """Release the lock of a conversation's participants, if it has it: the lock's key was made of their ids."""
    key = _key(lock_pk(genesis.tenant, genesis.type, genesis.participants))
    delete_if(key, "conversationId = :own", {":own": genesis.conversation_id})


def _key(pk: str) -> dict[str, Any]:
    return item_key(pk, "U")
