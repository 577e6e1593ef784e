"""A conversation's metadata: the one thing of it that may change. Its version counts the changes."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from botocore.exceptions import ClientError

from annals.conversations.heads import Head, head_key, metadata_text, project, read_head
from annals.conversations.read import read_conversation
from annals.dynamodb import client, from_item, to_item
from annals.errors import AppendConflict, PreconditionFailed
from annals.ledger.keys import conversation_pk
from annals.ledger.retry import tries
from annals.settings import settings
from annals.times import now_ms


def patch_metadata(
    tenant: str, conversation_id: str, patch: Mapping[str, Any], expected_version: int | None = None
) -> Head:
    """Merge a patch into a conversation's metadata (RFC 7396: null removes a key).

    Raises
    ------
    ConversationNotFound, ConversationErased
    PreconditionFailed : the version is not ``expected_version``
    RequestTooLarge : the merged metadata are over the limit
    AppendConflict : others kept changing the metadata
    """
    pk, change_id = conversation_pk(tenant, conversation_id), secrets.token_hex(8)
    for _ in tries(settings().append_patience_s):
        head = read_conversation(tenant, conversation_id)
        if expected_version is not None and head.version != expected_version:
            raise PreconditionFailed(expected_version, head.version)
        changed = replace(head, metadata=merged(head.metadata, patch), version=head.version + 1, changed_at=now_ms())
        if _write(pk, changed, change_id):
            return changed
        if read_head(pk) is None:
            project(pk)
    raise AppendConflict(conversation_id)


def merged(target: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON object that a merge patch makes of another."""
    result = dict(target)
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        elif isinstance(value, Mapping):
            before = result.get(name)
            result[name] = merged(before if isinstance(before, Mapping) else {}, value)
        else:
            result[name] = value
    return result


def _write(pk: str, head: Head, change_id: str) -> bool:
    """Store the metadata of a head, if its version is still the one before, or this very change made it already."""
    values = {
        ":metadata": metadata_text(head.metadata),
        ":version": head.version,
        ":before": head.version - 1,
        ":at": head.changed_at,
        ":change": change_id,
    }
    try:
        client().update_item(
            TableName=settings().state_table,
            Key=head_key(pk),
            UpdateExpression="SET metadata = :metadata, version = :version, changedAt = :at, changeId = :change",
            ConditionExpression="version = :before",
            ExpressionAttributeValues=to_item(values),
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
    except ClientError as error:
        if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
            raise
        # A change whose reply was lost is sent again by the client library, and finds itself.
        found: Any = error.response.get("Item", {})
        return from_item(found).get("changeId") == change_id
    return True
