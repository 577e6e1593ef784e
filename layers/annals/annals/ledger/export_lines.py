"""An exported ledger as JSON lines, ``annals-ledger-1``: whole entries with all that their chain needs.

A conversation is a header and then its entries, oldest first; a file may hold several conversations. Bytes are in
hexadecimal, and a body is the very JSON text that was hashed, in a string.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from annals.errors import DamagedEntry
from annals.json_text import dump
from annals.ledger.entry import Entry, Record
from annals.ledger.keys import split_conversation_pk
from annals.ledger.verify import Checkpoint
from annals.times import from_rfc3339, to_rfc3339

FORMAT = "annals-ledger-1"

HEADER = {"format": str, "conversationId": str, "pk": str, "seq": int, "messageCount": int, "headHash": str,
          "exportedAt": str}  # fmt: skip
ENTRY = {"entryId": str, "count": int, "state": str, "at": int, "prev": str, "hash": str, "pk": str, "records": list}
ENTRY_OPTIONAL = {"preamble": int, "archived": int, "rewind": int, "said": int}
HEADER_OPTIONAL = {"known": dict}
KNOWN = {"seq": int, "headHash": str}
DAMAGED = {"sk": str, "damaged": str}
RECORD = {"seq": int, "kind": str, "digest": str}
RECORD_OPTIONAL = {"salt": (str, type(None)), "body": (str, type(None))}
"""The fields of each kind of line, and of what is in it, with their types."""


class DamagedLine(ValueError):
    """A line does not belong to an exported ledger; the argument says why."""


@dataclass(frozen=True)
class Header:
    """What an exported conversation begins with: its key, and where its chain ended when the export began.

    ``known`` is the checkpoint of the conversation's head in the state table, where that is another one.
    """

    pk: str
    checkpoint: Checkpoint
    message_count: int
    exported_at: int
    known: Checkpoint | None = None

    @property
    def conversation_id(self) -> str:
        return split_conversation_pk(self.pk)[1]


def header_line(header: Header) -> str:
    """A header as a line, without its end."""
    return dump(
        {
            "format": FORMAT,
            "conversationId": header.conversation_id,
            "pk": header.pk,
            "seq": header.checkpoint.seq,
            "messageCount": header.message_count,
            "headHash": header.checkpoint.hash.hex(),
            "exportedAt": to_rfc3339(header.exported_at),
            **({"known": {"seq": known.seq, "headHash": known.hash.hex()}} if (known := header.known) else {}),
        }
    )


def entry_line(entry: Entry) -> str:
    """An entry as a line, without its end."""
    copies = {name: getattr(entry, name) or None for name in ("preamble", "archived", "rewind")} | {"said": entry.said}
    return dump(
        {
            "entryId": entry.entry_id,
            "count": entry.count,
            "state": entry.state,
            "at": entry.at,
            "prev": entry.prev.hex(),
            "hash": entry.hash.hex(),
            "pk": entry.pk,
            **{name: copy for name, copy in copies.items() if copy is not None},
            "records": [_record_fields(record) for record in entry.records],
        }
    )


def damaged_line(damaged: DamagedEntry) -> str:
    """The line of an item that is no entry: its sort key, and why it is none."""
    return dump({"sk": damaged.sk, "damaged": damaged.reason})


def read_line(text: str | bytes) -> Header | Entry | DamagedEntry:
    """The header or the entry of a line, or the item that was no entry. Raises DamagedLine."""
    try:
        values = json.loads(text)
        if isinstance(values, dict) and "damaged" in values:
            _require(values, DAMAGED)
            return DamagedEntry("", values["sk"], values["damaged"])
        if isinstance(values, dict) and "format" in values:
            return _header(values)
        return _entry(values)
    except (ValueError, RecursionError) as error:
        raise DamagedLine(str(error)) from None


def _record_fields(record: Record) -> dict[str, Any]:
    """A record's fields. Bytes that are no text were never appended; with what replaces them, the digest differs."""
    return {
        "seq": record.seq,
        "kind": record.kind,
        "digest": record.digest.hex(),
        "salt": None if record.salt is None else record.salt.hex(),
        "body": None if record.body is None else record.body.decode(errors="replace"),
    }


def _header(values: dict[str, Any]) -> Header:
    if values["format"] != FORMAT:
        raise DamagedLine(f"this is format {values['format']!r}; known is {FORMAT}")
    _require(values, HEADER, HEADER_OPTIONAL)
    at = from_rfc3339(values["exportedAt"])
    header = Header(values["pk"], _checkpoint(values), values["messageCount"], at, _known(values))
    if header.conversation_id != values["conversationId"]:
        raise DamagedLine("the header's pk is that of another conversation")
    return header


def _checkpoint(values: dict[str, Any]) -> Checkpoint:
    return Checkpoint(values["seq"], bytes.fromhex(values["headHash"]))


def _known(values: dict[str, Any]) -> Checkpoint | None:
    if "known" not in values:
        return None
    _require(values["known"], KNOWN)
    return _checkpoint(values["known"])


def _entry(values: Any) -> Entry:
    _require(values, ENTRY, ENTRY_OPTIONAL)
    if not values["records"]:
        raise DamagedLine("the entry has no records")
    return Entry(
        pk=values["pk"],
        entry_id=values["entryId"],
        records=tuple(_record(each) for each in values["records"]),
        count=values["count"],
        state=values["state"],
        at=values["at"],
        prev=bytes.fromhex(values["prev"]),
        hash=bytes.fromhex(values["hash"]),
        preamble=values.get("preamble", 0),
        archived=values.get("archived", 0),
        rewind=values.get("rewind", 0),
        said=values.get("said"),
    )


def _record(values: Any) -> Record:
    _require(values, RECORD, RECORD_OPTIONAL)
    salt, body = values.get("salt"), values.get("body")
    return Record(
        seq=values["seq"],
        kind=values["kind"],
        digest=bytes.fromhex(values["digest"]),
        body=None if body is None else body.encode(),
        salt=None if salt is None else bytes.fromhex(salt),
    )


def _require(values: Any, fields: dict[str, Any], optional: dict[str, Any] | None = None) -> None:
    """Raise DamagedLine unless this is an object with these fields, each of its type, and no others."""
    if not isinstance(values, dict):
        raise DamagedLine("it is no JSON object")
    known = fields | (optional or {})
    for name in fields:
        if name not in values:
            raise DamagedLine(f"it has no {name}")
    for name, value in values.items():
        if name not in known:
            raise DamagedLine(f"it has an unknown field {name!r}")
        if not isinstance(value, known[name]) or isinstance(value, bool):
            raise DamagedLine(f"its {name} is of the wrong type")
