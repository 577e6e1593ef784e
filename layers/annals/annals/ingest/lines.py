"""The lines of a transcript: envelopes, or conversations, messages and runs as an export writes them."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO

from pydantic import ValidationError

from annals.access.caller import Caller
from annals.api.problems import from_validation
from annals.conversations.create import NewConversation
from annals.conversations.import_models import ConversationLine, MessageLine, RedactedLine, RunLine, parse_line
from annals.conversations.read import open_conversation
from annals.conversations.run_store import create_run_if_missing
from annals.errors import InvalidInput
from annals.ingest.envelope import parse_envelope
from annals.ingest.storing import find_or_create, store_envelope, store_records
from annals.ledger.idempotency import IdempotentRequest
from annals.ledger.marks import add_preamble
from annals.ledger.messages import new_message

MAX_LINE_BYTES = 4 * 1024 * 1024
"""How much of a line is read; a longer one would not fit an entry anyway."""

GZIP = b"\x1f\x8b"


def numbered_lines(body: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """The lines of a file, plain or gzip, each with its number from 1, read lazily; blank ones are left out.

    Of a line that is longer than MAX_LINE_BYTES only the beginning is given, which is more than that.

    Raises
    ------
    InvalidInput : gzip's own checks fail
    """
    plain = io.BufferedReader(body)  # type: ignore[type-var]  # reads like a raw file
    lines: Any = gzip.GzipFile(fileobj=plain) if plain.peek(len(GZIP)).startswith(GZIP) else plain
    number = 0
    try:
        while line := lines.readline(MAX_LINE_BYTES + 1):
            number += 1
            rest = line
            while len(rest) > MAX_LINE_BYTES and not rest.endswith(b"\n"):
                rest = lines.readline(MAX_LINE_BYTES + 1)
            text = line.removeprefix(b"\xef\xbb\xbf" if number == 1 else b"").strip()
            if text:
                yield number, text
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InvalidInput("INVALID_FORMAT", f"What follows line {number} is damaged: {error}.") from None


def store_line(caller: Caller, payload: Any, request: IdempotentRequest) -> None:
    """Store a line's JSON value. Raises AnnalsError."""
    try:
        line = parse_line(payload)
        if line is None:
            store_envelope(caller, parse_envelope(payload), request)
        elif isinstance(line, ConversationLine):
            find_or_create(caller, _to_new(line))
        elif isinstance(line, RunLine):
            create_run_if_missing(open_conversation(caller, line.conversation_id).pk, line.to_new())
        else:
            _store_message(caller, line, request)
    except ValidationError as error:
        raise from_validation(error.errors()) from None


def _to_new(line: ConversationLine) -> NewConversation:
    if line.offset or line.status != "active":
        raise _only_for_imports("status" if line.status != "active" else "offset")
    return line.to_new()


def _store_message(caller: Caller, line: MessageLine | RedactedLine, request: IdempotentRequest) -> None:
    if line.status == "archived":
        raise _only_for_imports("status")
    if line.kind == "message":
        thread_id = line.thread_id if isinstance(line, MessageLine) else None
        store_records(caller, line.conversation_id, [new_message(line.stored_fields())], thread_id, request)
    elif isinstance(line, MessageLine):
        add_preamble(caller.tenant, line.conversation_id, line.content, line.metadata, request)


def _only_for_imports(field: str) -> InvalidInput:
    detail = "POST /v1/conversations/import takes what is archived, sealed or sent in parts."
    return InvalidInput("INVALID_FORMAT", detail, field=field)
