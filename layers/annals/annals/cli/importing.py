"""``annals import``: a file of any size, plain or gzip."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from annals.cli.files import LineFile, open_lines
from annals.cli.part_files import PartFolder
from annals.cli.progress import byte_bar
from annals.cli.service import connect


def run(url: str, key: str, path: Path, owners: Mapping[str, str], parts: Path | None = None) -> None:
    """Send the file and say what was stored. Raises CommandFailed.

    Parameters
    ----------
    owners : whose the chats of OpenAI's format are, by the names of the client's arguments
    parts : a folder of the large parts that the file refers to
    """
    named: Any = owners
    with open_lines(path) as file, connect(url, key) as annals, byte_bar("imported", file.size) as bar:
        lines = _counted_lines(file, bar)
        uploading = PartFolder(parts).upload(annals, lines) if parts else lines
        results = annals.conversations.import_(uploading, **named)
    imported, skipped = sum(each.imported for each in results), sum(each.skipped for each in results)
    sys.stdout.write(f"{len(results)} conversations: {imported} messages imported, {skipped} there before\n")


def _counted_lines(file: LineFile, bar: Any) -> Iterator[bytes]:
    """The lines of a file; the bar shows how much of it was read."""
    for line in file.lines():
        yield line
        bar.update(file.position() - bar.n)
