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
from annals.ledger.messages import Message, message_id, read_messages, seq_of
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
    message_id: str,
    reason: str,
    by: str,
    *,
    also: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Redact a message, even where its entry, or the last one, is damaged. Doing it again changes nothing.

    ``also`` is more writes for the same transaction. Raises MessageNotFound, and what ``append`` raises.
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
        removal = _removal(*_get_entry(pk, seq))
    except DamagedEntry:
        removal = _removal_from_damaged(pk, seq)
    if removal is None:
        return
    record = NewRecord(REDACTION, dump({"seq": seq, "reason": reason, "by": by}).encode())
    try:
        append(tenant, conversation_id, [record], also=[removal, *also], salvage=True)
    except ClientError as error:
        if not _was_overtaken(error):
            raise


def _removal(entry: Entry, position: int) -> dict[str, Any] | None:
    """The part of a transaction that removes a record's body from its entry; None where it is gone.

    The salt goes with it, and so does the digest of the request that is salted with it; the request's id stays.
    """
    record = entry.records[position]
    if record.body is None:
        return None
    request = entry.idem.id if entry.idem else b""
    path = f"records[{position}]"
    return {
        "Update": {
            **_address(entry.pk, entry_sk(entry.seq)),
            "UpdateExpression": f"REMOVE {path}.body, {path}.salt"
            + (" SET idem = :request" if request else ", idem" if entry.idem else ""),
            "ConditionExpression": f"{path}.digest = :digest AND attribute_exists({path}.body)",
            "ExpressionAttributeValues": {
                ":digest": {"B": record.digest},
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


def _was_overtaken(error: ClientError) -> bool:
    """Whether a redaction failed because another one of the same message was faster."""
    return Cancellation.of(error).failed(1)


def present_redacted(pk: str, message_id: str) -> Message:
    """A redacted message as the API shows it; where its entry is damaged, with the time of now."""
    tail = salvage_tail(pk)
    try:
        return read_messages(pk, [message_id], tail.archived if tail else 0)[0]
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
