"""Redaction: a message's content goes, its place and digest stay, and a record says who withdrew it and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from botocore.exceptions import ClientError

from annals.dynamodb import client, to_item
from annals.errors import MessageNotFound
from annals.json_text import dump
from annals.ledger.append import NewRecord, append
from annals.ledger.entry import ERASURE, MESSAGE, PREAMBLE, REDACTION, Entry, Record
from annals.ledger.items import record_attributes
from annals.ledger.keys import conversation_pk, entry_sk
from annals.ledger.messages import seq_of
from annals.ledger.read import read_records
from annals.settings import settings


def redact(
    tenant: str,
    conversation_id: str,
    message_id: str,
    reason: str,
    by: str,
    *,
    also: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Withdraw a message's content. Doing it again changes nothing.

    The record, the scrub and ``also`` are one transaction. Raises MessageNotFound, and what ``append`` raises.
    """
    entry, place = _find(conversation_pk(tenant, conversation_id), message_id)
    record = entry.records[place]
    if record.body is None:
        return
    body = {"seq": record.seq, "reason": reason, "by": by}
    request = entry.idem.id if entry.idem else b""
    scrub = {
        "Update": {
            **_address(entry),
            "UpdateExpression": f"REMOVE records[{place}].body, records[{place}].salt"
            + (" SET idem = :request" if request else ", idem" if entry.idem else ""),
            "ConditionExpression": f"records[{place}].digest = :digest AND attribute_exists(records[{place}].body)",
            "ExpressionAttributeValues": {
                ":digest": {"B": record.digest},
                **({":request": {"B": request}} if request else {}),
            },
        }
    }
    try:
        append(tenant, conversation_id, [NewRecord(REDACTION, dump(body).encode())], also=[scrub, *also])
    except ClientError as error:
        if not _was_faster(error):
            raise


def _was_faster(error: ClientError) -> bool:
    """Whether a redaction failed because another one of the same message came first."""
    reasons: Any = error.response.get("CancellationReasons", [])
    return len(reasons) > 1 and reasons[1]["Code"] == "ConditionalCheckFailed"


def scrub_entry(entry: Entry) -> None:
    """Take everything that was said out of an entry, and leave what its place in the chain needs."""
    if entry.records[0].kind == ERASURE:
        return
    bare = [record_attributes(Record(record.seq, record.kind, record.digest)) for record in entry.records]
    client().update_item(
        **_address(entry),
        UpdateExpression="SET records = :bare REMOVE idem, thread",
        ConditionExpression="entryId = :entry",
        ExpressionAttributeValues=to_item({":bare": bare, ":entry": entry.entry_id}),
    )


def _find(pk: str, message_id: str) -> tuple[Entry, int]:
    """The entry of a message, and the message's place in it."""
    seq = seq_of(message_id)
    entry = next(read_records(pk, seq, seq), None) if seq else None
    for place, record in enumerate(entry.records if entry else ()):
        if entry and record.seq == seq and record.kind in (MESSAGE, PREAMBLE):
            return entry, place
    raise MessageNotFound(message_id)


def _address(entry: Entry) -> dict[str, Any]:
    key = {"pk": {"S": entry.pk}, "sk": {"S": entry_sk(entry.seq)}}
    return {"TableName": settings().ledger_table, "Key": key}
