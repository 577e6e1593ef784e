"""Annals' exported ledger: its messages, to be stored anew. What its hashes prove stays with the file.

A conversation is held until it is read to its end: its last entries say what is archived, which preamble counts, and
which messages are taken back. These are not stored anew: the conversation goes on as it was for its readers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .conversation import BrokenConversation, Line, Place, to_line
from .values import get_objects, get_text, to_time

FORMAT = "annals-ledger-1"

StoredRecord = tuple[Place, Mapping[str, Any], Mapping[str, Any]]
"""A record, with its entry and the place of that in the file."""

OWN_FIELD = "memory"
"""The field of a stored body that says what a message is as a memory."""


def is_header(value: Mapping[str, Any]) -> bool:
    """Whether a line begins a conversation of an exported ledger."""
    return value.get("format") == FORMAT


def is_entry(value: Mapping[str, Any]) -> bool:
    """Whether a line is an entry of an exported ledger, or an item that was none."""
    return ("entryId" in value and isinstance(value.get("records"), list)) or ("sk" in value and "damaged" in value)


class LedgerConversation:
    """A conversation of an exported ledger while its entries are read."""

    def __init__(self, header: Mapping[str, Any], place: Place) -> None:
        self._name = get_text(header, "conversationId")
        self.place = place
        self._entries: list[tuple[Place, Mapping[str, Any]]] = []

    def add(self, entry: Mapping[str, Any], place: Place) -> None:
        """Add its next entry."""
        self._entries.append((place, entry))

    def lines(self) -> Iterator[Line]:
        """The lines. Raises BrokenConversation, before the first one."""
        if damaged := next((place for place, entry in self._entries if "damaged" in entry), None):
            raise BrokenConversation(f"it holds an item that is no entry, in {damaged}")
        records = [
            (place, entry, record)
            for place, entry in self._entries
            for record in sorted(get_objects(entry, "records"), key=_seq)
        ]
        messages = _without_rewound(records)
        yield to_line(self.place, self._own_line(len(messages)))
        preambles = [each for each in records if each[2].get("kind") == "preamble"]
        archived = max((_number(entry, "archived") for _, entry in self._entries), default=0)
        for kind, chosen in (("preamble", preambles[-1:]), ("message", messages)):
            for place, entry, record in chosen:
                yield to_line(place, self._message_line(kind, entry, record, archived))

    def _own_line(self, count: int) -> dict[str, Any]:
        first = next((entry for _, entry in self._entries), {})
        genesis = next(iter(get_objects(first, "records")), {})
        body = _body(genesis)
        if genesis.get("kind") != "genesis" or not body:
            raise BrokenConversation("its genesis is missing, or was erased")
        last = self._entries[-1][1]
        return {
            "type": "conversation",
            "conversationId": self._name,
            "conversationType": body.get("type"),
            "participants": body.get("participants"),
            **({"sessionId": body["sessionId"]} if "sessionId" in body else {}),
            "metadata": body.get("metadata", {}),
            "createdAt": body.get("createdAt") or to_time(first.get("at")),
            **({"status": "sealed", "messageCount": count} if last.get("state") == "sealed" else {}),
        }

    def _message_line(
        self, kind: str, entry: Mapping[str, Any], record: Mapping[str, Any], archived: int
    ) -> dict[str, Any]:
        own = {
            "type": "message",
            "conversationId": self._name,
            "messageId": f"msg-{_seq(record):03d}",
            "kind": kind,
            "timestamp": to_time(entry.get("at")),
        }
        body = _body(record)
        if not body:
            return {**own, "status": "redacted"}
        memory = body.pop(OWN_FIELD, None)
        kept = (
            {name: memory[name] for name in ("importance", "tags") if name in memory}
            if isinstance(memory, dict)
            else {}
        )
        is_archived = {"status": "archived"} if kind == "message" and _seq(record) <= archived else {}
        return {**own, **body, **kept, **is_archived}


def _without_rewound(records: Sequence[StoredRecord]) -> list[StoredRecord]:
    """The messages among some records that no rewind takes back; a later version is where the first is."""
    spans = [
        (_number(_body(record), "toSeq"), _seq(record)) for _, _, record in records if record.get("kind") == "rewind"
    ]
    places: dict[str, int] = {}
    left = []
    for each in records:
        if each[2].get("kind") != "message":
            continue
        seq, earlier = _seq(each[2]), _body(each[2]).get("supersedes")
        place = places[f"msg-{seq:03d}"] = places.get(earlier, seq) if isinstance(earlier, str) else seq
        if not any(after < place < rewind for after, rewind in spans):
            left.append(each)
    return left


def _body(record: Mapping[str, Any]) -> dict[str, Any]:
    """The body of a record; empty where it is gone. Raises BrokenConversation for what is no body."""
    text = record.get("body")
    if text is None:
        return {}
    try:
        body = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise BrokenConversation(f"the body of its record {_seq(record)} is no JSON object")
    return body


def _number(value: Mapping[str, Any], name: str) -> int:
    number = value.get(name)
    return number if isinstance(number, int) else 0


def _seq(record: Mapping[str, Any]) -> int:
    return _number(record, "seq")
