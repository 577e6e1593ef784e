"""Watching the ledger: an entry that is in place changes by a redaction or an erasure, and never goes.

No permission can demand this of every way to the table. So whoever reads its stream looks at each change that came
after an entry's first writing, and asks the ledger whether it explains it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping

from annals import telemetry
from annals.database.damage import report_damage
from annals.errors import DamagedEntry
from annals.ledger.entry import ERASED, REDACTION
from annals.ledger.read import entry_items, walk
from annals.ledger.scrub import is_scrubbed
from annals.ledger.tail import read_tail

logger = logging.getLogger("annals")

PAGE = 25
"""How many entries one round trip reads on the way back to a redaction, which mostly is one of the last."""


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
    """Whether an entry is as it was appended, but for what was erased or redacted; a damaged one holds no words."""
    try:
        tail = read_tail(pk)
        if tail and tail.state == ERASED and any(map(is_scrubbed, entry_items(pk, first=seq, last=seq))):
            return True
        entry = next(walk(pk, first=seq, last=seq), None)
        if tail is None or entry is None or not entry.is_intact:
            return False
        gone = {record.seq for record in entry.records if record.body is None}
        return tail.state == ERASED or (bool(gone) and gone <= _redacted(pk, gone, entry.last_seq))
    except DamagedEntry:
        return False


def _redacted(pk: str, wanted: set[int], behind: int) -> set[int]:
    """Those of some records that redactions behind a seq name."""
    named: set[int] = set()
    for seq in _redactions(pk, behind):
        named.add(seq)
        if wanted <= named:
            break
    return named


def _redactions(pk: str, behind: int) -> Iterator[int]:
    """The seqs that redactions behind a seq name, the newest first."""
    for entry in walk(pk, first=behind + 1, newest_first=True, page=PAGE):
        for record in entry.records:
            seq = (record.said() or {}).get("seq") if record.kind == REDACTION else None
            if isinstance(seq, int):
                yield seq
