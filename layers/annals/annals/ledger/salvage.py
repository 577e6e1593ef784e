"""What is still legible of an item that cannot be read as an entry: to know whose its words are, never to show them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from annals.database.dynamodb import from_item
from annals.ledger.entry_items import inflate


def salvage_bodies(item: Mapping[str, Any]) -> list[dict[str, Any] | None]:
    """The bodies of an item's records: None for one that is illegible, empty for one whose words are gone."""
    records = from_item(item).get("records")
    return [_salvage_body(record) for record in records] if isinstance(records, list) and records else [None]


def _salvage_body(record: Any) -> dict[str, Any] | None:
    if not isinstance(record, Mapping):
        return None
    body = record.get("body")
    if body is None:
        return {} if record.keys() <= {"digest", "kind"} else None
    try:
        value = json.loads(inflate(body) if isinstance(body, bytes) else body)
    except (TypeError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
