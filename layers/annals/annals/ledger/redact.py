"""Redaction: a message's content goes, its place and digest stay, and a record says who withdrew it and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

from botocore.exceptions import ClientError

from annals.database.dynamodb import Item, client, from_item
from annals.database.keys import item_key
from annals.database.transactions import Cancellation
from annals.errors import ConversationErased, ConversationNotFound, DamagedEntry, MessageNotFound
from annals.json_text import dump
from annals.ledger.append import NewRecord, append
from annals.ledger.entry import ERASED, MESSAGE, PREAMBLE, REDACTION, Entry
from annals.ledger.entry_items import BESIDE, DAMAGED, ENTRY, RECORD
from annals.ledger.keys import MAX_SEQ, conversation_pk, entry_sk, seq_of_sk
from annals.ledger.messages import Message, message_id, read_messages, seq_of
from annals.ledger.read import entry_items, read_records
from annals.ledger.scrub import bare_places, count_records, scrubbed
from annals.ledger.tail import salvage_tail
from annals.settings import settings
from annals.times import now_ms, to_rfc3339

MOST_NAMES = 50
"""How many attributes are taken out of a damaged entry one by one; where there are more, all of its words go."""


def redact(
    tenant: str,
    conversation_id: str,
    message_id: str,
    reason: str,
    by: str,
    *,
    also: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Withdraw a message's content, also where its entry, or the last one, is damaged.

    Doing it again changes nothing. The record, the scrub and ``also`` are one transaction. Raises MessageNotFound, and
    what ``append`` raises.
    """
    pk, seq = conversation_pk(tenant, conversation_id), seq_of(message_id)
    if not seq:
        raise MessageNotFound(message_id)
    tail = salvage_tail(pk)
    if tail is None:
        raise ConversationNotFound(conversation_id)
    if tail.state == ERASED:
        raise ConversationErased(conversation_id)
    try:
        scrub = _scrub(*_find(pk, seq))
    except DamagedEntry:
        scrub = _scrub_damaged(pk, seq)
    if scrub is None:
        return
    said = dump({"seq": seq, "reason": reason, "by": by}).encode()
    try:
        append(tenant, conversation_id, [NewRecord(REDACTION, said)], also=[scrub, *also], salvage=True)
    except ClientError as error:
        if not _was_faster(error):
            raise


def _scrub(entry: Entry, place: int) -> dict[str, Any] | None:
    """The part of a transaction that takes a record's words out of its entry; None where they are gone."""
    record = entry.records[place]
    if record.body is None:
        return None
    request = entry.idem.id if entry.idem else b""
    return {
        "Update": {
            **_address(entry.pk, entry_sk(entry.seq)),
            "UpdateExpression": f"REMOVE records[{place}].body, records[{place}].salt"
            + (" SET idem = :request" if request else ", idem" if entry.idem else ""),
            "ConditionExpression": f"records[{place}].digest = :digest AND attribute_exists(records[{place}].body)",
            "ExpressionAttributeValues": {
                ":digest": {"B": record.digest},
                **({":request": {"B": request}} if request else {}),
            },
        }
    }


def _scrub_damaged(pk: str, seq: int) -> dict[str, Any] | None:
    """The same for an entry that cannot be read.

    Where the record can be told from its neighbours, it goes with all that no entry has; else everything that was said
    in the entry goes. None where that is done. Raises MessageNotFound.
    """
    item, place = _find_item(pk, seq)
    if place >= max(count_records(item), 1):
        raise MessageNotFound(message_id(seq))
    values = from_item(item)
    records = values.get("records")
    record = records[place] if isinstance(records, list) and place < len(records) else None
    if not isinstance(record, dict):
        return _scrub_all(item)
    if record.get("kind", MESSAGE) not in (MESSAGE, PREAMBLE):
        raise MessageNotFound(message_id(seq))
    own = record.keys() - RECORD.keys() - {"kind"}
    strange = [*(values.keys() - ENTRY.keys() - BESIDE.keys()), *({"idem"} & values.keys())]
    if len(own) + len(strange) > MOST_NAMES:
        return _scrub_all(item)
    if not own:
        return None
    names = {f"#{number}": name for number, name in enumerate([*own, *strange])}
    paths = [f"records[{place}].{name}" if number < len(own) else name for number, name in enumerate(names)]
    return {
        "Update": {
            **_address(pk, item["sk"]["S"]),
            "UpdateExpression": f"REMOVE {', '.join(paths)}",
            "ConditionExpression": f"attribute_exists({paths[0]})",
            "ExpressionAttributeNames": names,
        }
    }


def _scrub_all(item: Item) -> dict[str, Any] | None:
    bare = scrubbed(item)
    if bare == item:
        return None
    return {
        "Put": {
            "TableName": settings().ledger_table,
            "Item": bare,
            "ConditionExpression": f"attribute_exists(pk) AND attribute_not_exists({DAMAGED})",
        }
    }


def _was_faster(error: ClientError) -> bool:
    """Whether a redaction failed because another one of the same message came first."""
    return Cancellation.of(error).failed(1)


def scrub_item(item: Item) -> bool:
    """Take everything that was said out of an item of the ledger, whatever became of it, and leave what a chain needs.

    Returns
    -------
    bool
        Whether it was damaged.
    """
    bare = scrubbed(item)
    if bare != item:
        client().put_item(TableName=settings().ledger_table, Item=bare, ConditionExpression="attribute_exists(pk)")
    return DAMAGED in bare


def present_redacted(pk: str, message_id: str) -> Message:
    """A message that is redacted, as the API shows it; where its entry is damaged, without its time."""
    tail = salvage_tail(pk)
    try:
        return read_messages(pk, [message_id], tail.archived if tail else 0)[0]
    except DamagedEntry:
        seq = seq_of(message_id) or 0
        return {"messageId": message_id, "seq": seq, "timestamp": to_rfc3339(now_ms()), "status": "redacted"}


def bare_seqs(pk: str, seq: int) -> list[int]:
    """The seqs of the records without words in an entry that cannot be read, and begins at this one."""
    item, *behind = islice(entry_items(pk, first=seq, page=2), 2)
    last = (seq_of_sk(behind[0]["sk"]["S"]) or MAX_SEQ) if behind else MAX_SEQ
    return [seq + place for place in bare_places(item) if seq + place < last]


def _find(pk: str, seq: int) -> tuple[Entry, int]:
    """The entry of a message, and the message's place in it."""
    entry = next(read_records(pk, seq, seq), None)
    for place, record in enumerate(entry.records if entry else ()):
        if entry and record.seq == seq and record.kind in (MESSAGE, PREAMBLE):
            return entry, place
    raise MessageNotFound(message_id(seq))


def _find_item(pk: str, seq: int) -> tuple[Item, int]:
    """The item that holds a record, by its key alone, and the record's place in it. Raises MessageNotFound."""
    tail = salvage_tail(pk)
    for item in entry_items(pk, last=seq, newest_first=True, page=10):
        first = seq_of_sk(item["sk"]["S"])
        if first is not None:
            if first and tail and seq <= tail.seq:
                return item, seq - first
            break
    raise MessageNotFound(message_id(seq))


def _address(pk: str, sk: str) -> dict[str, Any]:
    return {"TableName": settings().ledger_table, "Key": item_key(pk, sk)}
