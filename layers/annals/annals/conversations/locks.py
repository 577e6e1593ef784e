"""Locks: which conversation some participants share, or is a session; the condition of one item decides that.

An index could not.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from annals.conversations.genesis import AGENT_AGENT, Genesis
from annals.database.dynamodb import client, from_item, to_item
from annals.database.keys import escape, item_key, partition_key
from annals.database.state import delete_if
from annals.settings import settings

SESSION_OWNERS = ("memorySpaceId", "userId")
"""The participants that are part of a session's name: the same session id of two users is two sessions."""


def lock_pk(tenant: str, kind: str, participants: Mapping[str, str]) -> str:
    """The partition key of the lock of some participants; the order of two agents does not matter.

    It names a digest of them, since four long ids would not fit into a key.
    """
    ids = dict(participants)
    if kind == AGENT_AGENT:
        ids["agent1"], ids["agent2"] = sorted((ids["agent1"], ids["agent2"]))
    return _digest_pk(tenant, kind, ids)


def session_lock_pk(tenant: str, session_id: str, owners: Mapping[str, str]) -> str:
    """The partition key of the lock of a session. Its user and its memory space, if it has them, are part of its name.

    ``owners`` may hold more participants: an agent does not make another session.
    """
    ids = {name: owners[name] for name in SESSION_OWNERS if name in owners}
    return _digest_pk(tenant, "session", {**ids, "sessionId": session_id})


def _digest_pk(tenant: str, kind: str, ids: Mapping[str, str]) -> str:
    parts = [f"{name}={escape(ids[name])}" for name in sorted(ids)]
    return partition_key(tenant, "U", sha256("#".join([kind, *parts]).encode()).hexdigest())


def find_locked_conversation(pk: str) -> str | None:
    """The id of the conversation that has a lock, or None."""
    item = client().get_item(TableName=settings().state_table, Key=_key(pk), ConsistentRead=True).get("Item")
    return from_item(item)["conversationId"] if item else None


def lock_put(pk: str, conversation_id: str, erased: str | None) -> dict[str, Any]:
    """The part of a transaction that gives a conversation a lock; one that was erased loses it."""
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


def release_locks(genesis: Genesis) -> None:
    """Release the locks that a conversation has: that of its participants and that of its session."""
    names = [lock_pk(genesis.tenant, genesis.type, genesis.participants)]
    if genesis.session_id is not None:
        names.append(session_lock_pk(genesis.tenant, genesis.session_id, genesis.participants))
    for pk in names:
        delete_if(_key(pk), "conversationId = :own", {":own": genesis.conversation_id})


def _key(pk: str) -> dict[str, Any]:
    return item_key(pk, "U")
