"""Keys of both tables. Every partition key begins with the tenant; an id can never reach beyond its own part."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from annals.database.dynamodb import Item  # not at runtime: an exported ledger is verified without AWS's library


def escape(part: str) -> str:
    """Make an id safe inside a key: ``#`` separates the parts of a key, so it may not occur in one."""
    return part.replace("%", "%25").replace("#", "%23")


def unescape(part: str) -> str:
    """The id that a part of a key is."""
    return part.replace("%23", "#").replace("%25", "%")


def partition_key(tenant: str, kind: str, *ids: str) -> str:
    """``T#<tenant>#<kind>#<id>…``: the partition of a kind of a tenant's items, or of those of one id."""
    return "#".join(["T", escape(tenant), kind, *map(escape, ids)])


def split_partition_key(pk: str) -> tuple[str, str, list[str]]:
    """The tenant, the kind and the ids of a partition key."""
    _, tenant, kind, *ids = pk.split("#")
    return unescape(tenant), kind, list(map(unescape, ids))


def item_key(pk: str, sk: str) -> Item:
    """The key of an item, as DynamoDB takes it."""
    return {"pk": {"S": pk}, "sk": {"S": sk}}


def split_item_key(key: Mapping[str, Any]) -> tuple[str, str]:
    """The partition key and the sort key of an item, or of its key."""
    return key["pk"]["S"], key["sk"]["S"]
