"""Reading facts: one of them, those of a conversation, and those that were stored together.

A fact is read with the one that superseded it. ``fact_lists`` lists facts by what they say, from the search index.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from annals.access.caller import Caller
from annals.database.dynamodb import Item, from_item
from annals.database.keys import unescape
from annals.database.state import find_item, read_partition
from annals.errors import DamagedItem, FactNotFound
from annals.memory.facts.fact_items import (
    SOURCE_PREFIX,
    DatedFact,
    FactKey,
    batch_key,
    find_dated_fact,
    find_fact_key,
    get_fact_key,
    sources_pk,
    split_fact_key,
)
from annals.memory.sources import SourceRef, with_existing_sources

READERS = 8
"""How many facts are read side by side."""


def get_fact(caller: Caller, fact_id: str) -> DatedFact:
    """A fact that the caller may see. Raises FactNotFound."""
    dated = get_dated_fact(caller.tenant, fact_id)
    if not caller.may_see(dated.fact.memory_space_id):
        raise FactNotFound(fact_id)
    if not with_existing_sources(caller.tenant, [dated], source_ref_of_fact):
        raise FactNotFound(fact_id)
    return dated


def source_ref_of_fact(dated: DatedFact) -> SourceRef:
    """The words that a fact comes from."""
    return dated.source_ref


def get_dated_fact(tenant: str, fact_id: str) -> DatedFact:
    """A fact with the one that superseded it, whoever may see it. Raises FactNotFound."""
    key = find_fact_key(tenant, fact_id)
    dated = find_dated_fact(*key) if key else None
    if dated is None:
        raise FactNotFound(fact_id)
    return dated


def find_batch(tenant: str, conversation_id: str, batch: str) -> list[DatedFact] | None:
    """What there still is of facts that were stored together; None where none were."""
    item = find_item(batch_key(tenant, conversation_id, batch))
    return None if item is None else list(read_facts(tenant, from_item(item)["factIds"]))


def read_facts(tenant: str, fact_ids: Sequence[str]) -> Iterator[DatedFact]:
    """The facts of some ids, without those that are gone."""
    for fact_id in fact_ids:
        key = find_fact_key(tenant, fact_id)
        if key and (dated := find_dated_fact(*key)):
            yield dated


def list_facts_of(tenant: str, conversation_id: str, message_id: str | None = None) -> list[DatedFact]:
    """The facts that come from a conversation, or from one message of it, in the order in which they began to hold.

    Those that cannot be read are reported and left out.
    """
    keys = list_fact_keys_of(tenant, conversation_id, message_id)
    with ThreadPoolExecutor(READERS) as readers:
        facts = [dated for _, dated in readers.map(read_or_damaged, keys) if dated]
    return sorted(facts, key=lambda dated: dated.fact.sk)


def list_damaged_facts_of(tenant: str, conversation_id: str) -> list[str]:
    """The ids of the facts that come from a conversation and cannot be read."""
    return [split_fact_key(*key)[1] for key in list_fact_keys_of(tenant, conversation_id) if read_or_damaged(key)[0]]


def count_facts_of(tenant: str, conversation_id: str) -> int:
    """How many facts come from a conversation."""
    return sum(1 for _ in read_partition(sources_pk(tenant, conversation_id), SOURCE_PREFIX, ProjectionExpression="pk"))


def list_fact_keys_of(tenant: str, conversation_id: str, message_id: str | None = None) -> list[FactKey]:
    """The keys of the facts that come from a conversation, or from one message of it."""
    keys = []
    for item in read_partition(sources_pk(tenant, conversation_id), SOURCE_PREFIX):
        # What no longer says of which messages its fact was made may be of any.
        message_ids = from_item(item).get("messageIds", [message_id])
        if (message_id is None or message_id in message_ids) and (key := _find_key_by(item, tenant)):
            keys.append(key)
    return keys


def _find_key_by(item: Item, tenant: str) -> FactKey | None:
    """The key of the fact to which an item points; where that is damaged, the pointer from its id says it, too."""
    with suppress(DamagedItem):
        return get_fact_key(item)
    with suppress(DamagedItem):
        return find_fact_key(tenant, unescape(item["sk"]["S"].removeprefix(SOURCE_PREFIX)))
    return None


def read_or_damaged(key: FactKey) -> tuple[bool, DatedFact | None]:
    """Whether the fact of a key is damaged, and the fact, where it is there and can be read."""
    try:
        return False, find_dated_fact(*key)
    except DamagedItem:
        return True, None
