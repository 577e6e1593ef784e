"""``annals verify``: check an exported ledger, offline."""

from __future__ import annotations

import sys
from pathlib import Path

from annals.cli.files import CommandFailed, open_lines
from annals.ledger.export_lines import DamagedLine
from annals.ledger.offline import VerifiedConversation, verify_lines


def run(path: Path, head: str | None) -> int:
    """Say of each conversation whether it is what was appended; 1 if one is not. Raises CommandFailed."""
    bad = 0
    with open_lines(path) as file:
        try:
            for checked in verify_lines(file.lines(), _noted(head)):
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
    return (
        f"{name}: valid, {result.entries} entries, {result.message_count} messages{redacted}\n"
        f"  head hash {result.head_hash.hex()}\n"
    )
