"""Deleting facts, also damaged ones. All items of a fact go together; the fact before it holds for longer then."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from annals.access.caller import Caller
from annals.database.damage import salvage_strings
from annals.database.dynamodb import Item
from annals.database.keys import item_key
from annals.database.state import delete_partition, find_item
from annals.database.transactions import run_transaction
from annals.errors import DamagedItem
from annals.memory.facts.fact_items import (
    FactKey,
    StoredFact,
    find_fact_key,
    get_fact_key,
    keys_of,
    pointer_key,
    source_key,
    sources_pk,
    split_fact_key,
)
from annals.memory.facts.fact_reads import get_fact, list_fact_keys_of, read_or_damaged
from annals.memory.user_traces import trace_keys
from annals.settings import settings

WRITERS = 8
"""How many facts are deleted side by side."""


def delete_visible_fact(caller: Caller, fact_id: str) -> bool:
    """Delete a fact that the caller may see, even a damaged one; False where another request had deleted it.

    Raises FactNotFound; and DamagedItem where the memory space of a damaged one cannot be told, and only some are open,
    or where no reference to it is left.
    """
    try:
        return delete_fact(get_fact(caller, fact_id).fact)
    except DamagedItem:
        key = find_fact_key(caller.tenant, fact_id)
        salvaged = salvage_strings(find_item(item_key(*key)) or {}, "fact") if key else {}
        if key is None or not caller.may_see(salvaged.get("memory_space_id", "")):
            raise
        return delete_damaged_fact(caller.tenant, key, salvaged.get("conversation_id"))


def delete_fact(fact: StoredFact) -> bool:
    """Delete a fact; False where another request had deleted it."""
    # The trace from a user to a conversation stays: it leads to more than this fact.
    own_traces = trace_keys(fact.tenant, fact.user_id, fact.fact_id, None) if fact.conversation_id is None else []
    return _delete([*keys_of(fact), *own_traces])


def delete_facts_of(tenant: str, conversation_id: str, message_id: str | None = None) -> None:
    """Delete the facts that come from a conversation, all or those of one message; also those that cannot be read."""
    keys = list_fact_keys_of(tenant, conversation_id, message_id)
    with ThreadPoolExecutor(WRITERS) as writers:
        list(writers.map(lambda key: _delete_by_key(tenant, conversation_id, key), keys))
    if message_id is None:
        delete_partition(sources_pk(tenant, conversation_id))


def _delete_by_key(tenant: str, conversation_id: str, key: FactKey) -> None:
    is_damaged, dated = read_or_damaged(key)
    if dated:
        delete_fact(dated.fact)
    elif is_damaged:
        delete_damaged_fact(tenant, key, conversation_id)


def delete_damaged_fact_by_id(tenant: str, fact_id: str, conversation_id: str | None) -> None:
    """Delete a fact that cannot be read, by whichever reference to it is left. It can be done again."""
    for key in (
        pointer_key(tenant, fact_id),
        *([source_key(tenant, conversation_id, fact_id)] if conversation_id else []),
    ):
        with suppress(DamagedItem):
            if (leading := find_item(key)) and delete_damaged_fact(tenant, get_fact_key(leading), conversation_id):
                return


def delete_damaged_fact(tenant: str, key: FactKey, conversation_id: str | None) -> bool:
    """Delete a fact that cannot be read, by its key; False where another request had deleted it."""
    fact_id = split_fact_key(*key)[1]
    keys = [item_key(*key), pointer_key(tenant, fact_id)]
    return _delete([*keys, *([source_key(tenant, conversation_id, fact_id)] if conversation_id else [])])


def _delete(keys: Sequence[Item]) -> bool:
    """Delete all items of a fact; False where they are gone already."""
    writes: list[Any] = [{"Delete": {"TableName": settings().state_table, "Key": key}} for key in keys]
    writes[0]["Delete"]["ConditionExpression"] = "attribute_exists(pk)"
    return run_transaction(writes, "the fact")
