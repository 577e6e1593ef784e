"""``annals verify``: check an exported ledger, offline."""

from __future__ import annotations

import sys
from pathlib import Path

from annals.cli.files import CommandFailed, open_lines
from annals.cli.part_files import PartFolder
from annals.ledger.export_lines import DamagedLine
from annals.ledger.offline import VerifiedConversation, verify_lines


def run(path: Path, head: str | None, parts: Path | None = None) -> int:
    """Say of each conversation whether it is what was appended; 1 if one is not. Raises CommandFailed.

    ``parts`` is a folder of the large parts, which are checked as well.
    """
    bad = 0
    has_part = PartFolder(parts).has if parts else None
    with open_lines(path) as file:
        try:
            for checked in verify_lines(file.lines(), _noted(head), has_part):
                sys.stdout.write(_report(checked))
                bad += not checked.verification.valid
        except DamagedLine as error:
            raise CommandFailed(f"{path} is not valid: {error}") from None
    return 1 if bad else 0


def _noted(head: str | None) -> bytes | None:
    try:
        return None if head is None else bytes.fromhex(head)
    except ValueError:
        raise CommandFailed(f"--head takes a hash in hexadecimal, not {head!r}") from None


def _report(checked: VerifiedConversation) -> str:
    result, name = checked.verification, checked.header.conversation_id
    if not result.valid:
        return f"{name}: NOT VALID at seq {result.first_bad_seq}: {result.reason}\n"
    redacted = f", {result.redacted} redacted" if result.redacted else ""
    parts = f", {result.parts} parts" if result.parts else ""
    return (
        f"{name}: valid, {result.entries} entries, {result.message_count} messages{redacted}{parts}\n"
        f"  head hash {result.head_hash.hex()}\n"
    )
