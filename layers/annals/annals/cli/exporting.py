"""``annals export``: conversations into a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from annals.cli.files import finished_file
from annals.cli.progress import byte_bar
from annals.cli.service import Service, require_success


@dataclass(frozen=True)
class Wanted:
    """What to export: a conversation, or all that filters match."""

    format: str
    conversation_id: str | None
    filters: Mapping[str, str]
    with_metadata: bool = True
    keeps_formulas: bool = False

    @property
    def path(self) -> str:
        if self.conversation_id is None:
            return "/v1/conversations/export"
        return f"/v1/conversations/{quote(self.conversation_id, safe='')}/export"

    @property
    def query(self) -> dict[str, str]:
        metadata = {} if self.with_metadata else {"includeMetadata": "false"}
        formulas = {"formulas": "keep"} if self.keeps_formulas else {}
        return {**self.filters, "format": self.format, **metadata, **formulas}


def run(service: Service, wanted: Wanted, output: Path) -> None:
    """Write what is wanted. Raises CommandFailed, and then keeps no file."""
    with service.client() as client, client.stream("GET", wanted.path, params=wanted.query) as answer:
        require_success(answer)
        with finished_file(output) as file, byte_bar("exported") as bar:
            for chunk in answer.iter_bytes():
                file.write(chunk)
                bar.update(len(chunk))
