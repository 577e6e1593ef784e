"""Withdrawals: the mark by which a writer learns that something was redacted in a conversation since it was read.

It is written in each redaction's own transaction, beside the conversation's head. Whoever stores what was made of the
conversation's words does so on the condition that the mark is still the one of before; see also ``not_erased_check``.
"""

from __future__ import annotations

import secrets
from typing import Any

from annals.database.dynamodb import Item, client, to_item
from annals.database.keys import item_key
from annals.settings import settings

REDACTION_VERSION = "WITHDRAWN"
"""The sort key of a conversation's mark; without one, nothing of it was redacted."""


def redaction_version_key(pk: str) -> Item:
    """The key of a conversation's mark."""
    return item_key(pk, REDACTION_VERSION)


def redaction_version_put(pk: str) -> dict[str, Any]:
    """The part of a transaction that says that something is redacted: a new mark."""
    item = {**redaction_version_key(pk), **to_item({"mark": secrets.token_hex(8)})}
    return {"Put": {"TableName": settings().state_table, "Item": item}}


def find_redaction_version(pk: str) -> str | None:
    """A conversation's mark, None where nothing was redacted. Strongly consistent."""
    key = redaction_version_key(pk)
    item = client().get_item(TableName=settings().state_table, Key=key, ConsistentRead=True).get("Item")
    return item["mark"]["S"] if item else None


def not_redacted_since_check(pk: str, mark: str | None) -> dict[str, Any]:
    """The part of a transaction that demands that nothing was redacted since a mark was read."""
    check: dict[str, Any] = {"TableName": settings().state_table, "Key": redaction_version_key(pk)}
    if mark is None:
        return {"ConditionCheck": {**check, "ConditionExpression": "attribute_not_exists(pk)"}}
    values = {":mark": {"S": mark}}
    return {"ConditionCheck": {**check, "ConditionExpression": "mark = :mark", "ExpressionAttributeValues": values}}
