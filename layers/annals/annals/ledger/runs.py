"""Runs: the messages that belong together because one call of an agent made them.

A message with a ``runId`` belongs to that run. One without belongs to the turn that the user message before it began.
Runs are given whole, so that a tool's result never comes without the call that it answers.
"""

from __future__ import annotations

from collections.abc import Iterator

from annals.answers import Room
from annals.formats.turns import is_question, is_result
from annals.ledger.entry import Entry, Record, Tail
from annals.ledger.messages import Message, present_message
from annals.ledger.rewound import Rewound, newest_records
from annals.ledger.versions import newest_versions
from annals.settings import settings

READ_ON = 100
"""After how many messages of other runs in a row the reading ends: runs that interleave do so closely."""


def last_runs(
    pk: str, tail: Tail, count: int, *, archived: bool = False, rewound: bool = False
) -> tuple[list[Message], bool]:
    """The messages of the last ``count`` runs, in chronological order, and whether an answer has room for them all.

    ``archived`` and ``rewound`` are whether such messages are among them. Where an answer has not, the oldest runs are
    left out whole, and of a single run its oldest messages.
    """
    runs: dict[str, None] = {}
    newest_first: list[tuple[str, Message]] = []
    others, room = 0, Room()
    for run, message in _with_runs(_newest_first(pk, tail, archived=archived, rewound=rewound)):
        if len(runs) < count:
            runs.setdefault(run)
        if run in runs:
            if not room.takes(message):
                whole = [message for name, message in newest_first if name != run]
                return (whole or [message for _, message in newest_first])[::-1], False
            newest_first.append((run, message))
            others = 0
        elif (others := others + 1) >= READ_ON:
            break
    return [message for _, message in newest_first][::-1], True


def _with_runs(newest_first: Iterator[Message]) -> Iterator[tuple[str, Message]]:
    """Each message with its run's name. A turn without one is named for the seq at which it ends.

    A tool's result that names no run belongs to the run of the call before it.
    """
    turn = None
    results: list[Message] = []
    for message in newest_first:
        if "runId" not in message:
            turn = turn or f"turn {message['seq']}"
            if is_result(message):
                results.append(message)
                continue
        run = f"run {message['runId']}" if "runId" in message else turn or ""
        yield from ((run, each) for each in (*results, message))
        results = []
        if is_question(message):
            turn = None
    yield from ((turn or "", each) for each in results)


def _newest_first(pk: str, tail: Tail, *, archived: bool, rewound: bool) -> Iterator[Message]:
    floor = 0 if archived else tail.archived
    all_rewound = Rewound.at(pk, tail)
    records = newest_records(tail, Rewound(pk, 0) if rewound else all_rewound, floor=floor, page=100)
    for placed in newest_versions(pk, _bounded(records), floor):
        is_rewound = all_rewound.hides(placed.seq)
        yield present_message(placed.record, placed.entry, tail.archived, rewound=is_rewound)


def _bounded(records: Iterator[tuple[Record, Entry]]) -> Iterator[tuple[Record, Entry]]:
    """Records, as many as one answer may read: the last of them are all of an entry."""
    read_bytes, full_at = 0, None
    for record, entry in records:
        if full_at is not None and entry.seq != full_at:
            return
        read_bytes += len(record.body or b"")
        full_at = entry.seq if read_bytes > settings().max_page_bytes else None
        yield record, entry
