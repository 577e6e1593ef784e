"""Facts as the table has them."""

from __future__ import annotations

from annals.database.dynamodb import client
from annals.settings import settings


def places(tenant: str) -> list[tuple[str, str]]:
    """The keys of all items of a tenant's facts: three for each that comes from a conversation."""
    items = client().scan(TableName=settings().state_table, ConsistentRead=True)["Items"]
    keys = [(item["pk"]["S"], item["sk"]["S"]) for item in items]
    return [(pk, sk) for pk, sk in keys if pk.startswith(f"T#{tenant}#F") and sk[:2] != "B#"]
