"""The redaction version of a conversation, by which a writer learns that something was redacted since it read.

Each redaction gives the conversation another version, in its own transaction, beside the conversation's head. Whoever
stores what was made of the conversation's words does so on the condition that the version is still the one from before
the words were read; see also ``not_erased_check``. The first rewind of a conversation gives it another version, too,
and leaves its mark there: whoever looks for what is redacted learns that there are messages which were taken back.
"""

from __future__ import annotations

import secrets
from typing import Any

from annals.database.dynamodb import Item, client, to_item
from annals.database.keys import item_key
from annals.settings import settings

REDACTION_VERSION = "WITHDRAWN"
"""The sort key of a conversation's version; without one, nothing of it was redacted, or rewound."""

REWOUND = "rewound"
"""The attribute that says that messages of the conversation were rewound."""


def redaction_version_key(pk: str) -> Item:
    """The key of a conversation's version."""
    return item_key(pk, REDACTION_VERSION)


def redaction_version_update(pk: str) -> dict[str, Any]:
    """The part of a transaction that says that something is redacted: a new version."""
    return {
        "Update": {
            "TableName": settings().state_table,
            "Key": redaction_version_key(pk),
            "UpdateExpression": "SET mark = :mark",
            "ExpressionAttributeValues": to_item({":mark": _new_version()}),
        }
    }


def first_rewind_put(pk: str) -> dict[str, Any]:
    """The part of a transaction that says that messages are rewound, for the first time: a new version, with a mark."""
    item = {**redaction_version_key(pk), **to_item({"mark": _new_version(), REWOUND: True})}
    return {"Put": {"TableName": settings().state_table, "Item": item}}


def _new_version() -> str:
    return secrets.token_hex(8)


def find_redaction_version(pk: str) -> str | None:
    """A conversation's version, None where nothing was redacted. Strongly consistent."""
    key = redaction_version_key(pk)
    item = client().get_item(TableName=settings().state_table, Key=key, ConsistentRead=True).get("Item")
    return item["mark"]["S"] if item else None


def not_redacted_since_check(pk: str, version: str | None) -> dict[str, Any]:
    """The part of a transaction that requires that nothing was redacted since a version was read."""
    check: dict[str, Any] = {"TableName": settings().state_table, "Key": redaction_version_key(pk)}
    if version is None:
        return {"ConditionCheck": {**check, "ConditionExpression": "attribute_not_exists(pk)"}}
    values = {":mark": {"S": version}}
    return {"ConditionCheck": {**check, "ConditionExpression": "mark = :mark", "ExpressionAttributeValues": values}}
