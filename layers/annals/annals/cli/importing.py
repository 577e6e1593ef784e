"""``annals import``: a file of any size and of many apps, plain, gzip or zip."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from annals.cli.files import CommandFailed, open_lines
from annals.cli.part_files import PartFolder
from annals.cli.progress import byte_bar
from annals.cli.service import connect
from annals_client import Annals, ValidationFailed
from annals_client.models import Imports

STDIN = "-"
"""Stands for the standard input instead of a file."""


OWNER_FIELDS = ("memorySpaceId", "participants")
HINT = "The file doesn't say whose its conversations are: give --memory-space, and --user or --agent."
"""The fields of refusals that the command's own options answer, and the sentence that says so."""


@dataclass(frozen=True)
class Import:
    """What to import, and how.

    Parameters
    ----------
    owners : whose the conversations of other apps are, by the names of the client's arguments
    parts : a folder of the large parts that a file of Annals' own lines refers to
    """

    path: Path
    owners: Mapping[str, str]
    skip_broken: bool = False
    dry_run: bool = False
    as_json: bool = False
    parts: Path | None = None


def run(url: str, key: str, wanted: Import) -> None:
    """Send the file and report what was stored. Raises CommandFailed."""
    with connect(url, key) as annals, byte_bar("imported", _size(wanted.path)) as bar:
        named: Any = {"skip_broken": wanted.skip_broken, "dry_run": wanted.dry_run, **wanted.owners}
        on_read = partial(_move, bar)
        try:
            with _source(wanted, annals) as source:
                results = annals.conversations.import_(source, on_read=on_read, **named)
        except OSError as error:
            raise CommandFailed(f"{wanted.path} cannot be read: {error.strerror or error}") from None
        except ValidationFailed as refusal:
            if refusal.field not in OWNER_FIELDS:
                raise
            raise CommandFailed(f"{refusal.detail} {HINT}") from None
    report = _report(results)
    sys.stdout.write(f"{json.dumps(report)}\n" if wanted.as_json else _table(report, is_dry_run=wanted.dry_run))


@contextmanager
def _source(wanted: Import, annals: Annals) -> Iterator[Any]:
    """What is to be imported; references to parts in a folder become uploads as it is read."""
    if wanted.parts:
        with open_lines(wanted.path) as file:
            yield PartFolder(wanted.parts).upload(annals, file.lines())
    else:
        yield sys.stdin.buffer if str(wanted.path) == STDIN else wanted.path


def _move(bar: Any, position: int) -> None:
    bar.update(position - bar.n)


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None


def _report(results: Imports) -> dict[str, Any]:
    """What became of the conversations: those that took messages, those that were there, those that were left out."""
    imported = sum(1 for each in results if each.imported or not each.skipped)
    return {
        "conversations": {"imported": imported, "skipped": len(results) - imported, "broken": len(results.broken)},
        "messages": {
            "imported": sum(each.imported for each in results),
            "skipped": sum(each.skipped for each in results),
        },
        "broken": [each.model_dump(by_alias=True, exclude_none=True) for each in results.broken],
    }


def _table(report: Mapping[str, Any], *, is_dry_run: bool) -> str:
    conversations, messages = report["conversations"], report["messages"]
    rows = [
        ("", "conversations", "messages"),
        ("would be imported" if is_dry_run else "imported", conversations["imported"], messages["imported"]),
        ("there before", conversations["skipped"], messages["skipped"]),
        ("broken", conversations["broken"], ""),
    ]
    lines = [f"{name:<18}{count:>14}{number:>12}".rstrip() for name, count, number in rows]
    return "".join(f"{line}\n" for line in [*lines, *(f"  {each['detail']}" for each in report["broken"])])
