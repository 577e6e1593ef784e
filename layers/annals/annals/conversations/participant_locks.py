"""Holders: which conversation some participants share, decided by one item's condition; an index could not."""

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
    """The key under which the conversation of some participants is held; the order of two agents does not matter.

    It names a digest of them, since four long ids would not fit into a key.
    """
    said = dict(participants)
    if kind == AGENT_AGENT:
        said["agent1"], said["agent2"] = sorted((said["agent1"], said["agent2"]))
    parts = [f"{name}={escape(said[name])}" for name in sorted(said)]
    return partition_key(tenant, "U", sha256("#".join([kind, *parts]).encode()).hexdigest())


def find_locked_conversation(pk: str) -> str | None:
    """The id of the conversation that is held, or None."""
    item = client().get_item(TableName=settings().state_table, Key=_key(pk), ConsistentRead=True).get("Item")
    return from_item(item)["conversationId"] if item else None


def lock_put(pk: str, conversation_id: str, erased: str | None) -> dict[str, Any]:
    """The part of a transaction that makes a conversation the one that is held, in the place of an erased one."""
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
    """Forget that a conversation is held, if it is: its key names the participants."""
    key = _key(lock_pk(genesis.tenant, genesis.type, genesis.participants))
    delete_if(key, "conversationId = :held", {":held": genesis.conversation_id})


def _key(pk: str) -> dict[str, Any]:
    return item_key(pk, "U")
