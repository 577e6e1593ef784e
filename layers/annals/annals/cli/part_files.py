"""Parts of messages in a folder: a file for each, named by its SHA-256. Exports fill it, imports and checks read it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from hashlib import file_digest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from annals.cli.files import CommandFailed
from annals.formats.references import FIELD, Reference
from annals.ledger.keys import split_conversation_pk
from annals.ledger.part_fields import references_of, with_references_of

if TYPE_CHECKING:
    from annals_client import Annals  # not at runtime: a check of parts needs no client

MARK = FIELD.encode()
"""What is in every line that holds a reference, as JSON or as JSON within a text."""

Named = tuple[str, str, Reference]
"""The ids of a conversation and of its message, and a reference in that."""


class PartFolder:
    """A folder of parts. Raises CommandFailed where it cannot be read or written."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._uploaded: dict[Reference, Any] = {}

    def save(self, annals: Annals, lines: Iterable[bytes]) -> int:
        """Fetch the parts that an export refers to, but for those that are there; how many these are together."""
        self._folder.mkdir(parents=True, exist_ok=True)
        names = set()
        for conversation_id, message_id, reference in _named_in(lines):
            names.add(reference.sha256)
            path = self._folder / reference.sha256
            if not (path.exists() and path.stat().st_size == reference.size):
                annals.messages.download(conversation_id, message_id, reference.sha256, path)
        return len(names)

    def upload(self, annals: Annals, lines: Iterable[bytes]) -> Iterator[bytes]:
        """The lines of an import, with references to uploads: each part is uploaded once for all that refer to it."""
        for line in lines:
            if MARK not in line:
                yield line
                continue
            value = json.loads(line)
            yield json.dumps(with_references_of(value, lambda each: self._to_upload(annals, each))).encode()

    def has(self, reference: Reference) -> bool:
        """Whether a part is there, and its bytes are the right ones."""
        try:
            with (self._folder / reference.sha256).open("rb") as file:
                return file_digest(file, "sha256").hexdigest() == reference.sha256
        except FileNotFoundError:
            return False

    def _to_upload(self, annals: Annals, reference: Reference) -> Any:
        if reference not in self._uploaded:
            path = self._folder / reference.sha256
            if not self.has(reference):
                raise CommandFailed(f"{path} is missing, or is not the part that it should be")
            self._uploaded[reference] = annals.messages.upload(
                path, media_type=reference.media_type, encoding=reference.encoding, prefix=reference.prefix or None
            )
        return self._uploaded[reference]


def _named_in(lines: Iterable[bytes]) -> Iterator[Named]:
    """The references in the lines of an export, of messages or of a ledger."""
    for line in lines:
        if MARK in line:
            value = json.loads(line)
            read: Callable[[Any], Iterator[Named]] = _of_entry if "records" in value else _of_message
            yield from read(value)


def _of_message(message: Any) -> Iterator[Named]:
    for reference in references_of(message):
        yield message["conversationId"], message["messageId"], reference


def _of_entry(entry: Any) -> Iterator[Named]:
    _, conversation_id = split_conversation_pk(entry["pk"])
    for record in entry["records"]:
        if record["kind"] == "message" and record["body"] is not None:
            for reference in references_of(json.loads(record["body"])):
                yield conversation_id, f"msg-{record['seq']:03d}", reference
