"""``annals export``: conversations into a file."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from annals.cli.files import CommandFailed, open_lines
from annals.cli.part_files import PartFolder
from annals.cli.progress import byte_bar
from annals.cli.service import connect
from annals_client.calls import Call, Repeat, RequestSpec, Route

ONE = Route.of("GET /v1/conversations/{conversationId}/export")
MANY = Route.of("GET /v1/conversations/export")

WITH_PARTS = ("jsonl", "ledger")
"""The formats whose lines say whose each part is."""


@dataclass(frozen=True)
class Export:
    """What to export: a conversation, or all that a filter matches, by the names that the API's parameters have."""

    format: str
    conversation_id: str | None
    filter: Mapping[str, str]
    with_metadata: bool = True
    keep_formulas: bool = False

    def call(self) -> Call[None]:
        """The request for the file. Raises InvalidArgument."""
        route, ids = (MANY, {}) if self.conversation_id is None else (ONE, {"conversation_id": self.conversation_id})
        return Call.of(route, RequestSpec(ids, query=self._query_params()), lambda _: None, Repeat.SAFELY)

    def _query_params(self) -> dict[str, str]:
        metadata = {} if self.with_metadata else {"includeMetadata": "false"}
        formulas = {"formulas": "keep"} if self.keep_formulas else {}
        return {**self.filter, "format": self.format, **metadata, **formulas}


def run(url: str, key: str, export: Export, output: Path, parts: Path | None = None) -> None:
    """Write the file; ``-`` is the standard output. Raises CommandFailed, and then keeps no file.

    ``parts`` is a folder that gets the large parts of the messages.
    """
    to = sys.stdout.buffer if str(output) == "-" else output
    if parts and (to is not output or export.format not in WITH_PARTS):
        raise CommandFailed(f"--parts goes with a file in format {' or '.join(WITH_PARTS)}")
    with connect(url, key) as annals, byte_bar("exported") as bar:
        try:
            annals.sender.save(export.call(), to, bar.update)
            if parts:
                with open_lines(output) as file:
                    PartFolder(parts).save(annals, file.lines())
        except OSError as error:
            raise CommandFailed(f"{output} cannot be written: {error.strerror or error}") from None
