"""moto without its two detours: it copies whole tables for a transaction, and answers by walking a model of its API.

Either grows with all that a module's tests have stored so far. What moto stores, refuses and answers stays the same.
"""

from __future__ import annotations

import base64
import copy
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
from moto.core.serialize import BaseJSONSerializer
from moto.dynamodb.models import DynamoDBBackend, Table

_update_item = DynamoDBBackend.update_item
_serialize_map = BaseJSONSerializer._serialize_type_map


@contextmanager
def quick_moto() -> Iterator[None]:
    """Let moto take the short ways."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Table, "__deepcopy__", _copy_of_table, raising=False)
        patch.setattr(DynamoDBBackend, "update_item", _update_a_copy)
        patch.setattr(BaseJSONSerializer, "_serialize_type_map", _serialize_items)
        yield


def _copy_of_table(table: Table, _: object) -> Table:
    """What a transaction that is called off goes back to: it shares the items, of which none is ever changed."""
    kept = copy.copy(table)
    kept.items = defaultdict(dict, {key: dict(partition) for key, partition in table.items.items()})
    if table.stream_shard:
        kept.stream_shard = copy.copy(table.stream_shard)
        kept.stream_shard.table = kept
        kept.stream_shard.items = list(table.stream_shard.items)
    return kept


def _update_a_copy(backend: DynamoDBBackend, table_name: str, key: dict[str, Any], *args: Any, **more: Any) -> Any:
    """Put a copy in an item's place before moto changes it."""
    table = backend.get_table(table_name)
    hash_key, range_key = backend.get_keys_value(table, key)
    partition = table.items.get(hash_key, {})
    if range_key in partition:
        partition[range_key] = copy.deepcopy(partition[range_key])
    return _update_item(backend, table_name, key, *args, **more)


def _serialize_items(serializer: BaseJSONSerializer, serialized: Any, value: Any, shape: Any, key: str) -> None:
    """Write an item's attributes at once: a model has nothing to add to their types."""
    if shape.value.name != "AttributeValue":
        _serialize_map(serializer, serialized, value, shape, key)
        return
    serialized[shape.serialization.get("name", key)] = {name: _attribute(each) for name, each in value.items()}


def _attribute(value: Mapping[str, Any]) -> dict[str, Any]:
    ((kind, content),) = value.items()
    if kind == "M":
        return {kind: {name: _attribute(each) for name, each in content.items()}}
    if kind == "L":
        return {kind: [_attribute(each) for each in content]}
    if kind == "B":
        return {kind: _base64(content)}
    if kind == "BS":
        return {kind: [_base64(each) for each in content]}
    return {kind: content}


def _base64(value: str | bytes) -> str:
    return base64.b64encode(value.encode() if isinstance(value, str) else value).decode()
