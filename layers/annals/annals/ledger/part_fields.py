"""Where in a message references to parts can be: in its ``parts``, and in ``contentPart`` for the whole text."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

from annals.database.item_size import MAX_ENTRY_BYTES
from annals.formats.references import FIELD, Reference, find_reference, references_in, stands_for, with_references
from annals.json_text import canonical_text
from annals.ledger.entry import MESSAGE, Entry, Record
from annals.ledger.keys import split_conversation_pk

PARTS, CONTENT, WHOLE_CONTENT = "parts", "content", "contentPart"
"""The fields of a stored body that hold a message's parts, its text or the text's beginning, and the whole text."""

MARK = f'"{FIELD}"'.encode()
"""What is in the body of every message that holds a reference, and in hardly any other."""

OVERHEAD_BYTES = 4 * 1024
"""What an entry takes at most beside its records."""

RECORD_BYTES = 128
"""What a record takes at most beside its body."""


def may_have_parts(entry: Entry) -> bool:
    """Whether a new entry may have no room for its messages, or these may name uploads: of most, neither is so."""
    size = sum(len(record.body or b"") + RECORD_BYTES for record in entry.records)
    return size > MAX_ENTRY_BYTES - OVERHEAD_BYTES or any(
        record.kind == MESSAGE and MARK in (record.body or b"") for record in entry.records
    )


def with_part_urls(body: dict[str, Any], record: Record, pk: str, message_id: str) -> dict[str, Any]:
    """A message's body with the route of each of its parts. Of one without parts, the body itself."""
    if record.body is None or MARK not in record.body:
        return body
    base = parts_url(pk, message_id)

    def present(reference: Reference) -> dict[str, Any]:
        return reference.to_json(url=base + reference.sha256)

    return with_references_of(body, present)


def parts_url(pk: str, message_id: str) -> str:
    """The route of a message's parts, to which a SHA-256 is to be added."""
    _, conversation_id = split_conversation_pk(pk)
    return f"/v1/conversations/{quote(conversation_id, safe='')}/messages/{message_id}/parts/"


def references_of(message: Mapping[str, Any]) -> Iterator[Reference]:
    """The references in a message, or in its body."""
    for name in (PARTS, WHOLE_CONTENT):
        yield from references_in(message.get(name))


def with_references_of(message: Mapping[str, Any], replace: Callable[[Reference], Any]) -> dict[str, Any]:
    """A message, or its body, with something else in the place of each reference."""
    named = {name: with_references(message[name], replace) for name in (PARTS, WHOLE_CONTENT) if name in message}
    return {**message, **named}


def has_same_parts(stored: Mapping[str, Any], given: Mapping[str, Any]) -> bool:
    """Whether a message is the stored one, of which parts may be beside the ledger that it has itself."""
    if WHOLE_CONTENT in stored and WHOLE_CONTENT not in given:
        given = {**given, CONTENT: stored.get(CONTENT), WHOLE_CONTENT: given.get(CONTENT)}
    return stored.keys() == given.keys() and all(_is_same(stored[name], given[name]) for name in stored)


def _is_same(stored: Any, given: Any) -> bool:
    if reference := find_reference(stored):
        return stands_for(reference, given)
    if isinstance(stored, dict) and isinstance(given, dict):
        return stored.keys() == given.keys() and all(_is_same(stored[name], given[name]) for name in stored)
    if isinstance(stored, list) and isinstance(given, list):
        return len(stored) == len(given) and all(map(_is_same, stored, given))
    return canonical_text(stored) == canonical_text(given)
