"""Events of memories and facts: what each is now, once the search index has it."""

from __future__ import annotations

from typing import Any

from annals.database.keys import item_key
from annals.errors import Unavailable
from annals.ledger.keys import is_conversation_pk, split_conversation_pk
from annals.memory.facts.fact_items import find_dated_fact, is_facts_pk, split_fact_key
from annals.memory.keys import MEMORY_PREFIX, is_memory_sk
from annals.memory.memories.memory_items import DELETED, find_memory_item, split_memory_key
from annals.publishing.bus import Event, event_id, publish
from annals.search.message_documents import memory_id
from annals.times import to_rfc3339


def publish_item(pk: str, sk: str) -> None:
    """Publish the memory or fact of a key, as it is now; other items are passed over. Raises Unavailable."""
    if is_memory_sk(sk) and publish([_fact_event(pk, sk) if is_facts_pk(pk) else _memory_event(pk, sk)]):
        raise Unavailable("The bus did not take an event.")


def _memory_event(pk: str, sk: str) -> Event:
    tenant, name = _tenant_and_id(pk, sk)
    memory = find_memory_item(item_key(pk, sk))
    if memory is None or (memory.status == DELETED and not is_conversation_pk(pk)):
        # A memory that is no message's leaves nothing behind: its deletion and its item's end are one event.
        detail = {"eventId": event_id(pk, sk, DELETED), "tenant": tenant, "memoryId": name}
        return Event.of("MemoryDeleted", detail)
    now: dict[str, Any] = {
        "eventId": event_id(pk, sk, memory.version, memory.status, memory.updated_at),
        "tenant": tenant,
        "memoryId": memory.memory_id,
        "memorySpaceId": memory.memory_space_id,
        "version": memory.version,
        "status": memory.status,
        "updatedAt": to_rfc3339(memory.updated_at),
    }
    return Event.of("MemoryDeleted" if memory.status == DELETED else "MemoryUpdated", now)


def _tenant_and_id(pk: str, sk: str) -> tuple[str, str]:
    """The tenant and the memory's id; that of a message that was changed as a memory, too."""
    if is_conversation_pk(pk):
        tenant, conversation_id = split_conversation_pk(pk)
        return tenant, memory_id(conversation_id, int(sk.removeprefix(MEMORY_PREFIX)))
    return split_memory_key(pk, sk)


def _fact_event(pk: str, sk: str) -> Event:
    tenant, fact_id = split_fact_key(pk, sk)
    stored = find_dated_fact(pk, sk)
    detail = {
        "eventId": event_id(pk, sk, "stored" if stored else "deleted"),
        "tenant": tenant,
        "factId": fact_id,
        "memorySpaceId": stored.fact.memory_space_id if stored else None,
        "at": to_rfc3339(stored.fact.created_at) if stored else None,
    }
    return Event.of("FactStored" if stored else "FactDeleted", detail)
