"""The parts that a conversation can be shown with: its newest messages, its facts, its summary."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from annals.answers import Room, fitting
from annals.conversations.heads import Head
from annals.conversations.presenters import present_conversation, present_summary
from annals.conversations.read import get_tail
from annals.conversations.summary_store import find_current_summary
from annals.errors import InvalidInput
from annals.ledger.history import MessageRange, read_page
from annals.memory.facts.fact_presenters import present_fact
from annals.memory.facts.fact_reads import list_facts_of, source_ref_of_fact
from annals.memory.sources import with_existing_sources

NEWEST = 50
"""How many messages a conversation is shown with."""


def require_parts(names: Collection[str]) -> None:
    """Raise InvalidInput for a name that is no part's."""
    for name in names:
        if name not in PARTS:
            detail = f"include is a list of {', '.join(PARTS)}; there is no {name!r}."
            raise InvalidInput("INVALID_FORMAT", detail, field="include")


def present_with_parts(head: Head, names: Collection[str]) -> dict[str, Any]:
    """A conversation with the parts of these names; ``omitted`` names those that the answer has no room for whole."""
    conversation, room = present_conversation(head), Room()
    room.takes(conversation)
    omitted = []
    for name in sorted(names, key=list(PARTS).index):
        conversation[name] = PARTS[name](head, room)
        if room.is_full:
            # What is cut is named, and a smaller part after it may still fit.
            omitted.append(name)
            room.is_full = False
    return {**conversation, "omitted": omitted} if omitted else conversation


def _summary(head: Head, room: Room) -> Any:
    tail = get_tail(head.genesis.tenant, head.genesis.conversation_id)
    summary = find_current_summary(head.pk, tail)
    return next(iter(fitting([present_summary(summary)], room)), None) if summary else None


def _messages(head: Head, room: Room) -> Any:
    tail = get_tail(head.genesis.tenant, head.genesis.conversation_id)
    return read_page(head.pk, tail, MessageRange(after=0), NEWEST, room).messages


def _facts(head: Head, room: Room) -> Any:
    tenant = head.genesis.tenant
    facts = list_facts_of(tenant, head.genesis.conversation_id)
    return fitting(map(present_fact, with_existing_sources(tenant, facts, source_ref_of_fact)), room)


PARTS: Mapping[str, Callable[[Head, Room], Any]] = {"summary": _summary, "messages": _messages, "facts": _facts}
"""The parts, the smallest first: what comes later gets the room that is left."""
