"""What a conversation can be shown with: its newest messages, its facts, its summary."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from annals.conversations.heads import Head
from annals.conversations.read import demand_tail
from annals.conversations.summaries import read_summary, show_summary
from annals.errors import InvalidInput
from annals.ledger.history import Span, read_page
from annals.memory.facts.store import facts_of, ref_of_fact
from annals.memory.shown import show_fact
from annals.memory.sources import still_said

NEWEST = 50
"""How many messages a conversation is shown with."""


def demand_parts(wanted: Collection[str]) -> None:
    """Raise InvalidInput for a part that there is none of."""
    for name in wanted:
        if name not in PARTS:
            detail = f"include is a list of {', '.join(PARTS)}; there is no {name!r}."
            raise InvalidInput("INVALID_FORMAT", detail, field="include")


def included(head: Head, wanted: Collection[str]) -> dict[str, Any]:
    """The parts of a conversation that are wanted, by name."""
    return {name: PARTS[name](head) for name in wanted}


def _messages(head: Head) -> Any:
    tail = demand_tail(head.genesis.tenant, head.genesis.conversation_id)
    return read_page(head.pk, tail, Span(after=0), NEWEST).messages


def _facts(head: Head) -> Any:
    tenant = head.genesis.tenant
    known = facts_of(tenant, head.genesis.conversation_id)
    return [show_fact(each) for each in still_said(tenant, known, ref_of_fact)]


def _summary(head: Head) -> Any:
    found = read_summary(head.pk)
    return show_summary(found) if found else None


PARTS: Mapping[str, Callable[[Head], Any]] = {"messages": _messages, "facts": _facts, "summary": _summary}
