"""Snapshots: a conversation as it is when an export of it begins, read page by page and never held whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from annals.conversations.heads import Head
from annals.conversations.lists import Order, Selection, every_match
from annals.conversations.read import demand_tail, read_head_at, show_conversation
from annals.errors import ConversationErased, ConversationNotFound
from annals.ledger.entry import ERASED, MESSAGE, Entry, Tail
from annals.ledger.history import read_preamble
from annals.ledger.messages import show
from annals.ledger.read import walk

CREATED_ORDER = Order("createdAt", descending=False)
"""The order that nothing changes: whoever walks through it misses no conversation that grows meanwhile."""


@dataclass(frozen=True)
class Snapshot:
    """A conversation up to its tail of that time."""

    head: Head
    tail: Tail
    with_metadata: bool = True

    def conversation(self) -> dict[str, Any]:
        """The conversation as the API shows it."""
        return self._shown(show_conversation(self.head))

    def messages(self) -> Iterator[dict[str, Any]]:
        """The preamble in force, then all messages, archived and redacted ones too, as the API shows them.

        A preamble's ``kind`` says so. Raises ConversationErased where that happens meanwhile.
        """
        preamble = read_preamble(self.head.pk, self.tail)
        if preamble:
            yield self._shown({"kind": "preamble", **preamble})
        for entry in self.entries():
            for record in entry.records:
                if record.kind == MESSAGE and record.seq <= self.tail.seq:
                    yield self._shown(dict(show(record, entry, self.tail.archived)))

    def entries(self) -> Iterator[Entry]:
        """All entries, also those that are appended meanwhile: a redaction among them says why a body is gone.

        Raises ConversationErased where that happens meanwhile.
        """
        for entry in walk(self.head.pk):
            if entry.state == ERASED:
                raise ConversationErased(self.head.genesis.conversation_id)
            yield entry

    def _shown(self, values: dict[str, Any]) -> dict[str, Any]:
        return values if self.with_metadata else {name: value for name, value in values.items() if name != "metadata"}


def snapshot(tenant: str, conversation_id: str, *, with_metadata: bool = True) -> Snapshot:
    """A conversation as it is now. Raises ConversationNotFound or ConversationErased."""
    tail = demand_tail(tenant, conversation_id)
    return Snapshot(read_head_at(tenant, conversation_id, tail), tail, with_metadata)


def snapshots(chosen: Selection, *, with_metadata: bool = True) -> Iterator[Snapshot]:
    """Every conversation of a selection, the oldest first; what was erased by then is left out."""
    for head in every_match(chosen, CREATED_ORDER):
        try:
            found = snapshot(chosen.tenant, head.genesis.conversation_id, with_metadata=with_metadata)
        except (ConversationErased, ConversationNotFound):
            continue
        yield found
