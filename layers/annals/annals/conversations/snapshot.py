"""Snapshots: a conversation as it is when an export of it begins, read page by page and never held whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from annals.conversations.heads import Head, find_stored_head
from annals.conversations.lists import Order, Selection, walk_matches
from annals.conversations.presenters import present_conversation
from annals.conversations.read import get_head_at, get_tail
from annals.conversations.run_models import present_run
from annals.conversations.run_store import walk_runs
from annals.errors import ConversationErased, ConversationNotFound, DamagedEntry
from annals.ledger.entry import ERASED, MESSAGE, Entry, Record, Tail
from annals.ledger.history import read_preamble
from annals.ledger.keys import conversation_pk, seq_of_sk
from annals.ledger.messages import Message, message_id, present_message
from annals.ledger.part_reading import with_stored_parts
from annals.ledger.read import walk_all, walk_checked
from annals.ledger.rewound import Rewound
from annals.ledger.verify import Checkpoint
from annals.ledger.versions import PlacedRecord, is_rewound, newest_versions
from annals.times import to_rfc3339

CREATED_ORDER = Order("createdAt", descending=False)
"""The order that nothing changes: whoever walks through it misses no conversation that grows meanwhile."""


Versions = Callable[[Iterator[tuple[Record, Entry]]], Iterator[PlacedRecord]]
"""Which versions of an entry's messages are shown."""


@dataclass(frozen=True)
class Snapshot:
    """A conversation up to its tail of that time; ``known`` is the checkpoint of its stored head, if it has one.

    ``with_parts`` is whether its messages hold the large parts that are stored beside them, and ``with_rewound``
    whether rewound messages are among them.
    """

    head: Head
    tail: Tail
    known: Checkpoint | None = None
    with_metadata: bool = True
    with_parts: bool = False
    with_rewound: bool = False

    def conversation(self) -> dict[str, Any]:
        """The conversation as the API shows it."""
        return self._with_options(present_conversation(self.head))

    def messages(self) -> Iterator[dict[str, Any]]:
        """The preamble in force, then all messages, archived and redacted ones too, as the API shows them.

        Rewound ones are among them only ``with_rewound``.

        A preamble's ``kind`` says so, and the ``status`` of what cannot be read. Raises ConversationErased where that
        happens meanwhile.
        """
        return self._messages(lambda records: (PlacedRecord(record.seq, record, entry) for record, entry in records))

    def current_messages(self) -> Iterator[dict[str, Any]]:
        """The same, each message in its newest version alone, in the place of its first."""
        return self._messages(lambda records: newest_versions(self.head.pk, records))

    def _messages(self, versions: Versions) -> Iterator[dict[str, Any]]:
        at, rewound = self.head.genesis.created_at, Rewound.at(self.head.pk, self.tail)
        if preamble := self._preamble():
            yield self._with_options({"kind": "preamble", **preamble})
        for entry in self._unless_erased(walk_all(self.head.pk)):
            if isinstance(entry, DamagedEntry):
                yield self._damaged(seq_of_sk(entry.sk) or 0, at)
                continue
            at = entry.at
            own = [each for each in entry.records if each.kind == MESSAGE and each.seq <= self.tail.seq]
            back = {each.seq for each in own if is_rewound(rewound, self.head.pk, each)}
            shown = ((each, entry) for each in own if self.with_rewound or each.seq not in back)
            for placed in versions(shown):
                message = dict(self._present(placed, rewound=placed.seq in back))
                if self.with_parts:
                    message = with_stored_parts(message, placed.record, placed.entry)
                yield self._with_options(message)

    def _present(self, placed: PlacedRecord, *, rewound: bool) -> Message:
        return present_message(placed.record, placed.entry, self.tail.archived, rewound=rewound, with_embedding=True)

    def _preamble(self) -> Mapping[str, Any] | None:
        try:
            return read_preamble(self.head.pk, self.tail)
        except DamagedEntry:
            return self._damaged(self.tail.preamble, self.head.genesis.created_at)

    @staticmethod
    def _damaged(seq: int, at: int) -> dict[str, Any]:
        return {"messageId": message_id(seq), "seq": seq, "timestamp": to_rfc3339(at), "status": "damaged"}

    def runs(self) -> Iterator[dict[str, Any]]:
        """The runs with their data, in the order of their numbers, as the API shows them."""
        for run, data in walk_runs(self.head.pk):
            yield {**present_run(run, data)}

    def entries(self) -> Iterator[Entry | DamagedEntry]:
        """All that is stored, also what is appended meanwhile: a redaction in it says why a body is gone.

        Raises ConversationErased where that happens meanwhile.
        """
        return self._unless_erased(walk_checked(self.head.pk))

    def _unless_erased(self, items: Iterator[Entry | DamagedEntry]) -> Iterator[Entry | DamagedEntry]:
        for each in items:
            if isinstance(each, Entry) and each.state == ERASED:
                raise ConversationErased(self.head.genesis.conversation_id)
            yield each

    def _with_options(self, values: dict[str, Any]) -> dict[str, Any]:
        return values if self.with_metadata else {name: value for name, value in values.items() if name != "metadata"}


def take_snapshot(
    tenant: str,
    conversation_id: str,
    *,
    with_metadata: bool = True,
    with_damage: bool = False,
    with_parts: bool = False,
    with_rewound: bool = False,
) -> Snapshot:
    """A conversation as it is now.

    Parameters
    ----------
    with_damage : one whose last entry cannot be read is taken as far as its stored head knows it

    Raises
    ------
    ConversationNotFound, ConversationErased
    DamagedEntry : its last entry, or its first one, cannot be read
    """
    known = find_stored_head(conversation_pk(tenant, conversation_id))
    try:
        tail = get_tail(tenant, conversation_id)
        head = get_head_at(tenant, conversation_id, tail)
    except DamagedEntry:
        if not with_damage or known is None:
            raise
        head, tail = known, Tail(known.seq, known.message_count, known.state, known.tail_at, known.hash)
    return Snapshot(head, tail, known.checkpoint if known else None, with_metadata, with_parts, with_rewound)


def take_snapshots(
    selection: Selection, *, with_metadata: bool = True, with_damage: bool = False, with_parts: bool = False
) -> Iterator[Snapshot]:
    """Every conversation of a selection, the oldest first; what was erased by then, or is damaged, is left out."""
    for head in walk_matches(selection, CREATED_ORDER):
        try:
            snapshot = take_snapshot(
                selection.tenant,
                head.genesis.conversation_id,
                with_metadata=with_metadata,
                with_damage=with_damage,
                with_parts=with_parts,
            )
        except (ConversationErased, ConversationNotFound, DamagedEntry):
            continue
        yield snapshot
