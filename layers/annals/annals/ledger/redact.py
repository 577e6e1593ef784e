"""Redaction: a message's content goes, its seq and digest stay, and a new record says who redacted it and why.

The record and the removal are one transaction, so that there is never one without the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from botocore.exceptions import ClientError

from annals.database.dynamodb import Item, from_item
from annals.database.keys import item_key
from annals.database.transactions import Cancellation
from annals.errors import ConversationErased, ConversationNotFound, DamagedEntry, MessageNotFound
from annals.json_text import dump
from annals.ledger.append import NewRecord, append
from annals.ledger.entry import ERASED, MESSAGE, PREAMBLE, REDACTION, Entry
from annals.ledger.entry_items import ENTRY, OPTIONAL, RECORD
from annals.ledger.keys import conversation_pk, entry_sk, seq_of_sk
from annals.ledger.message_reads import read_messages
from annals.ledger.messages import Message, message_id, seq_of
from annals.ledger.read import read_records, walk_items
from annals.ledger.scrub import count_records, scrub_put
from annals.ledger.tail import salvage_tail
from annals.settings import settings
from annals.times import now_ms, to_rfc3339

MAX_REMOVALS = 50
"""How many attributes are removed from a damaged entry one by one; where there are more, all of its words go."""


def redact(
    tenant: str,
    conversation_id: str,
    seqs: Sequence[int],
    reason: str,
    by: str,
    *,
    also: Sequence[Mapping[str, Any]] = (),
) -> bool:
    """Redact messages, even where their entries, or the last one, are damaged. Doing it again changes nothing.

    ``also`` is more writes for the same transaction. False where something is left to do, as one of them was changed
    meanwhile, or is in one damaged entry with another. Raises MessageNotFound, and what ``append`` raises.
    """
    pk = conversation_pk(tenant, conversation_id)
    tail = salvage_tail(pk)
    if tail is None:
        raise ConversationNotFound(conversation_id)
    if tail.state == ERASED:
        raise ConversationErased(conversation_id)
    removals, is_all = _removals(pk, seqs)
    if not removals:
        return True
    named = [seq for seqs_of_entry, _ in removals for seq in seqs_of_entry]
    records = [NewRecord(REDACTION, dump({"seq": seq, "reason": reason, "by": by}).encode()) for seq in named]
    writes = [removal for _, removal in removals]
    try:
        append(tenant, conversation_id, records, also=[*writes, *also], salvage=True)
    except ClientError as error:
        if not Cancellation.of(error).failed_from(1):
            raise
        return False
    return is_all


def _removals(pk: str, seqs: Sequence[int]) -> tuple[list[tuple[list[int], dict[str, Any]]], bool]:
    """The parts of a transaction that remove messages, one for each item, with their seqs; and whether these are all.

    Messages that are gone already are left out.
    """
    intact: dict[int, tuple[Entry, list[int]]] = {}
    damaged: dict[str, tuple[list[int], dict[str, Any]]] = {}
    is_all = True
    for seq in seqs:
        try:
            entry, position = _get_entry(pk, seq)
            if entry.records[position].body is not None:
                intact.setdefault(entry.seq, (entry, []))[1].append(position)
        except DamagedEntry:
            if removal := _removal_from_damaged(pk, seq):
                is_all &= damaged.setdefault(_sk_of(removal), ([seq], removal))[0] == [seq]
    removals = [
        ([entry.seq + position for position in positions], _removal(entry, positions))
        for entry, positions in intact.values()
    ]
    return [*removals, *damaged.values()], is_all


def _sk_of(removal: Mapping[str, Any]) -> str:
    """The sort key of the item that a part of a transaction changes."""
    (write,) = removal.values()
    return str((write.get("Key") or write["Item"])["sk"]["S"])


def _removal(entry: Entry, positions: Sequence[int]) -> dict[str, Any]:
    """The part of a transaction that removes the bodies of records from their entry.

    The salts go with them, and so does the digest of the request that is salted with these; the request's id stays.
    """
    request = entry.idem.id if entry.idem else b""
    paths = [f"records[{position}]" for position in positions]
    digests = {f":digest{number}": entry.records[position].digest for number, position in enumerate(positions)}
    conditions = [
        f"{path}.digest = {name} AND attribute_exists({path}.body)" for path, name in zip(paths, digests, strict=True)
    ]
    return {
        "Update": {
            **_address(entry.pk, entry_sk(entry.seq)),
            "UpdateExpression": "REMOVE "
            + ", ".join(f"{path}.body, {path}.salt" for path in paths)
            + (" SET idem = :request" if request else ", idem" if entry.idem else ""),
            "ConditionExpression": " AND ".join(conditions),
            "ExpressionAttributeValues": {
                **{name: {"B": digest} for name, digest in digests.items()},
                **({":request": {"B": request}} if request else {}),
            },
        }
    }


def _removal_from_damaged(pk: str, seq: int) -> dict[str, Any] | None:
    """The same for an entry that cannot be read.

    Where the record can be told from its neighbours, it goes with all attributes that no entry has; else all words of
    the entry go. None where that is done. Raises MessageNotFound.
    """
    item, position = _get_item(pk, seq)
    if position >= max(count_records(item), 1):
        raise MessageNotFound(message_id(seq))
    values = from_item(item)
    records = values.get("records")
    record = records[position] if isinstance(records, list) and position < len(records) else None
    if not isinstance(record, dict):
        return scrub_put(item)
    if record.get("kind", MESSAGE) not in (MESSAGE, PREAMBLE):
        raise MessageNotFound(message_id(seq))
    own = record.keys() - RECORD.keys() - {"kind"}
    unknown = [*(values.keys() - ENTRY.keys() - OPTIONAL.keys()), *({"idem"} & values.keys())]
    if len(own) + len(unknown) > MAX_REMOVALS:
        return scrub_put(item)
    if not own:
        return None
    names = {f"#{number}": name for number, name in enumerate([*own, *unknown])}
    paths = [f"records[{position}].{name}" if number < len(own) else name for number, name in enumerate(names)]
    return {
        "Update": {
            **_address(pk, item["sk"]["S"]),
            "UpdateExpression": f"REMOVE {', '.join(paths)}",
            "ConditionExpression": f"attribute_exists({paths[0]})",
            "ExpressionAttributeNames": names,
        }
    }


def present_redacted(pk: str, message_id: str) -> Message:
    """A redacted message as the API shows it; where its entry is damaged, with the time of now."""
    tail = salvage_tail(pk)
    try:
        return read_messages(pk, [message_id], tail)[0]
    except DamagedEntry:
        seq = seq_of(message_id) or 0
        return {"messageId": message_id, "seq": seq, "timestamp": to_rfc3339(now_ms()), "status": "redacted"}


def _get_entry(pk: str, seq: int) -> tuple[Entry, int]:
    """The entry of a message, and the message's position in it. Raises MessageNotFound."""
    entry = next(read_records(pk, seq, seq), None)
    for position, record in enumerate(entry.records if entry else ()):
        if entry and record.seq == seq and record.kind in (MESSAGE, PREAMBLE):
            return entry, position
    raise MessageNotFound(message_id(seq))


def _get_item(pk: str, seq: int) -> tuple[Item, int]:
    """The item that holds a record, by its key alone, and the record's position in it. Raises MessageNotFound."""
    tail = salvage_tail(pk)
    for item in walk_items(pk, last=seq, newest_first=True, page=10):
        first = seq_of_sk(item["sk"]["S"])
        if first is not None:
            if first and tail and seq <= tail.seq:
                return item, seq - first
            break
    raise MessageNotFound(message_id(seq))


def _address(pk: str, sk: str) -> dict[str, Any]:
    return {"TableName": settings().ledger_table, "Key": item_key(pk, sk)}
