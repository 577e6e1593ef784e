"""Changing a conversation's metadata, the one thing of it that may change. Its version counts the changes."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from botocore.exceptions import ClientError

from annals.conversations.heads import HEAD, Head, find_stored_head, head_key, metadata_text, project_head
from annals.conversations.read import get_head
from annals.database.dynamodb import client, from_item, to_item
from annals.database.transactions import condition_failed, current_item, try_transaction
from annals.errors import PreconditionFailed, WriteConflict
from annals.ledger.idempotency import IdempotentRequest, find_result, marker_put
from annals.ledger.keys import conversation_pk
from annals.retries import tries
from annals.settings import settings
from annals.times import now_ms


def patch_metadata(
    tenant: str,
    conversation_id: str,
    patch: Mapping[str, Any],
    expected_version: int | None = None,
    request: IdempotentRequest | None = None,
) -> tuple[Head, bool]:
    """Merge a patch into a conversation's metadata (RFC 7396: null removes a key).

    Returns
    -------
    Head and bool
        The conversation as the patch made it, and whether an earlier try of the request had made it so.

    Raises
    ------
    ConversationNotFound, ConversationErased
    IdempotencyKeyReused : the request's key came with another patch of this conversation before
    PreconditionFailed : the version is not ``expected_version``
    RequestTooLarge : the merged metadata are over the limit
    WriteConflict : others kept changing the metadata
    """
    pk, change_id = conversation_pk(tenant, conversation_id), secrets.token_hex(8)
    marker_request = request.with_marker_in(pk, HEAD) if request else None
    for _ in tries(settings().append_patience_s):
        head = get_head(tenant, conversation_id)
        if marker_request and (earlier := find_result(marker_request)):
            return _with_result(head, earlier), True
        if expected_version is not None and head.version != expected_version:
            raise PreconditionFailed(expected_version, head.version)
        changed = replace(
            head, metadata=merge_patch(head.metadata, patch), version=head.version + 1, changed_at=now_ms()
        )
        if _store(pk, changed, change_id, marker_request):
            return changed, False
        if find_stored_head(pk) is None:
            project_head(pk)
    raise WriteConflict(f"the metadata of conversation {conversation_id!r}")


def merge_patch(target: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON object that a merge patch makes of another."""
    result = dict(target)
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        elif isinstance(value, Mapping):
            target_value = result.get(name)
            result[name] = merge_patch(target_value if isinstance(target_value, Mapping) else {}, value)
        else:
            result[name] = value
    return result


def _with_result(head: Head, result: Mapping[str, Any]) -> Head:
    """The conversation with the metadata that an earlier try of the request left."""
    metadata = json.loads(result["metadata"])
    return replace(head, metadata=metadata, version=result["version"], changed_at=result["changedAt"])


def _store(pk: str, head: Head, change_id: str, marker_request: IdempotentRequest | None) -> bool:
    """Store the metadata of a head, if its version is still the one before, or this very change is stored already."""
    result = {"metadata": metadata_text(head.metadata), "version": head.version, "changedAt": head.changed_at}
    values = {
        ":metadata": result["metadata"],
        ":version": head.version,
        ":before": head.version - 1,
        ":at": head.changed_at,
        ":change": change_id,
    }
    update: dict[str, Any] = {
        "TableName": settings().state_table,
        "Key": head_key(pk),
        "UpdateExpression": "SET metadata = :metadata, version = :version, changedAt = :at, changeId = :change",
        "ConditionExpression": "version = :before",
        "ExpressionAttributeValues": to_item(values),
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }
    if marker_request:
        return try_transaction([{"Update": update}, marker_put(marker_request, result)])
    try:
        client().update_item(**update)
    except ClientError as error:
        if not condition_failed(error):
            raise
        # A change whose reply was lost is sent again by the client library, and finds its own id.
        return from_item(current_item(error.response)).get("changeId") == change_id
    return True
