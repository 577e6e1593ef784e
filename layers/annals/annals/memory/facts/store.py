"""Facts: stored with what leads to them, found, deleted; all items of a fact are written and deleted together."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import Any

from annals.access.caller import Caller
from annals.database.damage import salvage_strings
from annals.database.dynamodb import Item, client, from_item, to_item
from annals.database.keys import item_key, unescape
from annals.database.retries import tries
from annals.database.state import delete_partition, find_item, read_partition
from annals.database.transactions import run_transaction, transact
from annals.errors import DamagedItem, FactNotFound, WriteConflict
from annals.ledger.entry import SALT_BYTES
from annals.ledger.idempotency import IdempotentRequest, marker_put
from annals.memory.facts.fact_items import (
    FACT_PREFIX,
    DatedFact,
    StoredFact,
    batch_key,
    find_dated_fact,
    find_fact_key,
    get_fact_key,
    items_of,
    keys_of,
    pointer_key,
    source_key,
    sources_pk,
    split_fact_key,
)
from annals.memory.sources import Source, SourceRef, with_existing_sources
from annals.memory.user_traces import trace_keys, trace_puts
from annals.settings import settings

WORKERS = 8
"""How many facts are read or deleted side by side."""


def new_fact_id() -> str:
    """A new fact's id."""
    return f"{FACT_PREFIX}{secrets.token_hex(10)}"


def is_fact_id(memory_id: str) -> bool:
    """Whether an id in the search index is a fact's."""
    return memory_id.startswith(FACT_PREFIX)


def create_fact(fact: StoredFact, request: IdempotentRequest | None = None) -> tuple[DatedFact, bool]:
    """Store a fact, and say whether an earlier try of the request had stored it.

    Raises
    ------
    ConversationErased, MessageRedacted : what it comes from is withdrawn
    RequestTooLarge, IdempotencyKeyReused, WriteConflict
    """
    once = None
    if request:
        salt = os.urandom(SALT_BYTES)
        fact, once = replace(fact, salt=salt.hex()), marker_put(request, {"factId": fact.fact_id}, salt)
    source = Source(fact.tenant, fact.conversation_id, fact.message_ids) if fact.conversation_id else None
    earlier = _write([fact], source, once=once)
    if request and earlier:
        known = read_fact(fact.tenant, request.read_result(earlier)["factId"])
        request.read_result(earlier, bytes.fromhex(known.fact.salt or ""))
        return known, True
    return read_fact(fact.tenant, fact.fact_id), False


def keep_batch(source: Source, batch: str, facts: Sequence[StoredFact]) -> list[DatedFact]:
    """Store facts of a turn together, once: where that was done already, what is there of them is the answer.

    Parameters
    ----------
    source : the turn's messages
    batch : the name under which they are marked as stored
    facts : up to 25 of the conversation; none is an answer to be kept, too

    Raises
    ------
    ConversationErased, MessageRedacted, WriteConflict
    """
    tenant = source.tenant
    mark = {
        "TableName": settings().state_table,
        "Item": {
            **batch_key(tenant, source.conversation_id, batch),
            **to_item({"factIds": [fact.fact_id for fact in facts]}),
        },
        "ConditionExpression": "attribute_not_exists(pk)",
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }
    earlier = _write(facts, source, once={"Put": mark})
    ids = from_item(earlier)["factIds"] if earlier else [fact.fact_id for fact in facts]
    return list(_still_there(tenant, ids))


def find_batch(tenant: str, conversation_id: str, batch: str) -> list[DatedFact] | None:
    """What is there of facts that were stored together; None where that was not done."""
    key = batch_key(tenant, conversation_id, batch)
    item = find_item(key)
    return None if item is None else list(_still_there(tenant, from_item(item)["factIds"]))


def find_fact(caller: Caller, fact_id: str) -> DatedFact:
    """A fact that the caller may see. Raises FactNotFound."""
    known = read_fact(caller.tenant, fact_id)
    if not caller.may_see(known.fact.memory_space_id) or not with_existing_sources(
        caller.tenant, [known], source_ref_of_fact
    ):
        raise FactNotFound(fact_id)
    return known


def source_ref_of_fact(known: DatedFact) -> SourceRef:
    """The words that a fact comes from."""
    return known.fact.conversation_id, known.fact.message_ids


def read_fact(tenant: str, fact_id: str) -> DatedFact:
    """A fact with what followed it. Raises FactNotFound."""
    place = find_fact_key(tenant, fact_id)
    known = find_dated_fact(*place) if place else None
    if known is None:
        raise FactNotFound(fact_id)
    return known


def delete_fact(fact: StoredFact) -> bool:
    """Delete a fact, and say whether nobody else had; the one in front of it holds for longer then."""
    alone = _traces_of(fact) if fact.conversation_id is None else []
    return _delete([*keys_of(fact), *alone])


def delete_damaged_fact_by_id(tenant: str, fact_id: str, conversation_id: str | None) -> None:
    """Delete a fact that cannot be read, wherever something still leads to it. It can be done again."""
    for key in (
        pointer_key(tenant, fact_id),
        *([source_key(tenant, conversation_id, fact_id)] if conversation_id else []),
    ):
        with suppress(DamagedItem):
            if (leading := find_item(key)) and delete_damaged_fact(tenant, get_fact_key(leading), conversation_id):
                return


def delete_seen_fact(caller: Caller, fact_id: str) -> bool:
    """Delete a fact that the caller may see, be it damaged, and say whether nobody else had.

    Raises FactNotFound; and Damaged where the memory space of one that is cannot be told, and only some are open, or
    where nothing leads to it any more.
    """
    try:
        return delete_fact(find_fact(caller, fact_id).fact)
    except DamagedItem:
        place = find_fact_key(caller.tenant, fact_id)
        said = salvage_strings(find_item(item_key(place[0], place[1])) or {}, "fact") if place else {}
        if place is None or not caller.may_see(said.get("memory_space_id", "")):
            raise
        return delete_damaged_fact(caller.tenant, place, said.get("conversation_id"))


def count_facts_of(tenant: str, conversation_id: str) -> int:
    """How many facts come from a conversation."""
    return sum(1 for _ in read_partition(sources_pk(tenant, conversation_id), "F#", ProjectionExpression="pk"))


def put_fact_traces(fact: StoredFact) -> None:
    """Write what leads from a person to a fact of theirs, of which a former version may have written none."""
    for put in trace_puts(_traces_of(fact)):
        client().put_item(**put["Put"])


def facts_of(tenant: str, conversation_id: str, message_id: str | None = None) -> list[DatedFact]:
    """The facts that come from a conversation, or from one message of it, in the order in which they began to hold.

    Those that cannot be read are reported and left out.
    """
    places = _places_of(tenant, conversation_id, message_id)
    with ThreadPoolExecutor(WORKERS) as workers:
        found = [known for _, known in workers.map(_read_in_place, places) if known]
    return sorted(found, key=lambda known: known.fact.sk)


def damaged_facts_of(tenant: str, conversation_id: str) -> list[str]:
    """The ids of the facts that come from a conversation and cannot be read."""
    places = _places_of(tenant, conversation_id)
    return [split_fact_key(pk, sk)[1] for pk, sk in places if _read_in_place((pk, sk))[0]]


def _read_in_place(place: tuple[str, str]) -> tuple[bool, DatedFact | None]:
    """Whether what is in a place is damaged, and the fact there, where it can be read."""
    try:
        return False, find_dated_fact(*place)
    except DamagedItem:
        return True, None


def _places_of(tenant: str, conversation_id: str, message_id: str | None = None) -> list[tuple[str, str]]:
    """Where the facts are that come from a conversation, or from one message of it."""
    places = []
    for item in read_partition(sources_pk(tenant, conversation_id), "F#"):
        # What no longer says of which messages its fact was made may be of any.
        said = from_item(item).get("messageIds", [message_id])
        if (message_id is None or message_id in said) and (place := _place_by(item, tenant)):
            places.append(place)
    return places


def _place_by(item: Item, tenant: str) -> tuple[str, str] | None:
    """Where the fact is to which an item leads; where that is damaged, what leads from its id says it, too."""
    with suppress(DamagedItem):
        return get_fact_key(item)
    with suppress(DamagedItem):
        return find_fact_key(tenant, unescape(item["sk"]["S"].removeprefix("F#")))
    return None


def delete_facts_of(tenant: str, conversation_id: str, message_id: str | None = None) -> None:
    """Delete the facts that come from a conversation, all or those of one message; also those that cannot be read."""
    places = _places_of(tenant, conversation_id, message_id)
    with ThreadPoolExecutor(WORKERS) as workers:
        list(workers.map(lambda place: _forget(tenant, conversation_id, place), places))
    if message_id is None:
        delete_partition(sources_pk(tenant, conversation_id))


def _forget(tenant: str, conversation_id: str, place: tuple[str, str]) -> None:
    is_damaged, known = _read_in_place(place)
    if known:
        delete_fact(known.fact)
    elif is_damaged:
        delete_damaged_fact(tenant, place, conversation_id)


def delete_damaged_fact(tenant: str, place: tuple[str, str], conversation_id: str | None) -> bool:
    """Delete a fact that cannot be read, by its key, and say whether nobody else had."""
    pk, sk = place
    fact_id = split_fact_key(pk, sk)[1]
    keys = [item_key(pk, sk), pointer_key(tenant, fact_id)]
    return _delete([*keys, *([source_key(tenant, conversation_id, fact_id)] if conversation_id else [])])


def _still_there(tenant: str, fact_ids: Sequence[str]) -> Iterator[DatedFact]:
    for fact_id in fact_ids:
        place = find_fact_key(tenant, fact_id)
        if place and (known := find_dated_fact(*place)):
            yield known


def _write(facts: Sequence[StoredFact], source: Source | None, *, once: Mapping[str, Any] | None) -> Item | None:
    """Write facts together, and ``once`` with them, if what they come from is still there.

    Returns
    -------
    Item or None
        What stood in the place of ``once`` already: then nothing was written.

    Raises
    ------
    ConversationErased, MessageRedacted, WriteConflict
    """
    first: list[Any] = [once] if once else []
    traces = [key for fact in facts for key in _traces_of(fact)]
    writes: list[Any] = [*(_put(item) for fact in facts for item in items_of(fact)), *trace_puts(traces)]
    mark: str | None = None
    for _ in tries(settings().append_patience_s):
        checks: list[Any] = source.checks(mark) if source else []
        cancelled = transact(first + checks + writes)
        if cancelled is None:
            return None
        if once and cancelled.failed(0):
            return cancelled.item(0)
        if source and cancelled.failed_from(0):
            mark = source.require()
        else:
            cancelled.require_retryable()
    raise WriteConflict(f"fact {facts[0].fact_id!r}")


def _traces_of(fact: StoredFact) -> list[Item]:
    """The keys of what leads from a person to a fact of theirs."""
    return trace_keys(fact.tenant, fact.user_id, fact.fact_id, fact.conversation_id)


def _put(item: Item) -> dict[str, Any]:
    return {"Put": {"TableName": settings().state_table, "Item": item}}


def _delete(keys: Sequence[Item]) -> bool:
    """Delete all items of a fact; False where they are gone already."""
    table = settings().state_table
    writes: list[Any] = [{"Delete": {"TableName": table, "Key": key}} for key in keys]
    writes[0]["Delete"]["ConditionExpression"] = "attribute_exists(pk)"
    return run_transaction(writes, "the fact")
