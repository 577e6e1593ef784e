"""Alarms for changes behind the API: a stored entry changes only by a redaction or an erasure, and is never deleted.

No permission can enforce this for every way to the table. So whoever reads its stream looks at each change of an entry
after its first writing, and raises the alarm unless the ledger explains it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping

from annals import telemetry
from annals.database.damage import report_damage
from annals.errors import DamagedEntry
from annals.ledger.entry import ERASED, REDACTION
from annals.ledger.read import walk, walk_items
from annals.ledger.scrub import is_scrubbed
from annals.ledger.tail import read_tail

logger = logging.getLogger("annals")

PAGE = 25
"""How many entries one round trip reads when a redaction is looked for, which mostly is one of the last."""


def report_unexplained(pk: str, changes: Mapping[int, str]) -> None:
    """Raise the alarm for each change to a conversation's entries that the ledger does not explain.

    Parameters
    ----------
    pk : the conversation's partition key
    changes : MODIFY or REMOVE, by the seq at which the entry begins
    """
    for seq, change in changes.items():
        if change == "REMOVE" or not _is_explained(pk, seq):
            telemetry.count("UnexplainedLedgerChange")
            logger.error("The entry at seq %s of %s was changed behind the API (%s): verify it", seq, pk, change)


def report_unknown_items(keys: Iterable[tuple[str, str]]) -> None:
    """Raise the alarm for items of the ledger's table that are no entries of a conversation, by their keys."""
    for pk, sk in keys:
        report_damage(DamagedEntry(pk, sk, "its key is none of an entry"))


def _is_explained(pk: str, seq: int) -> bool:
    """Whether an entry is as it was appended, except for what was erased or redacted; or was damaged, and scrubbed."""
    try:
        tail = read_tail(pk)
        if tail and tail.state == ERASED and any(map(is_scrubbed, walk_items(pk, first=seq, last=seq))):
            return True
        entry = next(walk(pk, first=seq, last=seq), None)
        if tail is None or entry is None or not entry.is_intact:
            return False
        bare = {record.seq for record in entry.records if record.body is None}
        return tail.state == ERASED or (bool(bare) and bare <= _redacted_after(pk, entry.last_seq, until=bare))
    except DamagedEntry:
        return False


def _redacted_after(pk: str, after: int, *, until: set[int]) -> set[int]:
    """The seqs that redactions after a seq name, read no further back than until these are among them."""
    redacted: set[int] = set()
    for seq in _walk_redactions(pk, after):
        redacted.add(seq)
        if until <= redacted:
            break
    return redacted


def _walk_redactions(pk: str, after: int) -> Iterator[int]:
    """The seqs that redactions after a seq name, the newest first."""
    for entry in walk(pk, first=after + 1, newest_first=True, page=PAGE):
        for record in entry.records:
            seq = (record.json_body() or {}).get("seq") if record.kind == REDACTION else None
            if isinstance(seq, int):
                yield seq
