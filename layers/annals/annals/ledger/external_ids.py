"""External ids: the ids that callers give messages, each unique within its conversation.

A pointer leads from an external id to its message. It is written in the transaction of the message's entry, on the
condition that there is none, so that of two writers only one stores the message. The pointer's key holds nothing but a
keyed digest of the id: where the message is redacted, the pointer can stay, tells nobody the id, and keeps a repeat
from storing the words again. An erasure deletes it with all that is beside the conversation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from annals.database.derived_ids import derive_id, find_derived_id
from annals.database.dynamodb import from_item, to_item
from annals.database.keys import item_key
from annals.database.state import read_items
from annals.json_text import dump
from annals.ledger.entry import Entry, Record
from annals.ledger.keys import split_conversation_pk
from annals.retries import tries
from annals.settings import settings

EXTERNAL_ID = "externalId"
"""The field of a stored body that holds a message's external id."""

MAX_EXTERNAL_IDS = 90
"""How many messages of one entry may have one: each takes a write in the entry's transaction, which has 100."""

POINTER_PREFIX = "X#"
"""How the sort keys of pointers begin, beside the conversation's head."""


@dataclass(frozen=True)
class MessagePlace:
    """Where a message is: its seq, and that of the first record of its entry."""

    seq: int
    entry_seq: int


def pointer_puts(entry: Entry) -> list[dict[str, Any]]:
    """The parts of a transaction that write the pointers to an entry's messages, on condition that there are none.

    A message takes over the pointer of the one that it supersedes, and that of a rewound one.
    """
    return [
        _pointer_put(entry, record, record.external_id) for record in entry.records if record.external_id is not None
    ]


def _pointer_put(entry: Entry, record: Record, external_id: str) -> dict[str, Any]:
    condition: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(pk)"}
    if owners := [seq for seq in (record.supersedes, record.freed) if seq is not None]:
        names = {f":owner{number}": seq for number, seq in enumerate(owners)}
        condition = {
            "ConditionExpression": f"attribute_not_exists(pk) OR seq IN ({', '.join(names)})",
            "ExpressionAttributeValues": to_item(names),
        }
    key = item_key(entry.pk, _sort_key(external_id_name(entry.pk, external_id)))
    item = {**key, **to_item({"seq": record.seq, "entry": entry.seq})}
    return {"Put": {"TableName": settings().state_table, "Item": item, **condition}}


def external_id_name(pk: str, external_id: str) -> str:
    """What stands for an external id in keys: the same text for the same id of a conversation."""
    return derive_id(*_name(pk, external_id))


def find_external_id_name(pk: str, external_id: str) -> str | None:
    """The same for whoever only reads: None where nothing of the tenant has an external id yet."""
    return find_derived_id(*_name(pk, external_id))


def unchanged_check(pk: str, external_id: str, seq: int | None) -> dict[str, Any]:
    """The part of a transaction that requires that an external id is that of the message ``seq``, or of none."""
    check: dict[str, Any] = {
        "TableName": settings().state_table,
        "Key": item_key(pk, _sort_key(external_id_name(pk, external_id))),
        "ConditionExpression": "attribute_not_exists(pk)",
    }
    if seq is not None:
        check |= {"ConditionExpression": "seq = :seq", "ExpressionAttributeValues": to_item({":seq": seq})}
    return {"ConditionCheck": check}


def find_places(pk: str, external_ids: Sequence[str]) -> dict[str, MessagePlace]:
    """Where the messages of these external ids are, by the ids; without those of no message. Strongly consistent.

    The messages of one entry are found together: where only some are found, a transaction may have come between the
    reads of single items, and they are read until two reads find the same.
    """
    found = _read_places(pk, external_ids)
    for _ in tries(settings().append_patience_s) if 0 < len(found) < len(external_ids) else ():
        found, before = _read_places(pk, external_ids), found
        if found == before:
            return found
    return found


def _read_places(pk: str, external_ids: Sequence[str]) -> dict[str, MessagePlace]:
    derived = {external_id: find_external_id_name(pk, external_id) for external_id in external_ids}
    ids = {_sort_key(name): external_id for external_id, name in derived.items() if name is not None}
    found = read_items([item_key(pk, sk) for sk in ids], consistent=True)
    return {ids[item["sk"]["S"]]: _place(item) for item in found}


def _place(item: Mapping[str, Any]) -> MessagePlace:
    values = from_item(item)
    return MessagePlace(values["seq"], values["entry"])


def _name(pk: str, external_id: str) -> tuple[str, str]:
    """The tenant, and the text of which the name of a pointer is derived in it."""
    tenant, conversation_id = split_conversation_pk(pk)
    return tenant, dump([EXTERNAL_ID, conversation_id, external_id])


def _sort_key(name: str) -> str:
    return f"{POINTER_PREFIX}{name}"
